"""What every other room may use: the terminal and files."""
