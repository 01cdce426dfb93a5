"""One run without Ray: `python -m trainable`."""
