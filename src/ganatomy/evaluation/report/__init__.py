"""The report of an evaluation as an HTML page with figures and charts."""
