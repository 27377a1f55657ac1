"""Trackers: programs that show the progress of a training, and your own work done periodically."""

from ganatomy.training.tracking.tracker import Tracker

__all__ = ["Tracker"]
