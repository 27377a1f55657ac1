"""Layers for any number of dimensions; torch only."""
