"""McCulloch and Pitts' unit, and Rosenblatt's rule for learning its weights."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int


def mcculloch_pitts(
    excitatory: Bool[Array, "*batch inputs"],
    inhibitory: Bool[Array, "*batch others"],
    threshold: int,
) -> Bool[Array, "*batch"]:
    """Fires when enough exciting inputs do and no inhibiting one does.

        y = [Σᵢ xᵢ ≥ θ] · [no inhibitory input]                                     (1)

    Args:
        excitatory: x.
        inhibitory: each of them alone keeps the unit silent.
        threshold: θ; 1 makes an OR of the inputs, their number an AND.

    Returns:
        y.

    Example:
        >>> x = jnp.array([[False, False], [False, True], [True, False], [True, True]])
        >>> none = jnp.zeros((4, 0), bool)
        >>> mcculloch_pitts(x, none, 2).tolist()
        [False, False, False, True]
        >>> mcculloch_pitts(x, none, 1).tolist()
        [False, True, True, True]

    Source: McCulloch and Pitts, 1943, https://doi.org/10.1007/BF02478259.
    """
    return (excitatory.sum(-1) >= threshold) & ~inhibitory.any(-1)


def rosenblatt(
    inputs: Float[Array, "examples features"],
    labels: Int[Array, " examples"],
    epochs: int,
) -> tuple[Float[Array, " features"], Float[Array, ""], Int[Array, ""]]:
    """Learns a separating plane, example by example.

        ŷ = sign(w·x + b);  where ŷ ≠ y:  w ← w + y x,  b ← b + y                   (2)

    If some plane through the origin of the inputs, each with a constant 1 beside it, keeps a
    distance γ from all of them, and none is longer than R, no more than (R/γ)² mistakes are made
    (Novikoff, 1962).

    Args:
        inputs: x.
        labels: y, −1 or 1.
        epochs: passes over the examples, in their order.

    Returns:
        w, b, and the number of mistakes on the way.

    Example:
        >>> x = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> w, b, mistakes = rosenblatt(x, jnp.array([-1, -1, -1, 1]), epochs=10)
        >>> jnp.sign(x @ w + b).tolist(), int(mistakes)
        ([-1.0, -1.0, -1.0, 1.0], 18)

    Source: Rosenblatt, 1958, https://doi.org/10.1037/h0042519.
    """

    def epoch(state, _):
        weights, bias, mistakes = state
        weights, bias, more = rosenblatt_epoch(weights, bias, inputs, labels)
        return (weights, bias, mistakes + more), None

    start = jnp.zeros(inputs.shape[1]), jnp.zeros(()), jnp.zeros((), jnp.int32)
    return lax.scan(epoch, start, length=epochs)[0]


def rosenblatt_epoch(
    weights: Float[Array, " features"],
    bias: Float[Array, ""],
    inputs: Float[Array, "examples features"],
    labels: Int[Array, " examples"],
) -> tuple[Float[Array, " features"], Float[Array, ""], Int[Array, ""]]:
    """Applies the rule (2) once to each example, in their order.

    Args:
        weights: w.
        bias: b.
        inputs: x.
        labels: y, −1 or 1; an example with 0 is passed over.

    Returns:
        w, b, and the number of mistakes.

    Example:
        >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> w, b, mistakes = rosenblatt_epoch(jnp.zeros(2), jnp.zeros(()), x, jnp.array([1, -1]))
        >>> w.tolist(), float(b), int(mistakes)
        ([1.0, -1.0], 0.0, 2)
    """

    def see(state, example):
        weights, bias = state
        x, y = example
        # On the plane is a mistake too, or the start at w = 0 would be an end.
        wrong = (y * (weights @ x + bias) <= 0) & (y != 0)
        step = jnp.where(wrong, y, 0).astype(inputs.dtype)
        return (weights + step * x, bias + step), wrong

    (weights, bias), wrong = lax.scan(see, (weights, bias), (inputs, labels))
    return weights, bias, wrong.sum()
