"""What a factor would have earned, and whether that is luck."""
