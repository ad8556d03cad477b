"""The registry: every variant of every architecture under one name."""

import dataclasses
import fnmatch
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable
from functools import cache
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import jdl.models
from jdl.errors import UserError, nearest, unknown
from jdl.models.preprocessing import PREPROCESSING
from jdl.ops.preprocessing import Preprocessing

Example = tuple[jax.ShapeDtypeStruct, ...]
Variant = Callable[..., nn.Module]


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known about a model before it is built.

    Attributes:
        name: the registry name.
        description: the first line of the variant's docstring.
        example: shapes and types of the inputs of one call, with a batch of one.
        paper: where the architecture comes from.
        reference: whose weights it can load (`torchvision:resnet50`), if anyone's.
        preprocessing: what the reference's weights expect of a photograph, if they take any.
        params: number of trainable parameters of the default variant.
        overrides: names that `create_model` accepts beside the model's name.
    """

    name: str
    description: str
    example: Example
    paper: str
    reference: str | None
    preprocessing: Preprocessing | None
    params: int
    overrides: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Entry:
    variant: Variant
    info: ModelInfo


_entries: dict[str, _Entry] = {}


def image(height: int, width: int, channels: int) -> Example:
    """Returns the example of a model that takes images, NHWC.

    Example:
        >>> image(28, 28, 1)[0].shape
        (1, 28, 28, 1)
    """
    return (jax.ShapeDtypeStruct((1, height, width, channels), jnp.float32),)


def signal(length: int, channels: int) -> Example:
    """Returns the example of a model that takes signals, channels last.

    Example:
        >>> signal(128, 1)[0].shape
        (1, 128, 1)
    """
    return (jax.ShapeDtypeStruct((1, length, channels), jnp.float32),)


def video(frames: int, height: int, width: int, channels: int) -> Example:
    """Returns the example of a model that takes videos, channels last.

    Example:
        >>> video(16, 64, 64, 1)[0].shape
        (1, 16, 64, 64, 1)
    """
    return (jax.ShapeDtypeStruct((1, frames, height, width, channels), jnp.float32),)


def tokens(length: int) -> Example:
    """Returns the example of a model that takes token ids, batch-major.

    Example:
        >>> tokens(64)[0]
        ShapeDtypeStruct(shape=(1, 64), dtype=int32)
    """
    return (jax.ShapeDtypeStruct((1, length), jnp.int32),)


def lengths() -> Example:
    """Returns the example of an input that says how long each sequence is.

    Example:
        >>> (tokens(64) + lengths())[1]
        ShapeDtypeStruct(shape=(1,), dtype=int32)
    """
    return (jax.ShapeDtypeStruct((1,), jnp.int32),)


def vector(size: int) -> Example:
    """Returns the example of a model that takes one vector per example, such as a latent code.

    Example:
        >>> vector(100)[0].shape
        (1, 100)
    """
    return (jax.ShapeDtypeStruct((1, size), jnp.float32),)


def timestep() -> Example:
    """Returns the example of an input with one number per example, such as a diffusion time.

    Example:
        >>> (image(32, 32, 3) + timestep())[1].shape
        (1,)
    """
    return (jax.ShapeDtypeStruct((1,), jnp.float32),)


def random_key() -> Example:
    """Returns the example of an input that is a random key.

    Example:
        >>> random_key()[0].shape
        ()
    """
    return (jax.eval_shape(lambda: jax.random.key(0)),)


def register_model(
    *, example: Example, paper: str, params: int, reference: str | None = None
) -> Callable[[Variant], Variant]:
    """Registers a function that builds a variant, under the function's own name.

    The function's return annotation must be the module's class: its fields, with the function's
    own arguments, are what `create_model` accepts as overrides.

    Args:
        example: the inputs of one call (`image`, `tokens`, ...; added together for several inputs).
        paper: authors, year and address.
        params: exact number of trainable parameters; the tests assert it.
        reference: `library:name` of the checkpoint whose names and layout the model follows.

    Returns:
        A decorator that leaves the function as it is.

    Example:
        >>> class Line(nn.Module):
        ...     features: int
        ...     @nn.compact
        ...     def __call__(self, x):
        ...         return nn.Dense(self.features)(x)
        >>> @register_model(example=vector(3), paper="Euclid", params=8)
        ... def line(**overrides) -> Line:
        ...     "A line."
        ...     return Line(**{"features": 2, **overrides})
        >>> create_model("line", features=5).features
        5
        >>> _entries.pop("line").info.overrides
        ('features',)
    """

    def register(variant: Variant) -> Variant:
        name = variant.__name__
        if name in _entries and _entries[name].variant.__module__ != variant.__module__:
            raise ValueError(f"two models are called {name!r}")
        info = ModelInfo(
            name=name,
            description=(inspect.getdoc(variant) or "").partition("\n")[0],
            example=example,
            paper=paper,
            reference=reference,
            preprocessing=PREPROCESSING.get(reference or ""),
            params=params,
            overrides=_overrides(variant),
        )
        _entries[name] = _Entry(variant, info)
        return variant

    return register


def create_model(name: str, **overrides: Any) -> nn.Module:
    """Builds a model by name.

    Args:
        name: a name that `list_models` gives.
        **overrides: fields of the module to change, such as `num_classes`.

    Returns:
        A Linen module, with `init` and `apply`.

    Raises:
        UserError: no such model, or the model has no such field, with the nearest names; a rate of
            dropout that is none.

    Example:
        >>> create_model("lenet5", num_classes=3).num_classes
        3
        >>> create_model("lenet5", num_clases=3)
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: lenet5 has no option 'num_clases'; it has num_classes, dtype, \
pooling, activation
    """
    entry = _entry(name)
    for option in overrides:
        if option not in entry.info.overrides:
            options = nearest(option, entry.info.overrides, count=len(entry.info.overrides))
            raise UserError(f"{name} has no option {option!r}; it has {', '.join(options)}")
        if "dropout" in option and not 0 <= (rate := overrides[option]) < 1:
            raise UserError(f"{option} is a share to leave out, from 0 to below 1, not {rate}")
    return entry.variant(**overrides)


def list_models(pattern: str = "*") -> list[str]:
    """Lists the registered names that match a pattern, in natural order (`b2` before `b10`).

    Args:
        pattern: with shell wildcards, as in `fnmatch`.

    Example:
        >>> list_models("lenet5*")
        ['lenet5', 'lenet5_1998', 'lenet5_relu']
    """
    return sorted(fnmatch.filter(_all_entries(), pattern), key=_natural)


def model_info(name: str) -> ModelInfo:
    """Returns what is known about a model without building it.

    Raises:
        UserError: no such model; with the nearest names.

    Example:
        >>> model_info("lenet5").params
        61706
    """
    return _entry(name).info


def variant(name: str) -> Variant:
    """Returns the function that builds a variant, as its module defines it.

    Example:
        >>> variant("lenet5").__module__
        'jdl.models.vision.lenet'
    """
    return _entry(name).variant


def example_of(model: nn.Module) -> Example | None:
    """Returns the example inputs of the first variant built on this model's class, if there is one.

    A text is cut to the `max_length` of the model, where it has one.

    Example:
        >>> example_of(create_model("lenet5", num_classes=2))[0].shape
        (1, 28, 28, 1)
    """
    for entry in _all_entries().values():
        if typing.get_type_hints(entry.variant)["return"] is type(model):
            return tuple(_cut(x, getattr(model, "max_length", None)) for x in entry.info.example)
    return None


def _cut(x: jax.ShapeDtypeStruct, length: int | None) -> jax.ShapeDtypeStruct:
    if length is None or x.ndim != 2:
        return x
    return jax.ShapeDtypeStruct((x.shape[0], min(length, x.shape[1])), x.dtype)


def _entry(name: str) -> _Entry:
    entries = _all_entries()
    if name not in entries:
        raise unknown("model", name, list_models())
    return entries[name]


def _all_entries() -> dict[str, _Entry]:
    _import_all_models()
    return _entries


@cache
def _import_all_models() -> None:
    for module in pkgutil.walk_packages(jdl.models.__path__, "jdl.models."):
        importlib.import_module(module.name)


def _overrides(variant: Variant) -> tuple[str, ...]:
    module_class = typing.get_type_hints(variant)["return"]
    own = [
        p.name
        for p in inspect.signature(variant).parameters.values()
        if p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    fields = [f.name for f in dataclasses.fields(module_class) if f.name not in ("parent", "name")]
    return tuple(dict.fromkeys(own + fields))


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [
        (0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part
    ]
