"""A training step of jdl's LSTM beside torch's: 256 units, batch 32, 128 steps, one layer.

    python benchmarks/lstm.py

Both in one process, in turn, in blocks of steps whose first ones are not counted: for some
milliseconds after a step torch's threads go on asking for work, and would take a core from jdl's.
Seen on two cores of an AMD EPYC (Zen 5, AVX-512), in six runs: 46.3 to 50.0 ms, torch 34.9 to 41.3,
ratios of 1.17 to 1.35; in two more, while that machine was busier, 63 ms and 44. With `jnp.tanh` in
three runs 54 to 55 ms, and with a step's gates cut from one array besides (03ba3e9) 56.5. The 256
products in the two scans, timed alone, take 12 ms while both threads are awake, and the four large
ones of as many multiplications 20; but XLA's second thread falls asleep between two small
products, and is late for the next. On two cores of an AMD EPYC (Zen 4, AVX-512), in two runs: 95.9
and 99.6 ms, torch 78.3 and 79.3.

On two cores of an AMD EPYC (AVX2), in four runs: 165 to 194 ms, torch 134 to 154, ratios of 1.21 to
1.32. Of the 175 ms that a step took under a trace there, 148 were products: 60 in the scans and 88
in the four large ones, which alone take torch as long.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch

from jdl.launch import keep_freed_memory
from jdl.layers.recurrent import LSTM

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


def main() -> None:
    """Prints the medians, and the median ratio of two blocks."""
    keep_freed_memory()
    inputs = np.random.default_rng(0).standard_normal((BATCH, TIME, FEATURES), dtype=np.float32)
    steps = {"jdl": ours(inputs), "torch": theirs(inputs)}
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
        print(f"{name:>6}: {1e3 * statistics.median(found):.1f} ms")
    ratios = [a / b for a, b in zip(blocks["jdl"], blocks["torch"])]
    print(f" ratio: {statistics.median(ratios):.2f}  ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
