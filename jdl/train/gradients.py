"""One gradient, however the batch is cut: into micro-batches, or over mapped devices."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from jdl.errors import UserError
from jdl.ops.lowering import is_for_cpu
from jdl.train.metrics import Mean, Metrics
from jdl.train.task import Batch

AXIS = "data"

Loss = Callable[[PyTree, PyTree, Batch, Key[Array, ""]], tuple[Mean, tuple[PyTree, Metrics]]]


def is_mapped(axis: str = AXIS) -> bool:
    """Says whether we are being traced under a map over `axis`, as `jax.pmap` does.

    Example:
        >>> is_mapped()
        False
    """
    try:
        jax.lax.axis_index(axis)
    except NameError:
        return False
    return True


def sum_over_devices(tree: PyTree) -> PyTree:
    """Sums every leaf over the mapped devices; the identity where nothing is mapped.

    Example:
        >>> sum_over_devices(3.0)
        3.0
    """
    return jax.lax.psum(tree, AXIS) if is_mapped() else tree


def mean_gradients(
    loss: Loss,
    params: PyTree,
    model_state: PyTree,
    batch: Batch,
    key: Key[Array, ""],
    microbatches: int = 1,
) -> tuple[PyTree, PyTree, Metrics]:
    """Differentiates the mean loss of a batch that may be cut in pieces.

        g = (Σₚ ∂Lₚ/∂θ) / (Σₚ nₚ)                                                   (1)

    over pieces p (micro-batches times devices), with Lₚ the *sum* of a piece's losses and nₚ how
    many it counted: the gradient of the whole batch's mean, exact for any mask.

    Args:
        loss: (params, model_state, batch, key) -> (Mean, (model_state, metrics)).
        params: what to differentiate by.
        model_state: the other variables; each micro-batch hands them to the next.
        batch: arrays with leading dimension [batch].
        key: the step's key, the same for every piece: draws are keyed by `batch["row"]`.
        microbatches: pieces to go through one after the other, to fit in memory; divides the batch.
            A CPU has two of them in hand at a time: of a small network, whose products are too
            small to be shared, each core takes one.

    Returns:
        Gradients like `params`, the new model_state, and the metrics of the whole batch together
        with "gradient_norm".

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jdl.train.metrics import mean
        >>> def loss(w, model_state, batch, key):
        ...     return mean((w * batch["x"] - 1.0) ** 2), (model_state, {})
        >>> batch = {"x": jnp.array([1.0, 2.0, 3.0, 4.0])}
        >>> whole, _, _ = mean_gradients(loss, jnp.array(0.0), {}, batch, jax.random.key(0))
        >>> cut, _, _ = mean_gradients(loss, jnp.array(0.0), {}, batch, jax.random.key(0), 2)
        >>> float(whole), float(cut)
        (-5.0, -5.0)
    """

    def total(params, model_state, batch, key):
        mean, (model_state, metrics) = loss(params, model_state, batch, key)
        return mean.total, (mean.count, model_state, metrics)

    def piece(params, model_state, batch, key):
        gradients, (count, model_state, metrics) = jax.grad(total, has_aux=True)(
            params, model_state, batch, key
        )
        return model_state, (gradients, count, metrics)

    rows = len(jax.tree.leaves(batch)[0])
    if microbatches < 1 or rows % microbatches:
        raise UserError(
            f"{rows} rows of a batch cannot be cut into {microbatches} micro-batches; "
            "1 leaves them whole"
        )
    if microbatches == 1:
        model_state, summed = piece(params, model_state, batch, key)
    else:
        # Piece i takes rows i, i + m, i + 2m, …: each device cuts the rows that it already holds.
        pieces = jax.tree.map(
            lambda x: jnp.swapaxes(x.reshape(-1, microbatches, *x.shape[1:]), 0, 1), batch
        )
        first = jax.tree.map(lambda x: x[0], pieces)
        _, shapes = jax.eval_shape(piece, params, model_state, first, key)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        def add(carry, cut):
            model_state, summed = carry
            model_state, further = piece(params, model_state, cut, key)
            return (model_state, jax.tree.map(jnp.add, summed, further)), None

        (model_state, summed), _ = jax.lax.scan(
            add, (model_state, nothing), pieces, unroll=2 if is_for_cpu() else 1
        )

    gradients, count, metrics = summed
    # Metrics stay sums: the engine adds them over devices itself.
    gradients, whole_count = sum_over_devices((gradients, count))
    gradients = jax.tree.map(lambda g: g / jnp.maximum(whole_count, 1.0), gradients)
    norm = optax.global_norm(gradients)
    return gradients, model_state, metrics | {"gradient_norm": Mean(norm, jnp.ones_like(norm))}
