"""Where a step runs: `jax.jit` over a mesh of devices, or `jax.pmap`; the same pure step."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import ArrayLike
from jaxtyping import Array, Key, PyTree

from jdl.errors import UserError
from jdl.train.gradients import AXIS, sum_over_devices
from jdl.train.metrics import Metrics
from jdl.train.options import Options
from jdl.train.task import Batch, Task

# A batch on its way to the devices: the compiled step sends arrays that are still NumPy's.
Sent = Mapping[str, ArrayLike]

# Streams of random numbers: every key of a run is fold_in(fold_in(root, stream), step).
INIT, TRAIN, EVALUATE, TEST, FIGURES = range(5)


def stream_key(root: Key[Array, ""], stream: int, step: Any) -> Key[Array, ""]:
    """Derives the key of one step of one stream, so that no generator is ever checkpointed.

        key = fold_in(fold_in(root, stream), step)                                  (1)

    Example:
        >>> import jax
        >>> key = stream_key(jax.random.key(0), TRAIN, 7)
        >>> bool(key == stream_key(jax.random.key(0), TRAIN, 7))
        True
    """
    return jax.random.fold_in(jax.random.fold_in(root, stream), step)


@runtime_checkable
class Executor(Protocol):
    """A task compiled for some devices."""

    def rows(self, batch_size: int) -> slice:
        """Which rows of each global batch this process loads."""
        ...

    def put(self, batch: dict[str, np.ndarray]) -> Sent:
        """Sends this process's rows to its devices."""
        ...

    def init(self, batch: Sent) -> PyTree:
        """The state before the first step, laid out over the devices."""
        ...

    def train_step(self, state: PyTree, batch: Sent, step: int) -> tuple[PyTree, Metrics]:
        """One update; the old state is given away."""
        ...

    def eval_step(self, state: PyTree, batch: Sent, step: int) -> Metrics:
        """The metrics of one evaluation batch."""
        ...

    def test_step(self, state: PyTree, batch: Sent, step: int) -> Metrics:
        """The metrics of one batch of the final, thorough measurement."""
        ...

    def save_layout(self, state: PyTree) -> PyTree:
        """The state as a checkpoint holds it: one copy, whatever the devices."""
        ...

    def load_layout(self, state: PyTree) -> PyTree:
        """The inverse of `save_layout`."""
        ...

    def local(self, state: PyTree) -> PyTree:
        """One whole copy on this process's first device, to draw figures and samples from."""
        ...


class Steps:
    """The pure functions that both executors compile, keyed by the run's root key."""

    def __init__(self, task: Task, seed: int):
        self.task = task
        self.seed = seed

    def key(self, stream: int, step: Any) -> Key[Array, ""]:
        """The key of a step of one of the streams above."""
        return stream_key(jax.random.key(self.seed), stream, step)

    def init(self, batch: Batch) -> PyTree:
        """The state before the first step."""
        return self.task.init(self.key(INIT, 0), batch)

    def train(self, state: PyTree, batch: Batch, step: Array) -> tuple[PyTree, Metrics]:
        """One update."""
        state, metrics = self.task.train_step(state, batch, self.key(TRAIN, step))
        return state, sum_over_devices(metrics)

    def evaluate(self, state: PyTree, batch: Batch, step: Array) -> Metrics:
        """The metrics of one evaluation batch."""
        return sum_over_devices(self.task.eval_step(state, batch, self.key(EVALUATE, step)))

    def test(self, state: PyTree, batch: Batch, step: Array) -> Metrics:
        """The metrics of one batch of the final measurement."""
        measure = getattr(self.task, "test_step", self.task.eval_step)
        # A stream of its own: samples that chose the best checkpoint are not measured again.
        return sum_over_devices(measure(state, batch, self.key(TEST, step)))


def shard_largest_dimension(
    leaf: jax.ShapeDtypeStruct, mesh: Mesh | AbstractMesh, axis: str = "model"
) -> P:
    """The rule of fully sharded data parallelism: cut a leaf along its largest divisible dimension.

    Args:
        leaf: shape of a parameter or of an optimiser's moment.
        mesh: the devices.
        axis: mesh axis over which to cut.

    Returns:
        A partition; nothing is cut when no dimension divides, or when the axis has one device.

    Example:
        >>> import jax
        >>> mesh = jax.sharding.AbstractMesh((1, 4), ("data", "model"))
        >>> tuple(shard_largest_dimension(jax.ShapeDtypeStruct((3, 3, 16, 64), "float32"), mesh))
        (None, None, None, 'model')
    """
    size = mesh.shape[axis]
    divisible = [d for d in range(len(leaf.shape)) if leaf.shape[d] % size == 0 and leaf.shape[d]]
    if size == 1 or not divisible:
        return P()
    largest = max(divisible, key=lambda d: leaf.shape[d])
    return P(*(axis if d == largest else None for d in range(len(leaf.shape))))


class JitExecutor:
    """`jax.jit` over a mesh: batches cut over all devices, parameters whole or cut by rule."""

    def __init__(self, task: Task, seed: int, devices: list[jax.Device], fsdp: int = 1):
        if len(devices) % fsdp:
            raise UserError(f"--fsdp {fsdp} does not divide the {len(devices)} devices")
        grid = np.array(devices).reshape(-1, fsdp)
        # Auto axes: Linen knows nothing of explicit ones.
        self.mesh = Mesh(grid, (AXIS, "model"), axis_types=(AxisType.Auto,) * 2)
        self.batch_sharding = NamedSharding(self.mesh, P((AXIS, "model")))
        self.whole = NamedSharding(self.mesh, P())
        self.steps = Steps(task, seed)
        self._train: Callable | None = None
        compile_metrics = partial(
            jax.jit, in_shardings=(None, self.batch_sharding, None), out_shardings=self.whole
        )
        self._eval = compile_metrics(self.steps.evaluate)
        self._test = compile_metrics(self.steps.test)

    def rows(self, batch_size: int) -> slice:
        """Which rows of each global batch this process loads."""
        _check_divides(batch_size, self.mesh.size)
        parts = self.batch_sharding.addressable_devices_indices_map((batch_size,)).values()
        starts = [part[0].indices(batch_size) for part in parts if part]
        return slice(min(s[0] for s in starts), max(s[1] for s in starts))

    def put(self, batch: dict[str, np.ndarray]) -> Sent:
        """Sends this process's rows to its devices; of one process, the compiled step does it."""
        if jax.process_count() == 1:
            return batch  # A tenth of the host's time that `jax.device_put` takes.
        return {
            name: jax.make_array_from_process_local_data(self.batch_sharding, rows)
            for name, rows in batch.items()
        }

    def init(self, batch: Sent) -> PyTree:
        """The state before the first step: shapes first, then each device makes its own part."""
        shapes = jax.eval_shape(self.steps.init, batch)
        shardings = jax.tree.map(
            lambda leaf: NamedSharding(self.mesh, shard_largest_dimension(leaf, self.mesh)), shapes
        )
        self._train = jax.jit(
            self.steps.train,
            donate_argnums=0,
            in_shardings=(shardings, self.batch_sharding, None),
            out_shardings=(shardings, self.whole),
        )
        return jax.jit(self.steps.init, out_shardings=shardings)(batch)

    def train_step(self, state: PyTree, batch: Sent, step: int) -> tuple[PyTree, Metrics]:
        """One update; the old state is given away."""
        assert self._train is not None, "init comes first"
        return self._train(state, batch, np.uint32(step))

    def eval_step(self, state: PyTree, batch: Sent, step: int) -> Metrics:
        """The metrics of one evaluation batch."""
        return self._eval(state, batch, np.uint32(step))

    def test_step(self, state: PyTree, batch: Sent, step: int) -> Metrics:
        """The metrics of one batch of the final, thorough measurement."""
        return self._test(state, batch, np.uint32(step))

    def save_layout(self, state: PyTree) -> PyTree:
        """The state as it is: Orbax writes sharded arrays."""
        return state

    def load_layout(self, state: PyTree) -> PyTree:
        """The state as it is: Orbax restores to the shardings that it is given."""
        return state

    def local(self, state: PyTree) -> PyTree:
        """One whole copy on this process's first device."""
        if jax.process_count() > 1:
            state = multihost_utils.process_allgather(state, tiled=True)
        return jax.device_put(jax.device_get(state), jax.local_devices()[0])


class PmapExecutor:
    """`jax.pmap`: every device holds the whole state and its own rows of the batch."""

    def __init__(self, task: Task, seed: int, devices: list[jax.Device]):
        self.devices = devices
        self.local_devices = [d for d in devices if d.process_index == jax.process_index()]
        mesh = Mesh(np.array(self.local_devices), (AXIS,), axis_types=(AxisType.Auto,))
        self.batch_sharding = NamedSharding(mesh, P(AXIS))
        self.steps = Steps(task, seed)
        pmap = partial(jax.pmap, axis_name=AXIS, devices=devices)
        self._init = pmap(self.steps.init)
        self._train = pmap(self.steps.train, in_axes=(0, 0, None), donate_argnums=0)
        self._eval = pmap(self.steps.evaluate, in_axes=(0, 0, None))
        self._test = pmap(self.steps.test, in_axes=(0, 0, None))

    def rows(self, batch_size: int) -> slice:
        """Which rows of each global batch this process loads."""
        _check_divides(batch_size, len(self.devices))
        size = batch_size // jax.process_count()
        return slice(jax.process_index() * size, (jax.process_index() + 1) * size)

    def put(self, batch: dict[str, np.ndarray]) -> Sent:
        """Sends this process's rows to its devices."""
        count = len(self.local_devices)
        pieces = {name: rows.reshape(count, -1, *rows.shape[1:]) for name, rows in batch.items()}
        return jax.device_put(pieces, self.batch_sharding)

    def init(self, batch: Sent) -> PyTree:
        """The state before the first step, the same on every device."""
        return self._init(batch)

    def train_step(self, state: PyTree, batch: Sent, step: int) -> tuple[PyTree, Metrics]:
        """One update; the old state is given away."""
        state, metrics = self._train(state, batch, np.uint32(step))
        return state, _first(metrics)

    def eval_step(self, state: PyTree, batch: Sent, step: int) -> Metrics:
        """The metrics of one evaluation batch."""
        return _first(self._eval(state, batch, np.uint32(step)))

    def test_step(self, state: PyTree, batch: Sent, step: int) -> Metrics:
        """The metrics of one batch of the final, thorough measurement."""
        return _first(self._test(state, batch, np.uint32(step)))

    def save_layout(self, state: PyTree) -> PyTree:
        """One copy, so that a checkpoint does not depend on the number of devices."""
        return jax.device_get(_first(state))

    def load_layout(self, state: PyTree) -> PyTree:
        """A copy for every device."""
        copy = jax.pmap(lambda _, x: x, in_axes=(0, None), devices=self.devices)
        return copy(np.arange(len(self.local_devices)), state)

    def local(self, state: PyTree) -> PyTree:
        """One whole copy on this process's first device."""
        return jax.device_put(jax.device_get(_first(state)), self.local_devices[0])


def make_executor(task: Task, seed: int, options: Options) -> Executor:
    """Compiles a task for the devices that the options ask for.

    Args:
        task: the objective.
        seed: the run's.
        options: `parallel`, `devices` and `fsdp`.

    Returns:
        A `JitExecutor` or a `PmapExecutor`.

    Raises:
        UserError: more devices are asked for than there are, or `fsdp` with pmap.
    """
    devices = jax.devices()
    if options.devices is not None:
        if not 1 <= options.devices <= len(devices):
            raise UserError(f"--devices {options.devices}, but there are {len(devices)} here")
        devices = devices[: options.devices]
    if options.parallel == "pmap":
        if options.fsdp != 1:
            raise UserError("--fsdp shards by jax.jit over a mesh; it has no --parallel pmap")
        return PmapExecutor(task, seed, devices)
    return JitExecutor(task, seed, devices, options.fsdp)


def _first(tree: PyTree) -> PyTree:
    """What the first device of this process holds."""
    return jax.tree.map(lambda x: x.addressable_shards[0].data.reshape(x.shape[1:]), tree)


def _check_divides(batch_size: int, devices: int) -> None:
    if batch_size % devices:
        raise UserError(
            f"a batch of {batch_size} cannot be cut over {devices} devices; "
            f"the nearest size that can is {max(1, round(batch_size / devices)) * devices}"
        )
