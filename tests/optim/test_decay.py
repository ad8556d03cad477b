import jax
import jax.numpy as jnp
import optax

from jdl import create_model
from jdl.optim.decay import all_but_norms, kernels


def marked(mask, name, **options):
    model = create_model(name, **options)
    example = jnp.zeros((1, 32, 32, 3))
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), example))["params"]
    return {
        ".".join(str(getattr(k, "key", k)) for k in path): chosen
        for path, chosen in jax.tree.leaves_with_path(mask(params))
    }


def test_only_kernels_of_a_swin_decay():
    """As its authors have it: neither biases, nor norms, nor the table of position biases."""
    chosen = marked(kernels, "swin_t", stage_sizes=(1, 1, 1, 1))
    for name, decays in chosen.items():
        assert decays == name.endswith("kernel"), name
    assert any("relative_position_bias_table" in name for name in chosen)


def test_all_but_the_norms_of_an_efficientnet_decay():
    chosen = marked(all_but_norms, "efficientnet_b0", depth=0.25)
    names = set(chosen)
    for name, decays in chosen.items():
        layer = name.rpartition(".")[0]
        assert decays == (f"{layer}.scale" not in names), name
    # Those of squeeze-and-excitation have biases, and are no norms.
    assert any(name.endswith("bias") and decays for name, decays in chosen.items())
    assert any(name.endswith("bias") and not decays for name, decays in chosen.items())


def test_masks_are_what_optax_takes():
    params = {"conv": {"kernel": jnp.ones(2), "bias": jnp.ones(2)}, "bn": {"scale": jnp.ones(2)}}
    zeros = jax.tree.map(jnp.zeros_like, params)
    for mask in (kernels, all_but_norms):
        decay = optax.add_decayed_weights(0.1, mask)
        updates, _ = decay.update(zeros, decay.init(params), params)
        assert (updates["conv"]["kernel"] == 0.1).all()
        assert (updates["bn"]["scale"] == 0).all()
        assert (updates["conv"]["bias"] == (0.1 if mask is all_but_norms else 0)).all()
