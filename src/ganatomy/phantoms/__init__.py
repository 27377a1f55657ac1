"""Procedural phantoms: labelled studies with known truth, no patient and no licence."""
