"""What happened: panels, data sources, data quality."""
