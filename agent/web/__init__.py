"""The workspace in a browser: a local web application over the same evidence as the command line."""
