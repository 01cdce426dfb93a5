"""What the finished cells say: statistics, tables, figures."""
