"""What turns an image into features: one extractor a file; says its name, the hash of its weights, and its input."""
