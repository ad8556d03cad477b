"""Schedules and gradient transformations that optax lacks."""
