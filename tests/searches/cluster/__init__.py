"""Searches on a cluster of hosts with addresses of their own: `make test-cluster`."""
