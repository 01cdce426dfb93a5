"""Whether synthetic images help a classifier: cells of real size, synthetic ratio, arm, repeat."""
