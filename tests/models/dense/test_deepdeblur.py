import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError

TINY = {"features": 4, "num_blocks": 1, "kernel_size": 3}


def test_every_scale_is_half_the_next_finer_one():
    model = jdl.create_model("deepdeblur", num_scales=4, **TINY)
    images = jnp.zeros((2, 40, 24, 3))
    pyramid = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), images))[0]
    assert [p.shape for p in pyramid] == [(2, 40 >> s, 24 >> s, 3) for s in range(4)]


def test_the_finest_picture_hangs_on_the_coarsest_scale():
    """What a coarse scale finds is handed on; what a fine one finds is not handed back."""
    model = jdl.create_model("deepdeblur", **TINY)
    images = jax.random.uniform(jax.random.key(1), (1, 16, 16, 3))
    params = jax.jit(model.init)(jax.random.key(0), images)["params"]
    before = model.apply({"params": params}, images)

    def changed(name):
        other = params | {name: jax.tree.map(lambda p: p + 0.1, params[name])}
        after = model.apply({"params": other}, images)
        return [bool((a != b).any()) for a, b in zip(before, after)]

    assert changed("scale.2.head") == [True, True, True]
    assert changed("scale.0.head") == [True, False, False]


def test_the_enlarged_picture_is_torchs_pixel_shuffle():
    torch = pytest.importorskip("torch")
    model = jdl.create_model("deepdeblur", num_scales=2, in_channels=2, **TINY)
    x = jax.random.uniform(jax.random.key(1), (1, 8, 6, 2))
    params = jax.jit(model.init)(jax.random.key(0), x)["params"]
    # Nothing but what comes from the coarser scale reaches the answer.
    only = jax.tree.map(jnp.zeros_like, params["scale.0.head"]["kernel"])
    only = only.at[1, 1, 2, 0].set(1.0)
    tail = jnp.zeros_like(params["scale.0.tail"]["kernel"]).at[1, 1, 0, 0].set(1.0)
    params = params | {
        "scale.0.head": params["scale.0.head"] | {"kernel": only},
        "scale.0.tail": params["scale.0.tail"] | {"kernel": tail},
        **{
            name: jax.tree.map(jnp.zeros_like, leaf)
            for name, leaf in params.items()
            if name.startswith("scale.0.block")
        },
    }
    fine, coarse = model.apply({"params": params}, x)
    kernel = torch.tensor(np.asarray(params["up.0"]["kernel"])).permute(3, 2, 0, 1)
    up = torch.nn.functional.conv2d(
        torch.tensor(np.asarray(coarse)).permute(0, 3, 1, 2),
        kernel,
        torch.tensor(np.asarray(params["up.0"]["bias"])),
        padding=1,
    )
    theirs = torch.pixel_shuffle(up, 2)[0, 0]
    np.testing.assert_allclose(fine[0, :, :, 0], theirs, atol=1e-5)


def test_what_cannot_be_halved_is_refused():
    model = jdl.create_model("deepdeblur", **TINY)
    with pytest.raises(UserError, match="halves images 2 times: 18×16 pixels are no multiple of 4"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 18, 16, 3)))
