"""Published networks: where their weights come from, and features by them."""
