"""Times a convolution on the CPU by XLA, by Winograd and by products, as a table in milliseconds.

python benchmarks/convolution.py                      # every shape
python benchmarks/convolution.py 64 14 14 64 64       # batch, height, width, channels, features
python benchmarks/convolution.py 8 224 224 3 64 7 2   # and size and stride of the kernel

Winograd is for 3×3 without stride. By products is the gradient by the kernel alone, the rest is
XLA's (`jdl.ops.im2col.conv_with_lax`). The last column is what the networks take;
"all by products" (`jdl.ops.im2col.conv`) is not timed here.
"""

import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jdl.launch import keep_freed_memory
from jdl.ops import im2col, winograd

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
    *[(64, 28, 28, 3, size) for size in (16, 64)],
    *[(32, 32, 32, *sizes) for sizes in ((16, 32), (32, 64), (64, 16))],
    (8, 112, 112, 64, 64),
    (2, 224, 224, 64, 64),
    (8, 56, 56, 128, 128),
    (8, 17, 17, 32, 32),
    (8, 12, 12, 64, 192),
    (16, 27, 27, 64, 64, 5, 1),
    (32, 32, 32, 64, 64, 3, 2),
    (8, 224, 224, 3, 32, 3, 2),
    (8, 224, 224, 3, 64, 7, 2),
]


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
    keep_freed_memory()
    given = tuple(int(argument) for argument in sys.argv[1:])
    if len(given) not in (0, 5, 7):
        sys.exit(__doc__)
    print("| shape | XLA: y, dx, dw, all | Winograd | dw by products | taken |")
    print("|---|---|---|---|---|")
    for shape in [given] if given else SHAPES:
        batch, height, width, channels, features = shape[:5]
        size, stride = shape[5:] or (3, 1)
        padding = [((size - 1) // 2, size // 2)] * 2
        by_xla = partial(
            lax.conv_general_dilated,
            window_strides=(stride, stride),
            padding=padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        ways = {"XLA": by_xla}
        if (size, stride) == (3, 1):
            ways["Winograd"] = winograd.conv3x3
        ways["products"] = partial(im2col.conv_with_lax, stride=stride, padding=padding)
        keys = jax.random.split(jax.random.key(0), 3)
        images = jax.random.normal(keys[0], (batch, height, width, channels))
        scale = jnp.sqrt(size**2 * channels)
        kernel = jax.random.normal(keys[1], (size, size, channels, features)) / scale
        gradient = jax.random.normal(keys[2], jax.eval_shape(by_xla, images, kernel).shape)
        functions = [function for way in ways.values() for function in passes(way)]
        times = paired(functions, (images, kernel, gradient))
        rows = dict(zip(ways, (times[i : i + 3] for i in range(0, len(times), 3))))
        cells = [
            ", ".join(f"{t:.1f}" for t in (*rows[name], sum(rows[name]))) if name in rows else ""
            for name in ("XLA", "Winograd", "products")
        ]
        if "Winograd" in ways and winograd.wins(batch, height, width, channels, features):
            taken = "Winograd"
        elif im2col.wins(batch, height, width, stride, channels, features):
            taken = "all by products"
        elif im2col.wins_with_lax(batch, height, width, stride, features):
            taken = "dw by products"
        else:
            taken = "XLA"
        print(f"| {shape} | {' | '.join(cells)} | {taken} |", flush=True)


if __name__ == "__main__":
    main()
