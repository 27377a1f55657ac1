"""Reading, writing and sending of DICOM; the package does not import torch."""
