"""Reference checkpoints: read into a model's variables, and written from them."""

from jdl.weights.door import from_names, load_weights, save_weights, to_names
from jdl.weights.pretrained import load_pretrained

__all__ = ["from_names", "load_pretrained", "load_weights", "save_weights", "to_names"]
