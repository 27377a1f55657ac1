"""A learned two-sample test: how well a small network distinguishes synthetic images from held-out images."""
