"""Download of public collections from the NCI Imaging Data Commons."""
