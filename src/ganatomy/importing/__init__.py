"""Import of weights that other programs have trained: one file per layout, and a table of the layouts."""
