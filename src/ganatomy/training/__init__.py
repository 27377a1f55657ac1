"""Training of a recipe: plan, loop, run folder, several processes."""
