"""Metrics: one per file, as pure functions on arrays."""
