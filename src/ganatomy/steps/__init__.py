"""The part of an image, the batch size and the condition of each training step."""
