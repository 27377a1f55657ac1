"""Make or continue a run."""
