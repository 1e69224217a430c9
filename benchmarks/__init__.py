"""Benchmarks: what the service costs, what it bears, and what it is compared with."""
