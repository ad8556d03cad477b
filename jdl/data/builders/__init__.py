"""The embedded datasets: TFDS builders that need neither network nor TensorFlow."""
