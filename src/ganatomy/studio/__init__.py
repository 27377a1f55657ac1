"""The studio: pages in a browser of this machine on which runs, samples, stores and reports are looked at."""
