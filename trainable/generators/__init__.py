"""Generators on their own: saved, loaded, exported, asked for images."""
