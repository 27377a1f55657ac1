"""Layers of networks in two and three dimensions; they depend on torch only."""
