"""Objectives: the losses, which networks minimise them, and how often."""
