"""Reference checkpoints: read into a model's variables, and written from them."""

from jdl.weights.door import from_names, load_weights, save_weights, to_names

__all__ = ["from_names", "load_weights", "save_weights", "to_names"]
