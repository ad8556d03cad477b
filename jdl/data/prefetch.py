"""Batches put on the devices ahead of their use."""

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import Any


def prefetch_to_device(
    batches: Iterable[Any], sharding: Any = None, size: int = 2
) -> Iterator[Any]:
    """Yields batches as device arrays, `size` of them on their way while one is in use.

    `jax.device_put` returns at once, so that the copy runs while the device computes.

    Args:
        batches: pytrees of numpy arrays.
        sharding: where each leaf goes: a device, a sharding, or a pytree of them; default the
            first device.
        size: batches kept ahead, at least 1.

    Example:
        >>> import numpy as np
        >>> [int(x.sum()) for x in prefetch_to_device(np.full(3, i) for i in range(3))]
        [0, 3, 6]
    """
    import jax  # here, so that opening a dataset does not wait for it

    batches = iter(batches)
    queue = collections.deque(
        jax.device_put(batch, sharding) for batch in itertools.islice(batches, size)
    )
    while queue:
        yield queue.popleft()
        queue.extend(jax.device_put(batch, sharding) for batch in itertools.islice(batches, 1))
