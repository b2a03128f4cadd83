"""A generator that one can ask: factors from a request in words, and hypotheses from a note."""
