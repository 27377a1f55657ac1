"""Network families, each a configuration (a value) and the modules that it builds."""
