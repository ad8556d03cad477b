"""A training step of jdl's LSTM beside torch's: 256 units, batch 32, 128 steps, one layer.

    python benchmarks/lstm.py

In one process, in turn, in blocks of steps whose first ones are not counted: for some milliseconds
after a step torch's threads go on asking for work, and would take a core from jdl's. The third
line is what XLA takes for the step's products alone, four large ones and 256 small.

Seen on two cores of an AMD EPYC (Zen 4, AVX-512), in three runs: 90.4 to 114.1 ms, torch 75.3 to
80.5, the products alone 72.6 to 85.9, ratios of 1.19 to 1.43; on one of these cores 152.1, torch
131.4, the products 134.1. So torch's time there, all of a step, is that of XLA's products: the
ratio could become 1.0 only if gates, cells and their gradients cost nothing.

On two of Zen 5, in six runs: 46.3 to 50.0 ms, torch 34.9 to 41.3, ratios of 1.17 to 1.35; in two
more, while that machine was busier, 63 ms and 44. With `jnp.tanh` in three runs 54 to 55 ms, and
with a step's gates cut from one array besides (03ba3e9) 56.5. There, by a script of that day, the
256 small products took 12 ms while both threads were awake, and the four large ones of as many
multiplications 20; but XLA's second thread falls asleep between two small products, and is late for
the next. On two cores with AVX2, in four runs: 165 to 194 ms, torch 134 to 154, ratios of 1.21 to
1.32.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import lax

from jdl.launch import keep_freed_memory
from jdl.layers.recurrent import LSTM
from jdl.ops.dense import transposed_product

BATCH, TIME, FEATURES, HIDDEN = 32, 128, 256, 256
BLOCKS, STEPS, WARMUP = 8, 15, 3


def ours(inputs: np.ndarray) -> Callable[[], None]:
    """Returns a step: outputs, their squares' sum, and its gradient by weights and inputs."""
    layer = LSTM(HIDDEN)
    x = jnp.asarray(inputs)
    params = layer.init(jax.random.key(0), x)

    @jax.jit
    def step(params, x):
        return jax.value_and_grad(lambda p, x: (layer.apply(p, x)[0] ** 2).sum(), (0, 1))(params, x)

    return lambda: jax.block_until_ready(step(params, x))


def theirs(inputs: np.ndarray) -> Callable[[], None]:
    """Returns the same step of torch's."""
    layer = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)
    x = torch.tensor(inputs, requires_grad=True)

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        (layer(x)[0] ** 2).sum().backward()

    return step


def products(inputs: np.ndarray) -> Callable[[], None]:
    """Returns the step's products and nothing else: what no arrangement of the rest can save."""
    random = np.random.default_rng(1)
    x = jnp.asarray(inputs.reshape(-1, FEATURES))
    weight, hiddens, gates = (
        jnp.asarray(random.standard_normal((rows, columns), dtype=np.float32) / HIDDEN**0.5)
        for rows, columns in ((4 * HIDDEN, HIDDEN), (len(x), HIDDEN), (len(x), 4 * HIDDEN))
    )

    @jax.jit
    def step(weight, x, hiddens, gates):
        def forward(hidden, _):
            return (hidden @ weight.T)[:, :HIDDEN], None

        def backward(by_gates, _):
            # Halved, numbers neither grow nor vanish from step to step.
            return jnp.tile(by_gates @ weight / 2, 4), None

        large = x @ weight.T, gates @ weight
        large += transposed_product(x, gates), transposed_product(hiddens, gates)
        scans = (forward, hiddens[:BATCH]), (backward, gates[:BATCH])
        return large, [lax.scan(body, start, length=TIME)[0] for body, start in scans]

    return lambda: jax.block_until_ready(step(weight, x, hiddens, gates))


def main() -> None:
    """Prints the medians, and the median ratio of two blocks."""
    keep_freed_memory()
    inputs = np.random.default_rng(0).standard_normal((BATCH, TIME, FEATURES), dtype=np.float32)
    steps = {"jdl": ours(inputs), "torch": theirs(inputs), "products": products(inputs)}
    blocks: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(BLOCKS):
        for name, step in steps.items():
            seconds = []
            for _ in range(WARMUP + STEPS):
                start = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - start)
            blocks[name].append(statistics.median(seconds[WARMUP:]))
    for name, found in blocks.items():
        print(f"{name:>8}: {1e3 * statistics.median(found):.1f} ms")
    ratios = [a / b for a, b in zip(blocks["jdl"], blocks["torch"])]
    print(f"   ratio: {statistics.median(ratios):.2f}  ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
