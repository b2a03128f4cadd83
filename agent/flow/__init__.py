"""What the flow's commands find out about a data set: quality, value, signals, regimes, scenarios and risk."""
