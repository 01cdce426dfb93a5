"""A page of facts and verdicts before a long search."""
