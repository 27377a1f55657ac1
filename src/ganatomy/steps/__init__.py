"""What one training step sees, and when."""
