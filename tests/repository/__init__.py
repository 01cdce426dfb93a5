"""The repository's own rules, manifests and benchmarks."""
