"""Learned factors: models trained walking forward, whose out-of-fold predictions are fields of the language."""
