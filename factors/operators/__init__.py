"""The rows of the operator table, a module a family; `factors.table` puts them together."""
