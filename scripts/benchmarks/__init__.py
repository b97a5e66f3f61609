"""Benchmarks: each compares podenv with a peer in the same run and reports the ratio."""
