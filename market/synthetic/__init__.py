"""A seeded synthetic market whose truth is known: regimes, planted signals, anomalies, listings and deaths."""
