"""Datasets for PyTorch, MONAI and TorchIO: real images of a store, synthetic ones of a model, and mixtures."""
