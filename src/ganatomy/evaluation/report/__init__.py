"""The report as an HTML page with figures and charts."""
