"""Knowledge bases in and out: exports, imports, merges, and the starter base."""
