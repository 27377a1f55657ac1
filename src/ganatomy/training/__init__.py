"""Training: making a run or continuing it."""
