"""From an image to an image: segmentation and restoration."""
