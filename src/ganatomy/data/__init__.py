"""The store: raw files in, batches out."""
