"""Text, speech and time series."""
