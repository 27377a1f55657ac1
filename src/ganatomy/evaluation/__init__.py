"""Numbers with the protocol that defines them, on anybody's images."""
