"""`python -m trainable.metrics`: the scores of one folder of images against another."""
