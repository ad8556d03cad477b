"""Nesterov's acceleration as the lectures write it, alone and together with everything else."""

import optax


def nesterov(
    learning_rate: optax.ScalarOrSchedule, momentum: float = 0.9
) -> optax.GradientTransformation:
    """Takes the gradient where the velocity is about to carry the weights.

        V ← γ ∇E(W − ρ V) + ρ V                                                     (1)
        W ← W − V                                                                   (2)

    What is trained and measured is θ = W − ρ V, where the gradient is taken:

        θ ← θ − (γ ∇E(θ) + ρ V),  with the V of (1)                                 (3)

    `optax.sgd(γ, ρ, nesterov=True)` is the same while γ is constant. Where it changes, its velocity
    is of gradients, to which the present rate is applied; here it is of steps, as in (1).

    Args:
        learning_rate: γ.
        momentum: ρ.

    Returns:
        An optax transformation.

    Example:
        >>> optimizer = nesterov(0.1)
        >>> state = optimizer.init(1.0)
        >>> for _ in range(2):
        ...     update, state = optimizer.update(1.0, state)
        ...     print(round(float(update), 3))
        -0.19
        -0.271

    Source: Nesterov, 1983; Sutskever et al., 2013, http://proceedings.mlr.press/v28/sutskever13,
    equations 3 and 4, where θ is θ + μ v.
    """
    return optax.chain(
        optax.scale_by_learning_rate(learning_rate), optax.trace(momentum, nesterov=True)
    )


def all_together(
    learning_rate: optax.ScalarOrSchedule,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    noise: float = 0.01,
    noise_decay: float = 0.55,
    *,
    seed: int = 0,
) -> optax.GradientTransformation:
    """Builds the lectures' last optimiser: Nesterov, adaptive rates, weight decay, gradient noise.

        g = ∇E(θ) + κ θ + N(0, σₜ²),  θ = W − ρ V,  σₜ = σ₀ / (1 + t)^ν             (1)
        γᵢ = γ / (√vᵢ + 10⁻⁸),  v the bias-corrected mean square of g               (2)
        V ← γᵢ g + ρ V                                                              (3)
        W ← W − V                                                                   (4)

    As in `nesterov`, θ is what is trained. Each part is optax's: `add_noise`'s η and γ are σ₀² and
    2ν.

    Args:
        learning_rate: γ; about (1 − ρ) of Adam's, whose momentum is a mean, not a sum.
        momentum: ρ.
        weight_decay: κ, of the ℓ2 penalty ½ κ ‖θ‖².
        noise: σ₀.
        noise_decay: ν.
        seed: of the noise.

    Returns:
        An optax transformation, to be used with the parameters.

    Example:
        >>> import jax.numpy as jnp
        >>> optimizer = all_together(0.1, noise=0.0)
        >>> w = jnp.array([2.0, -3.0])
        >>> update, _ = optimizer.update(w, optimizer.init(w), w)  # of the loss ½ ‖w‖²
        >>> [round(float(u), 3) for u in update]
        [-0.19, 0.19]

    Source: Sutskever et al., 2013, http://proceedings.mlr.press/v28/sutskever13; Hinton, 2012, for
    (2); Neelakantan et al., 2015, https://arxiv.org/abs/1511.06807, for the noise.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.add_noise(noise**2, 2 * noise_decay, key=seed),
        optax.scale_by_rms(decay=0.999, bias_correction=True),
        nesterov(learning_rate, momentum),
    )
