"""Writing factors in other languages: pandas, Polars, Qlib, LaTeX."""
