"""Public collections of the NCI Imaging Data Commons: what there is, and getting it."""
