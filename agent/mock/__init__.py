"""A simulated language model that stands behind the real client."""
