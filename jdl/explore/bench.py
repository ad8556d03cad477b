"""How fast a network is, beside the same network of another library.

Two cores of an AMD EPYC (AVX2) with nothing else to do, float32, 224×224, milliseconds on the wall,
in turn, medians of 4 to 15 pairs (`jdl bench resnet50 --mode train --batch 8`):

    network, batch, mode                jdl     torch   ratio (least – largest)
    resnet50, 8, infer                  498     502     1.00 (0.59–1.01)
    resnet50, 8, train                  1746    1641    1.06 (1.05–1.18)
    efficientnet_b0, 8, infer           97      134     0.72 (0.67–0.97)
    efficientnet_b0, 8, train           496     609     0.75 (0.70–1.02)
    densenet121, 8, train               1845    1429    1.29 (1.25–1.46)
    vit_b_16, 4, train                  2822    2711    1.05 (1.03–1.12)

Where other work runs, such times mean little: torch's threads wait for the slowest.
"""

import dataclasses
import inspect
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jdl.errors import UserError
from jdl.explore.summary import summary
from jdl.models.references import keras_network, torch_network
from jdl.models.registry import create_model, model_info
from jdl.ops.lowering import plain_lowerings

MODES = ("infer", "train")
PEERS = ("torch", "keras", "flax")
LEARNING_RATE = 1e-3

Step = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of a network and of its peer, in turn.

    Attributes:
        title: what was timed.
        peer: against what.
        ours: seconds of each run.
        theirs: seconds of the peer's run that followed each.
        compile_seconds: to trace and compile ours.
        memory_bytes: of arguments, results and temporary arrays of ours, at most, as XLA plans.
        flops: of one run: two for each multiply–add, and three times as many in training.
        peak: floating-point operations per second of a product of two matrices of 2000×2000.
    """

    title: str
    peer: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    compile_seconds: float
    memory_bytes: int
    flops: int
    peak: float

    @property
    def ratios(self) -> tuple[float, ...]:
        """Our time over the peer's, pair by pair."""
        return tuple(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    def __str__(self) -> str:
        speed = self.flops / statistics.median(self.ours)
        return "\n".join(
            [
                f"{self.title}, against {self.peer}",
                f"ratio    {_spread(self.ratios, '.2f')}",
                f"jdl      {_spread([1e3 * t for t in self.ours], '.1f')} ms",
                f"{self.peer:<8} {_spread([1e3 * t for t in self.theirs], '.1f')} ms",
                f"compiled in {self.compile_seconds:.1f} s, {self.memory_bytes / 1e6:.0f} MB, "
                f"{speed / 1e9:.1f} GFLOP/s: {speed / self.peak:.0%} of a product of matrices",
            ]
        )


def bench(
    name: str,
    mode: str = "infer",
    peer: str = "torch",
    *,
    batch: int = 8,
    size: int | None = None,
    repeats: int = 5,
    dtype: str = "float32",
) -> Timing:
    """Times a compiled network and a peer of it in turn, in this process.

    Inference is the forward pass. A step of training is the forward pass with the batch's
    statistics, the backward pass of the cross-entropy, and gradient descent. The peers are:

    - "torch": the registry's reference, of torchvision or timm, run as it is, with torch's threads.
    - "keras": the network of the same name of keras.applications, on Keras's backend.
    - "flax": the same network, convolved and pooled as Flax does.

    Args:
        name: of a model of the registry whose result is one array of logits.
        mode: "infer" or "train".
        peer: "torch", "keras" or "flax".
        batch: examples.
        size: height and width of the images; the registry's when None.
        repeats: pairs of runs, after one each to warm up.
        dtype: of the computation.

    Returns:
        The times.

    Raises:
        UserError: unknown mode, peer or dtype; numbers below one; a size for a network that takes
            no images; no such peer of the network, or its library is not installed.

    Example:
        >>> timing = bench("lenet5", peer="flax", batch=2, repeats=3)
        >>> len(timing.ratios), timing.flops == 2 * 2 * summary("lenet5").total_macs
        (3, True)
    """
    if mode not in MODES:
        raise UserError(f"unknown mode {mode!r}; it is infer or train")
    if peer not in PEERS:
        raise UserError(f"unknown peer {peer!r}; it is one of {', '.join(PEERS)}")
    if dtype not in ("float32", "bfloat16", "float16"):
        raise UserError(f"unknown dtype {dtype!r}; it is float32, bfloat16 or float16")
    if min(batch, repeats, 1 if size is None else size) < 1:
        raise UserError("batch, size and repeats must be 1 or more")
    model, inputs = _build(name, batch, size, dtype)
    theirs = _peer(peer, name, mode, model, inputs, dtype)
    ours, compile_seconds, memory = compiled_step(model, inputs, mode)
    times = in_turn([ours, theirs], repeats)
    macs = summary(model, *[x.shape[1:] for x in inputs]).total_macs
    return Timing(
        title=f"{name}, {mode}, {'×'.join(map(str, inputs[0].shape))}, {dtype}",
        peer=peer,
        ours=times[0],
        theirs=times[1],
        compile_seconds=compile_seconds,
        memory_bytes=memory,
        flops=2 * macs * batch * (3 if mode == "train" else 1),
        peak=matmul_flops_per_second(),
    )


def _build(
    name: str, batch: int, size: int | None, dtype: str
) -> tuple[nn.Module, tuple[jax.Array, ...]]:
    info = model_info(name)
    shapes = [(batch, *x.shape[1:]) for x in info.example]
    options: dict[str, Any] = {} if dtype == "float32" else {"dtype": jnp.dtype(dtype)}
    if size is not None:
        if len(shapes) > 1 or len(shapes[0]) != 4:
            raise UserError(f"{name} takes no images whose size could be set")
        shapes = [(batch, size, size, shapes[0][3])]
        options |= {"image_size": size} if "image_size" in info.overrides else {}
    model = create_model(name, **options)
    inputs = tuple(
        jax.random.normal(jax.random.key(i), shape, x.dtype)
        if jnp.issubdtype(x.dtype, jnp.floating)
        else jnp.zeros(shape, x.dtype)
        for i, (shape, x) in enumerate(zip(shapes, info.example, strict=True))
    )
    answer = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), *inputs)[0])
    if not isinstance(answer, jax.ShapeDtypeStruct) or answer.ndim < 2:
        raise UserError(f"{name} cannot be timed: its result is not one array of logits")
    return model, inputs


def compiled_step(
    model: nn.Module, inputs: tuple[jax.Array, ...], mode: str, *, plain: bool = False
) -> tuple[Step, float, int]:
    """Compiles a forward pass or a step of training.

    Args:
        model: the network.
        inputs: of one call.
        mode: "infer" or "train".
        plain: convolve and pool as Flax does.

    Returns:
        A function that runs it and waits for the result; seconds that compiling took; bytes that
        it plans to use.

    Example:
        >>> images = jnp.ones((2, 28, 28, 1))
        >>> step, seconds, memory = compiled_step(create_model("lenet5"), (images,), "train")
        >>> step()
        >>> memory > 61706 * 4
        True
    """
    takes_train = "train" in inspect.signature(model.__call__).parameters
    training = {"train": True} if takes_train else {}

    def infer(variables: Any, key: jax.Array, *inputs: jax.Array) -> Any:
        return variables, model.apply(variables, *inputs)

    def train(variables: Any, key: jax.Array, *inputs: jax.Array) -> Any:
        statistics = {k: v for k, v in variables.items() if k != "params"}

        def loss(params: Any) -> Any:
            logits, updated = model.apply(
                {"params": params, **statistics},
                *inputs,
                **training,
                rngs=key,
                mutable=list(statistics),
            )
            # The cross-entropy with the first class.
            return -jax.nn.log_softmax(logits.astype(jnp.float32))[..., 0].mean(), updated

        gradients, updated = jax.grad(loss, has_aux=True)(variables["params"])
        descend = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, variables["params"], gradients)
        return {"params": descend, **updated}, ()

    key = jax.random.key(0)
    with plain_lowerings() if plain else nullcontext():
        state = dict(jax.jit(model.init)(key, *inputs))
        start = time.perf_counter()
        function = jax.jit(infer if mode == "infer" else train, donate_argnums=0)
        compiled = function.lower(state, key, *inputs).compile()
        seconds = time.perf_counter() - start
    memory: Any = compiled.memory_analysis()

    def step() -> None:
        nonlocal state
        state, result = compiled(state, key, *inputs)
        jax.block_until_ready((state, result))

    held = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return step, seconds, held - memory.alias_size_in_bytes + memory.temp_size_in_bytes


def _peer(
    peer: str, name: str, mode: str, model: nn.Module, inputs: tuple[jax.Array, ...], dtype: str
) -> Step:
    if peer == "flax":
        return compiled_step(model, inputs, mode, plain=True)[0]
    images = jax.device_get(inputs[0])
    if peer == "keras":
        return _keras_step(keras_network(name, images.shape[1:]), images, mode)
    reference = model_info(name).reference
    if reference is None:
        raise UserError(f"{name} has no reference network to compare with; --against flax does")
    return _torch_step(torch_network(reference), images, mode, dtype)


def _torch_step(network: Any, images: Any, mode: str, dtype: str) -> Step:
    import torch

    network = network.to(getattr(torch, dtype))
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(getattr(torch, dtype))
    descent = torch.optim.SGD(network.parameters(), LEARNING_RATE)

    def infer() -> None:
        with torch.inference_mode():
            network(x)

    def train() -> None:
        descent.zero_grad()
        logits = network(x).float()
        labels = torch.zeros_like(logits[:, 0], dtype=torch.int64)
        torch.nn.functional.cross_entropy(logits, labels).backward()
        descent.step()

    network.train(mode == "train")
    return train if mode == "train" else infer


def _keras_step(network: Any, images: Any, mode: str) -> Step:
    import numpy as np

    labels = np.zeros(len(images), np.int32)
    if mode == "infer":
        return lambda: network.predict_on_batch(images)
    network.compile("sgd", "sparse_categorical_crossentropy")
    return lambda: network.train_on_batch(images, labels)


def in_turn(steps: list[Step], repeats: int) -> list[tuple[float, ...]]:
    """Times functions in turn, after a run of each that does not count: A B A B ….

    Args:
        steps: what to time.
        repeats: how often each runs.

    Returns:
        For each function, the seconds of each run.

    Example:
        >>> times = in_turn([lambda: None, lambda: time.sleep(0.01)], 3)
        >>> max(times[0]) < min(times[1])
        True
    """
    for step in steps:
        step()
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(repeats):
        for step, seconds in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
    return [tuple(seconds) for seconds in times]


def matmul_flops_per_second(size: int = 2000) -> float:
    """Measures how fast the device multiplies two square matrices of float32, best of five.

    Example:
        >>> matmul_flops_per_second(64) > 0
        True
    """
    x = jnp.ones((size, size))
    product = jax.jit(jnp.matmul).lower(x, x).compile()
    (times,) = in_turn([lambda: jax.block_until_ready(product(x, x))], 5)
    return 2 * size**3 / min(times)


def _spread(numbers: Any, form: str) -> str:
    low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
    return f"{middle:{form}} ({low:{form}}–{high:{form}})"
