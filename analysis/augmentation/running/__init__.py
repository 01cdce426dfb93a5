"""The study's cells, trained and kept."""
