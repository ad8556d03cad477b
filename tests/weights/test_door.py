import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jdl
from jdl.errors import UserError
from jdl.models.references import declare_operators
from jdl.models.registry import create_model
from jdl.weights import files, from_names, load_weights, save_weights, to_names

from . import reference


@pytest.fixture(scope="module")
def model():
    return create_model("resnet20_cifar", stage_sizes=(1, 1, 1), features=4)


@pytest.fixture(scope="module")
def variables(model):
    return jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def equal(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), dict(a), dict(b)))


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_load_undoes_save(model, variables, tmp_path, ending):
    if ending == "pth":
        pytest.importorskip("torch")
    save_weights(model, variables, tmp_path / f"weights.{ending}")
    assert equal(load_weights(model, tmp_path / f"weights.{ending}"), variables)


def test_all_misfits_are_told_at_once(model, variables):
    names = to_names(variables)
    del names["layer1.0.conv1.weight"], names["layer2.0.bn1.running_var"]
    names["layer9.weight"] = np.zeros(3, np.float32)
    names["conv1.weight"] = names["conv1.weight"][:, :, :1]
    with pytest.raises(UserError) as caught:
        from_names(model, names, "file.pth")
    message = str(caught.value)
    assert "2 missing (first layer1.0.conv1.weight, layer2.0.bn1.running_var)" in message
    assert "1 unexpected (first layer9.weight)" in message
    assert "1 misshapen (first conv1.weight (4, 3, 1, 3))" in message


def test_another_number_of_classes_makes_a_new_head(model, variables):
    other = model.clone(num_classes=7)
    with pytest.warns(UserWarning, match="another number of classes: fc.bias, fc.kernel"):
        loaded = from_names(other, to_names(variables))
    assert loaded["params"]["fc"]["kernel"].shape == (16, 7)
    assert equal(loaded["params"]["conv1"], variables["params"]["conv1"])
    assert float(jnp.abs(loaded["params"]["fc"]["kernel"]).max()) > 0


def test_counters_and_prefixes_of_training_scripts_do_no_harm(model, variables):
    names = {f"module.{name}": array for name, array in to_names(variables).items()}
    names["module.bn1.num_batches_tracked"] = np.array(3)
    assert equal(from_names(model, names), variables)


def test_other_variables_are_not_saved(variables, tmp_path):
    with pytest.raises(UserError, match="not the variables of a LeNet"):
        save_weights("lenet5", variables, tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.safetensors", None, "there is no file"),
        ("weights.h5", b"x", "ending is none of"),
        ("cut.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{", "not a whole safetensors file"),
    ],
)
def test_files_that_are_none(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        files.read(tmp_path / name)


def test_pickles_that_are_more_than_tensors_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"weights": print}, tmp_path / "code.pth")
    with pytest.raises(UserError, match="does not hold tensors only"):
        files.read(tmp_path / "code.pth")
    for content in (b"", b"hi", b"a letter to a friend"):
        (tmp_path / "letter.pth").write_bytes(content)
        with pytest.raises(UserError, match="does not hold tensors only, or is damaged"):
            files.read(tmp_path / "letter.pth")
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="no tensors by name"):
        files.read(tmp_path / "other.pth")


def test_half_precision_is_widened_and_wrappers_are_opened(model, variables, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {k: torch.from_numpy(v.copy()).bfloat16() for k, v in to_names(variables).items()}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "half.pth")
    loaded = load_weights(model, tmp_path / "half.pth")
    np.testing.assert_allclose(
        loaded["params"]["conv1"]["kernel"], variables["params"]["conv1"]["kernel"], rtol=1e-2
    )


def test_wrong_number_of_channels():
    with pytest.raises(UserError, match=r"1 channel, the network takes 3: .*in_channels=1"):
        jax.eval_shape(create_model("resnet18").init, jax.random.key(0), jnp.zeros((1, 32, 32, 1)))


def test_random_weights_are_the_same_everywhere():
    state = reference.random_state({"a.weight": (2, 3), "a.running_var": (2,)})
    assert state["a.weight"].shape == (2, 3)
    again = reference.random_state({"a.weight": (2, 3)})
    assert (state["a.weight"] == again["a.weight"]).all()
    assert jdl.list_models()


TIMM_CHANNELS = [(3, 1), (3, 2), (3, 4), (3, 6), (3, 13), (1, 3), (4, 1)]


@pytest.mark.parametrize(("old", "new"), TIMM_CHANNELS)
def test_first_kernels_are_adapted_as_timm_does(model, old, new):
    torch = pytest.importorskip("torch")
    declare_operators()
    adapt_input_conv = pytest.importorskip("timm.models._manipulate").adapt_input_conv
    kernel = np.random.RandomState(0).standard_normal((4, old, 3, 3)).astype(np.float32)
    before, after = (model.clone(in_channels=channels) for channels in (old, new))
    names = to_names(before.init(jax.random.key(0), jnp.zeros((1, 32, 32, old))))
    with pytest.warns(UserWarning, match=rf"has {old} channels?, the model {new}: conv1.kernel "):
        loaded = from_names(after, {**names, "conv1.weight": kernel})
    expected = adapt_input_conv(new, torch.from_numpy(kernel.copy()), base_chans=old).numpy()
    adapted = to_names(loaded)
    np.testing.assert_allclose(adapted.pop("conv1.weight"), expected, rtol=1e-6, atol=1e-7)
    assert all((array == names[name]).all() for name, array in adapted.items())


def test_grey_images_get_what_three_equal_channels_got(model, variables):
    grey = model.clone(in_channels=1)
    with pytest.warns(UserWarning, match="conv1.kernel summed over them"):
        loaded = from_names(grey, to_names(variables))
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 1))
    expected = model.apply(variables, jnp.repeat(images, 3, -1))
    np.testing.assert_allclose(grey.apply(loaded, images), expected, rtol=1e-4, atol=1e-5)


def test_head_and_channels_may_both_differ(model, variables):
    other = model.clone(in_channels=4, num_classes=3)
    with pytest.warns(UserWarning, match="file.pth has") as said:
        loaded = from_names(other, to_names(variables), "file.pth")
    assert [str(warning.message) for warning in said] == [
        "file.pth has 3 channels, the model 4: conv1.kernel repeated and scaled by 3/4",
        "file.pth has another number of classes: fc.bias, fc.kernel initialised anew",
    ]
    assert other.apply(loaded, jnp.zeros((1, 32, 32, 4))).shape == (1, 3)


def test_kernels_of_another_size_are_not_adapted(model, variables):
    names = to_names(variables)
    names["conv1.weight"] = np.zeros((4, 3, 5, 5), np.float32)
    with pytest.raises(UserError, match=r"1 misshapen \(first conv1.weight \(4, 3, 5, 5\)\)"):
        from_names(model.clone(in_channels=1), names)
