"""The ways that optimisers take down the same ravine."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from jdl.optim.accelerated import all_together, nesterov

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = Float[Array, "2"]
Loss = Callable[[Point, Key[Array, ""]], Float[Array, ""]]
Path = Float[Array, "positions 2"]

START = (-4.0, 1.6)


def ravine(point: Point, key: Key[Array, ""]) -> Float[Array, ""]:
    """A valley that is fifty times as steep across as along.

        E(x, y) = ½ (x² + 50 y²)                                                    (1)

    Args:
        point: (x, y).
        key: not asked.

    Example:
        >>> float(ravine(jnp.array([2.0, 1.0]), jax.random.key(0)))
        27.0
    """
    return 0.5 * (point * point * jnp.array([1.0, 50.0])).sum()


def sampled(batch_size: int, num_examples: int = 100) -> Loss:
    """A valley that is a mean over examples, of which each look sees a few.

        E(w) = meanₙ ½ ((w − w₀)ᵀ aₙ + εₙ)²,  aₙ ~ N(0, diag(1, 4)),  εₙ ~ N(0, 1)   (1)

    about w₀ = 0, over examples drawn anew each time, or over all of them.

    Args:
        batch_size: examples drawn; all, in order, when there are no more.
        num_examples: that there are.

    Returns:
        (w, key) → E.

    Example:
        >>> one, two = (sampled(100)(jnp.ones(2), jax.random.key(seed)) for seed in (0, 1))
        >>> bool(one == two)
        True
    """
    input_key, noise_key = jax.random.split(jax.random.key(0))
    inputs = jax.random.normal(input_key, (num_examples, 2)) * jnp.array([[1.0, 2.0]])
    noise = jax.random.normal(noise_key, (num_examples,))

    def loss(point: Point, key: Key[Array, ""]) -> Float[Array, ""]:
        errors = inputs @ point + noise
        if batch_size < num_examples:
            errors = jax.random.choice(key, errors, (batch_size,), replace=False)
        return 0.5 * jnp.square(errors).mean()

    return loss


def descend(
    optimizer: optax.GradientTransformation, loss: Loss, steps: int, start: Point | None = None
) -> Path:
    """Follows an optimiser.

    Args:
        optimizer: an optax transformation.
        loss: (point, key) → E, with another key at each step.
        steps: updates.
        start: else (−4, 1.6).

    Returns:
        Where it was, the start first: [steps + 1, 2].

    Example:
        >>> [round(float(x), 2) for x in descend(optax.sgd(0.1), ravine, 2)[:, 0]]
        [-4.0, -3.6, -3.24]
    """
    first = jnp.array(START) if start is None else start
    optimizer = optax.with_extra_args_support(optimizer)

    def step(carry, key):
        point, state = carry
        value, gradient = jax.value_and_grad(loss)(point, key)
        updates, state = optimizer.update(gradient, state, point, value=value)
        point = optax.apply_updates(point, updates)
        return (point, state), point

    keys = jax.random.split(jax.random.key(0), steps)
    _, path = jax.lax.scan(step, (first, optimizer.init(first)), keys)
    return jnp.concatenate([first[None], path])


def optimizer_paths(steps: int = 60) -> dict[str, Path]:
    """Sends the lectures' optimisers down the ravine, each at a rate that suits it.

    Args:
        steps: updates.

    Returns:
        Path of each, by name; Nesterov's is that of θ in `jdl.optim.accelerated`.

    Example:
        >>> list(optimizer_paths(2))
        ['gradient descent', 'momentum', 'Nesterov', 'Adam', 'all together']
    """
    optimizers = {
        "gradient descent": optax.sgd(0.037),
        "momentum": optax.sgd(0.02, 0.8),
        "Nesterov": nesterov(0.02, 0.8),
        "Adam": optax.adam(0.35),
        "all together": all_together(0.08, 0.8, noise=1.0),
    }
    return {name: descend(optimizer, ravine, steps) for name, optimizer in optimizers.items()}


def batch_paths(steps: int = 80) -> dict[str, Path]:
    """Sends gradient descent down `sampled`, with a hundred examples, ten, and one at a time.

    Args:
        steps: updates.

    Returns:
        Path of each, by name.

    Example:
        >>> list(batch_paths(2))
        ['full batch', 'mini-batch of 10', 'one sample']
    """
    sizes = {"full batch": 100, "mini-batch of 10": 10, "one sample": 1}
    return {name: descend(optax.sgd(0.05), sampled(size), steps) for name, size in sizes.items()}


def trajectory_figure(paths: Mapping[str, Path], loss: Loss = ravine) -> "Figure":
    """Draws ways over the level lines of a loss, and how high they were at each step.

    Args:
        paths: by name.
        loss: whose level lines are drawn, and whose values are compared.

    Returns:
        A figure with two panels.

    Example:
        >>> [len(axes.lines) for axes in trajectory_figure(optimizer_paths(3)).axes]
        [6, 5]
    """
    from matplotlib.figure import Figure

    def values(points: Float[Array, "points 2"]) -> np.ndarray:
        return np.asarray(jax.vmap(loss, (0, None))(points, jax.random.key(0)))

    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    plane, curves = figure.subplots(1, 2, width_ratios=(3, 2))
    x, y = np.meshgrid(np.linspace(-5, 5, 120), np.linspace(-2.5, 2.5, 80))
    height = values(jnp.asarray(np.stack([x.ravel(), y.ravel()], -1), jnp.float32))
    # Closer together where it is low.
    levels = height.min() + np.ptp(height) * np.linspace(0.02, 1, 14) ** 2
    plane.contour(x, y, height.reshape(x.shape), levels=levels, colors="0.8", linewidths=0.8)
    for name, path in paths.items():
        plane.plot(*np.asarray(path).T, ".-", markersize=4, linewidth=1.0, label=name)
        curves.plot(values(path), linewidth=1.2, label=name)
    plane.plot(*np.asarray(next(iter(paths.values())))[0], "k*", markersize=11)
    plane.set(xlim=(-5, 5), ylim=(-2.5, 2.5), xlabel="$w_1$", ylabel="$w_2$")
    curves.set(xlabel="update", ylabel="loss", yscale="log")
    curves.grid(alpha=0.3)
    curves.legend(frameon=False)
    return figure
