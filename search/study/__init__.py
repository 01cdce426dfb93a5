"""A study: its configuration, folder, database and records."""
