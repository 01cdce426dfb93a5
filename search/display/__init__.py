"""How a search stands, and what the terminal shows of it."""
