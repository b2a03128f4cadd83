"""Examples: one runnable file a task, offline, on a simulated market and with a simulated model."""
