"""What the operators compute. Rolling kernels take (N, T) rows that are contiguous in time."""
