"""Whether a model has copied its training images."""
