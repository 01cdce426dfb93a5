"""Which classifiers are trained, on what."""
