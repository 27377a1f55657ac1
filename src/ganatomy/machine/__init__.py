"""The computer: devices, whole files, workers, progress."""
