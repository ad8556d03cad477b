"""Times a 3×3 convolution on the CPU, by XLA and by Winograd, as a table in milliseconds.

python benchmarks/convolution.py                  # every shape
python benchmarks/convolution.py 64 14 14 64 64   # batch, height, width, channels, features
"""

import sys
import time

import jax
import jax.numpy as jnp
from jax import lax

from jdl.ops.winograd import conv3x3, wins

SHAPES = [
    *[(64, 14, 14, size, size) for size in (32, 48, 64, 96, 128)],
    *[(64, 7, 7, size, size) for size in (64, 96, 128, 192)],
    *[(64, 28, 28, size, size) for size in (32, 64)],
    *[(32, 64, 64, size, size) for size in (16, 32)],
    *[(32, 32, 32, size, size) for size in (32, 64)],
    *[(32, 16, 16, size, size) for size in (64, 128)],
    (32, 8, 8, 128, 128),
    (64, 14, 14, 128, 64),
    (64, 7, 7, 192, 96),
    (64, 28, 28, 3, 16),
]


def lax_conv(images, kernel):
    """Convolves as Flax does."""
    dimensions = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=dimensions)


def passes(convolution):
    """Makes three functions of images, kernel and gradient: forward, by images, by kernel."""
    return (
        lambda x, w, dy: convolution(x, w),
        lambda x, w, dy: jax.vjp(lambda x: convolution(x, w), x)[1](dy)[0],
        lambda x, w, dy: jax.vjp(lambda w: convolution(x, w), w)[1](dy)[0],
    )


def paired(functions, arguments, rounds=8):
    """Takes each function's least time, in milliseconds, with the functions in turn."""
    compiled = [jax.jit(function).lower(*arguments).compile() for function in functions]
    best = [float("inf")] * len(compiled)
    for _ in range(rounds):
        for index, function in enumerate(compiled):
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            best[index] = min(best[index], 1e3 * (time.perf_counter() - start))
    return best


def main():
    """Prints the table, a row for each shape."""
    given = tuple(int(argument) for argument in sys.argv[1:])
    print("| shape | XLA: y, dx, dw, all | Winograd: y, dx, dw, all | ratio | wins |")
    print("|---|---|---|---|---|")
    for shape in [given] if given else SHAPES:
        batch, height, width, channels, features = shape
        keys = jax.random.split(jax.random.key(0), 3)
        arguments = (
            jax.random.normal(keys[0], (batch, height, width, channels)),
            jax.random.normal(keys[1], (3, 3, channels, features)) / jnp.sqrt(9 * channels),
            jax.random.normal(keys[2], (batch, height, width, features)),
        )
        times = paired([*passes(lax_conv), *passes(conv3x3)], arguments)
        xla, ours = times[:3], times[3:]
        cells = [", ".join(f"{t:.1f}" for t in (*row, sum(row))) for row in (xla, ours)]
        ratio = sum(xla) / sum(ours)
        print(f"| {shape} | {cells[0]} | {cells[1]} | {ratio:.2f} | {wins(*shape)} |", flush=True)


if __name__ == "__main__":
    main()
