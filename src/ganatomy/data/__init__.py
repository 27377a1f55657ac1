"""The store: prepared from raw files, read in batches."""
