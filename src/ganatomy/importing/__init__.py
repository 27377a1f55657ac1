"""Weights that other programs have trained become runs of ours: one file a layout, and a table of the layouts."""
