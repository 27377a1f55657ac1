"""The images that are compared, of any origin."""
