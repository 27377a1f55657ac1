"""Studies of what a finished model can be used for."""
