"""Linen modules that two or more architectures share."""
