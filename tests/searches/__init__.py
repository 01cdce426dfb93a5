"""Whole searches on a real Ray."""
