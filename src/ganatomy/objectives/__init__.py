"""What is minimised, by whom, and how often."""
