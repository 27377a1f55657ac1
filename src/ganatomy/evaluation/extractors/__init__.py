"""Extractors, which compute features of images: one per file, with its name, the hash of its weights and its input."""
