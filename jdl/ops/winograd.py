"""3×3 convolution by Winograd's minimal filtering, for float32 on a CPU.

A tile of m×m outputs needs a×a inputs, a = m + 2. Of inputs d, kernel w and outputs y of a tile:

    V = Bᵀ d B,  U = G w Gᵀ         at each of the a² points, of the channels      (1)
    M[u, v] = Σ_c V[u, v, c] U[u, v, c, :]      one matrix product for each point  (2)
    y = Aᵀ M A                                                                     (3)

That is a²/m² products for each output instead of 9: 4 with m = 2, and 2.25 with m = 4. Each step
being linear, the gradients are, with dy that by y,

    dx = conv(dy, w turned by 180°, its channels and features swapped)             (4)
    dw = Gᵀ [Σ_tiles (Bᵀ d B)ᵀ (A dy Aᵀ)] G                                         (5)

The layouts are those that XLA's CPU compiler runs fast: a transform is done along the rows, kept,
and then done along the columns, for one fused loop would compute the first again for each point of
the second; each point has its own array, for writing them into one costs as much as the transform;
and in (5) the channels come first and the batch last, for a matrix product along the leading axis
of both factors takes up to twice as long.

Source: Lavin and Gray, 2015, https://arxiv.org/abs/1509.09308.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float32

# F(2×2, 3×3) and F(4×4, 3×3), as Lavin and Gray, 2015, write them.
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


Images = Float32[Array, "batch height width channels"]
Kernel = Float32[Array, "3 3 channels features"]


def conv3x3(images: Images, kernel: Kernel) -> Float32[Array, "batch height width features"]:
    """Convolves with a 3×3 kernel, stride 1 and one pixel of zeros all around.

    The equations are (1) to (5) above. Tiles are of 2×2 pixels; of 4×4 in images of more than 25
    pixels on a side, where the transformed images no longer fit into the cache.

    Args:
        images: x, float32. Half precision is for `lax.conv_general_dilated`: the transforms add
            and subtract numbers several times as large as the result.
        kernel: w, float32.

    Returns:
        y, equal to that of `lax.conv_general_dilated` within 1e-5 of its standard deviation with
        tiles of 2×2, and 5e-5 with 4×4. The gradient by w errs by up to 2e-5 and 1e-4.

    Example:
        >>> import jax.numpy as jnp
        >>> conv3x3(jnp.ones((1, 3, 3, 1)), jnp.ones((3, 3, 1, 1)))[0, :, :, 0].tolist()
        [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]

    Source: Lavin and Gray, 2015, https://arxiv.org/abs/1509.09308.
    """
    return _conv3x3(images, kernel, 4 if min(images.shape[1:3]) > 25 else 2)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv3x3(images, kernel, tile):
    return _forward(images, kernel, tile)


def _conv3x3_fwd(images, kernel, tile):
    return _forward(images, kernel, tile), (images, kernel)


def _conv3x3_bwd(tile, residuals, gradient):
    images, kernel = residuals
    return _turned(gradient, kernel, tile), _kernel_gradient(images, gradient, tile)


_conv3x3.defvjp(_conv3x3_fwd, _conv3x3_bwd)


def _turned(gradient, kernel, tile):
    """Computes (4)."""
    return _conv3x3(gradient, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), tile)


def _forward(images, kernel, tile):
    """Computes (1) to (3)."""
    batch, height, width, _ = images.shape
    features = kernel.shape[3]
    points = tile + 2
    transformed = jnp.einsum("ui,vj,ijco->uvco", KERNEL[tile], KERNEL[tile], kernel)
    inputs = _transform(INPUT[tile], images, tile, 1, 1)
    products = [[inputs[u][v] @ transformed[u, v] for v in range(points)] for u in range(points)]
    # (3), each stage of which puts its m results in between the tiles.
    rows = [
        jnp.stack(_combine(OUTPUT[tile], [products[u][v] for u in range(points)]), 2)
        for v in range(points)
    ]
    outputs = jnp.stack(_combine(OUTPUT[tile], lax.optimization_barrier(rows)), 4)
    down, across = -(-height // tile), -(-width // tile)
    outputs = outputs.reshape(batch, down * tile, across * tile, features)
    return outputs[:, :height, :width]


# Bilinear like the convolution, it has gradients that are convolutions: penalties on gradients
# differentiate twice, and the transforms transposed one by one would take several times as long.
@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _kernel_gradient(images, gradient, tile):
    """Computes (5)."""
    channels, features = images.shape[3], gradient.shape[3]
    barrier = lax.optimization_barrier
    inputs = _transform(INPUT[tile], barrier(images.transpose(3, 1, 2, 0)), tile, 1, 1)
    gradients = _transform(OUTPUT[tile].T, barrier(gradient.transpose(1, 2, 0, 3)), tile, 0, 0)
    products = [
        [x.reshape(channels, -1) @ y.reshape(-1, features) for x, y in zip(*pair)]
        for pair in zip(inputs, gradients)
    ]
    points = jnp.stack([jnp.stack(row) for row in products])
    return jnp.einsum("ui,vj,uvco->ijco", KERNEL[tile], KERNEL[tile], points)


def _kernel_gradient_fwd(images, gradient, tile):
    return _kernel_gradient(images, gradient, tile), (images, gradient)


def _kernel_gradient_bwd(tile, residuals, kernel):
    images, gradient = residuals
    return _turned(gradient, kernel, tile), _conv3x3(images, kernel, tile)


_kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)


def _transform(matrix, images, tile, axis, before):
    """Multiplies each tile by a matrix from the left and by its transpose from the right."""
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
    """Takes the first, second, ... pixel of each tile along an axis, whole tiles being reshaped."""
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


def wins(batch: int, height: int, width: int, in_channels: int, out_channels: int) -> bool:
    """Tells whether `conv3x3` beats XLA's convolution on a CPU, forward and both gradients.

    It does with 32 channels or more on both sides in images of at most 16×16 pixels, and with 64
    or more up to 32×32. Fewer than 2048 pixels in all were not measured, and count as no.
    Milliseconds of y, dx and dw together, the two timed in turn, on two cores:

        shape                     XLA   Winograd     shape                     XLA   Winograd
        64×14×14,  32 →  32        12         10     32×8×8,   128 → 128        34         20 †
        64×14×14,  48 →  48        96         34 *†  32×16×16,  64 →  64        35         20 †
        64×14×14,  64 →  64        52         18     32×16×16, 128 → 128       272        160 *
        64×14×14,  96 →  96        76         44     64×28×28,   3 →  16         9         12 *
        64×14×14, 128 → 128       432        334 *   64×28×28,  32 →  32        55         79
        64×14×14, 128 →  64       106         54     64×28×28,  64 →  64       576        253 *
        64×7×7,    64 →  64        12         10     32×32×32,  32 →  32        35         35 †
        64×7×7,    96 →  96        36         21 †   32×32×32,  64 →  64       196         95 *
        64×7×7,   192 →  96        81         48 *   32×64×64,  16 →  16        35        107 †
        64×7×7,   192 → 192       111         66 *†  32×64×64,  32 →  32       260        319 *†

    * while the machine had much other work: only the ratio tells. † y counted twice, for dx too.
    Fresh memory for large temporary arrays seems to decide at 28×28 and above: with huge pages
    (GLIBC_TUNABLES=glibc.malloc.hugetlb=1) the row of 64×28×28, 32 → 32 is 69 and 34.

    Args:
        batch: images on one device.
        height: pixels.
        width: pixels.
        in_channels: of the images.
        out_channels: of the result.

    Returns:
        Whether it does.

    Example:
        >>> wins(64, 14, 14, 64, 64), wins(64, 28, 28, 3, 16)
        (True, False)
    """
    narrow = min(in_channels, out_channels)
    fits = height * width <= (32 * 32 if narrow >= 64 else 16 * 16)
    return narrow >= 32 and fits and batch * height * width >= 2048
