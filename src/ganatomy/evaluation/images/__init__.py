"""The images of a comparison: held-out real images and synthetic images of any origin."""
