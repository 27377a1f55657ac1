"""Uses of a finished model; nothing below needs them."""
