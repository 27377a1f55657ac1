"""Samples out of the door: files, DICOM instances, archives, checks."""
