"""DICOM in and out; no torch."""
