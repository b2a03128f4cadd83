"""Charts as SVG text, and the numbers behind their axes."""
