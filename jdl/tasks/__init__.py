"""What is minimised: one file per objective, each a frozen dataclass of pure functions."""
