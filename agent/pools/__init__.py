"""Pools: several factors combined into one signal."""
