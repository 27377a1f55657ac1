"""Network families: one file each, with a configuration and the modules that it builds."""
