"""One metric a file, pure functions on arrays."""
