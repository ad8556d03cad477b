from functools import partial

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jdl.data import prefetch_to_device


def test_order_and_content_are_kept_and_only_size_batches_are_ahead():
    taken = []

    def batches():
        for number in range(5):
            taken.append(number)
            yield {"x": np.full(8, number)}

    ahead = prefetch_to_device(batches(), size=2)
    first = next(ahead)
    assert taken == [0, 1]
    assert isinstance(first["x"], jax.Array)
    assert [int(batch["x"][0]) for batch in (first, *ahead)] == [0, 1, 2, 3, 4]


def test_batches_are_sharded():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    put = partial(jax.device_put, device=sharding)
    batch = next(prefetch_to_device([{"x": np.arange(16)}], put))
    assert batch["x"].sharding == sharding
