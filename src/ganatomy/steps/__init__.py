"""What one training step sees, when it sees it, and under which conditions."""
