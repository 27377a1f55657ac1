"""What `ganatomy.open` gives: models, samples and reports as objects for programs."""
