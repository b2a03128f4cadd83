"""The knowledge base: everything that was tried, what it scored and what it taught, in one SQLite file."""
