import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.errors import UserError
from jdl.optim.decay import kernels
from jdl.optim.transfer import freeze, layer_names, layerwise_rates

PARAMS = {
    "layer1.0": {"conv1": {"kernel": jnp.ones((2, 2))}, "bn1": {"bias": jnp.ones(2)}},
    "layer10": {"kernel": jnp.ones((2, 2))},
    "fc": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}

OTHERS = {"layer1.0.bn1.bias", "layer10.kernel", "fc.kernel", "fc.bias"}


def moved(optimizer):
    """Names of what three updates change."""
    params, state = PARAMS, optimizer.init(PARAMS)
    gradients = jax.tree.map(lambda x: 0.1 * x, PARAMS)
    for _ in range(3):
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), params, PARAMS)
    return {name for name, c in zip(layer_names(PARAMS), jax.tree.leaves(changed)) if c}


@pytest.mark.parametrize(
    ("patterns", "trained"),
    [
        (("layer1.0",), {"layer10.kernel", "fc.kernel", "fc.bias"}),
        (("layer1*",), {"fc.kernel", "fc.bias"}),
        (("*.bias", "layer10"), {"layer1.0.conv1.kernel", "fc.kernel"}),
        (("layer1.0.conv1.kernel",), OTHERS),
    ],
)  # fmt: skip
def test_what_matches_is_not_trained_nor_decayed(patterns, trained):
    adamw = optax.adamw(0.1, weight_decay=0.1, mask=kernels)
    assert moved(freeze(adamw, *patterns)) == trained


def test_what_is_frozen_has_no_moments_and_no_part_in_the_norm():
    frozen = freeze(optax.adam(0.1), "layer1*")
    sizes = sum(leaf.size for leaf in jax.tree.leaves(frozen.init(PARAMS)))
    assert sizes == 2 * 6 + 1  # of fc alone, and the count
    clipped = freeze(
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0)), "layer1*", "*.bias"
    )
    updates, _ = clipped.update(PARAMS, clipped.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["fc"]["kernel"], np.full((2, 2), -0.5))


def test_rates_by_layer_multiply_the_updates():
    rates = layerwise_rates({"layer1.0.bn1": 0.5, "layer1*": 0.1})
    optimizer = optax.chain(optax.sgd(1.0), rates)
    updates, _ = jax.jit(optimizer.update)(PARAMS, optimizer.init(PARAMS))
    assert [float(leaf.mean()) for leaf in jax.tree.leaves(updates)] == pytest.approx(
        [-1, -1, -0.5, -0.1, -0.1]
    )


@pytest.mark.parametrize(
    "make", [lambda p: freeze(optax.sgd(1.0), p), lambda p: layerwise_rates({p: 0.0})]
)
def test_a_pattern_that_matches_nothing_is_refused(make):
    with pytest.raises(
        UserError, match="no parameter is named like 'layer2'; the closest names are layer10.kernel"
    ):
        make("layer2").init(PARAMS)


def test_everything_cannot_be_frozen():
    with pytest.raises(UserError, match="nothing is trained"):
        freeze(optax.sgd(1.0), "layer1*", "fc").init(PARAMS)
