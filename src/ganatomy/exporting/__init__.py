"""Export of samples as files and DICOM instances, delivery to archives, and verification of DICOM files."""
