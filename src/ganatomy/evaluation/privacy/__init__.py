"""The privacy audit: tests of whether a model has copied its training images."""
