"""Procedural phantoms: labelled studies with known true values that show no patient and need no licence."""
