"""One file per modality: all that is true of it and of nothing else."""
