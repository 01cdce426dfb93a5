"""Searches on a cluster of hosts with addresses of their own: ``python -m tests.cluster``."""
