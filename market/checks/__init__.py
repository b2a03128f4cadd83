"""Looking for what is wrong with market data: one module a family of checks."""
