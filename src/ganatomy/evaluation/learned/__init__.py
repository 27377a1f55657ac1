"""A learned two-sample test: how well does a small network tell synthetic images from held-out ones?"""
