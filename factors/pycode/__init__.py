"""Reading factors that were written as pandas code. The code is parsed and walked; nothing of it is ever run."""
