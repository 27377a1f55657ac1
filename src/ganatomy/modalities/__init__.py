"""Modalities: reading, preparation, measures and display of one kind of image per module."""
