"""Batches put on the devices ahead of their use."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def prefetch_to_device(
    batches: Iterable[Any], put: Callable[[Any], Any] | None = None, size: int = 2
) -> Iterator[Any]:
    """Yields batches as device arrays, `size` of them on their way while one is in use.

    Sending returns at once, so that the copy runs while the device computes.

    Args:
        batches: pytrees of numpy arrays.
        put: sends one batch; `jax.device_put` to the first device when None.
        size: batches kept ahead, at least 1.

    Example:
        >>> import numpy as np
        >>> [int(x.sum()) for x in prefetch_to_device(np.full(3, i) for i in range(3))]
        [0, 3, 6]
    """
    if put is None:
        import jax  # here, so that opening a dataset does not wait for it

        put = jax.device_put
    batches = iter(batches)
    queue = collections.deque(map(put, itertools.islice(batches, size)))
    while queue:
        yield queue.popleft()
        queue.extend(map(put, itertools.islice(batches, 1)))
