"""An image, its geometry and its files; no torch."""
