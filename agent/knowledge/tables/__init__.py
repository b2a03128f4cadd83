"""Queries, a module for each table or index; each works inside the transaction of its caller."""
