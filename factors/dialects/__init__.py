"""Foreign and loose forms, translated into our operators, a module each."""
