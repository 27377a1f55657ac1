"""Evaluation of images of any origin; every measure is reported with its definition."""
