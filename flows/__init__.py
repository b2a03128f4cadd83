"""How normal is now: GLOW and the regime gate."""
