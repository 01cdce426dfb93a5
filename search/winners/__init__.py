"""The best trials: scored again, gated, ranked and kept."""
