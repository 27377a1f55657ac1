"""Procedural phantoms: labelled studies with known truth that show no patient and need no licence."""
