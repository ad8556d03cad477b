"""Looking into networks."""
