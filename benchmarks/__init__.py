"""Benchmarks: one runnable file a claim; each prints a table and, last, one JSON line."""
