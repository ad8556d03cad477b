"""3×3 convolution by Winograd's minimal filtering."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

# F(2×2, 3×3) and F(4×4, 3×3): Lavin and Gray, 2015, Section 4.1 and 4.3.
INPUT = {
    2: np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32),
    4: np.array(
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        np.float32,
    ),
}
KERNEL = {
    2: np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], np.float32) / 2,
    4: np.array(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], np.float32
    )
    / 24,
}
OUTPUT = {
    2: np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32),
    4: np.array(
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
        np.float32,
    ),
}


def conv3x3(images, kernel, tiles=(2, 2)):
    return _conv3x3(images, kernel, tiles)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv3x3(images, kernel, tiles):
    return _forward(images, kernel, tiles[0])


def _conv3x3_fwd(images, kernel, tiles):
    return _forward(images, kernel, tiles[0]), (images, kernel)


def _conv3x3_bwd(tiles, residuals, gradient):
    images, kernel = residuals
    by_images = _forward(gradient, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), tiles[0])
    return by_images, _kernel_gradient(images, gradient, tiles[1])


_conv3x3.defvjp(_conv3x3_fwd, _conv3x3_bwd)


def _forward(images, kernel, tile):
    batch, height, width, channels = images.shape
    features = kernel.shape[3]
    points = tile + 2
    transformed = jnp.einsum("ui,vj,ijco->uvco", KERNEL[tile], KERNEL[tile], kernel)
    inputs = _transform(INPUT[tile], images, tile, 1, 1)
    products = [[inputs[u][v] @ transformed[u, v] for v in range(points)] for u in range(points)]
    # (3): each stage weaves its m results in between the tiles.
    rows = [
        jnp.stack(_combine(OUTPUT[tile], [products[u][v] for u in range(points)]), 2)
        for v in range(points)
    ]
    outputs = jnp.stack(_combine(OUTPUT[tile], lax.optimization_barrier(rows)), 4)
    down, across = -(-height // tile), -(-width // tile)
    outputs = outputs.reshape(batch, down * tile, across * tile, features)
    return outputs[:, :height, :width]


def _kernel_gradient(images, gradient, tile):
    channels, features = images.shape[3], gradient.shape[3]
    barrier = lax.optimization_barrier
    inputs = _transform(INPUT[tile], barrier(images.transpose(3, 1, 2, 0)), tile, 1, 1)
    gradients = _transform(OUTPUT[tile].T, barrier(gradient.transpose(1, 2, 0, 3)), tile, 0, 0)
    products = [
        [x.reshape(channels, -1) @ y.reshape(-1, features) for x, y in zip(*pair)]
        for pair in zip(inputs, gradients)
    ]
    products = jnp.stack([jnp.stack(row) for row in products])
    return jnp.einsum("ui,vj,uvco->ijco", KERNEL[tile], KERNEL[tile], products)


def _transform(matrix, images, tile, axis, before):
    taps = matrix.shape[1]
    padding = [(0, 0)] * 4
    for spatial in (axis, axis + 1):
        size = images.shape[spatial]
        blocks = -(-size // tile) + (taps > tile)
        padding[spatial] = (before, blocks * tile - size - before)
    images = lax.optimization_barrier(jnp.pad(images, padding))
    rows = _combine(matrix, _taps(images, taps, tile, axis))
    rows = lax.optimization_barrier(rows)
    return [_combine(matrix, _taps(row, taps, tile, axis + 1)) for row in rows]


def _taps(images, taps, tile, axis):
    shape = images.shape
    tiles = shape[axis] // tile - (taps > tile)
    images = images.reshape(*shape[:axis], -1, tile, *shape[axis + 1 :])
    every = (slice(None),) * axis
    return [
        images[(*every, slice(tap // tile, tap // tile + tiles), tap % tile)] for tap in range(taps)
    ]


def _combine(matrix, arrays):
    """Multiplies a matrix of small whole numbers by a column of arrays, term by term."""
    results = []
    for row in matrix.tolist():
        terms = [array * weight for weight, array in zip(row, arrays) if weight]
        results.append(sum(terms[1:], terms[0]))
    return results
