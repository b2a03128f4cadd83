"""Scoring on many machines: what is done, by whom (threads, a device, a Ray cluster), and what is kept meanwhile."""
