"""A training step of jdl's LSTM beside torch's: 256 units, batch 32, 128 steps, one layer.

    python benchmarks/lstm.py

Both in one process, in turn, on all cores. Seen on two cores of an AMD EPYC (AVX2): 157 and 140 ms,
a median ratio of 1.15. The 256 products inside of the two scans take about 40 of the 157, the four
large ones of as many multiplications 75. On two cores of an Intel Xeon (Ice Lake, AVX-512): 137
and 99 ms.
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

BATCH, TIME, FEATURES, HIDDEN, PAIRS = 32, 128, 256, 256, 20


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
    """Prints the medians, and the median of the paired ratios."""
    keep_freed_memory()
    inputs = np.random.default_rng(0).standard_normal((BATCH, TIME, FEATURES), dtype=np.float32)
    steps = {"jdl": ours(inputs), "torch": theirs(inputs)}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for pair in range(-2, PAIRS):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if pair >= 0:
                seconds[name].append(time.perf_counter() - start)
    for name, found in seconds.items():
        print(f"{name:>6}: {1e3 * statistics.median(found):.1f} ms")
    ratios = [a / b for a, b in zip(seconds["jdl"], seconds["torch"])]
    print(f" ratio: {statistics.median(ratios):.2f}  ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
