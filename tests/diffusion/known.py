"""A mixture whose every answer is known."""

import numpy as np

from jdl.diffusion.mixture import Mixture

MIXTURE = Mixture(
    weights=np.array([0.5, 0.3, 0.2]),
    means=np.array([[1.0, 0.8], [-1.2, 0.2], [0.3, -1.1]]),
    covariances=np.array(
        [
            [[0.08, 0.03], [0.03, 0.04]],
            [[0.03, -0.01], [-0.01, 0.06]],
            [[0.05, 0.0], [0.0, 0.02]],
        ]
    ),
)
