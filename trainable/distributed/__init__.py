"""Ray without Tune: clusters, their resources, and the code that nodes run."""
