"""The database itself: where it is, its tables, transactions and what can go wrong."""
