"""Objectives: losses, the networks that minimise them, and the frequency of their updates."""
