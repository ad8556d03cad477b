"""Models that draw samples."""
