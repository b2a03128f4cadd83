"""Judging a signal that somebody brings: signals, weights, trades or returns, tested as our own factors are."""
