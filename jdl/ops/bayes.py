"""Bayes' rule on class-conditional Gaussians: a generative classifier."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jdl.ops.gaussian import Gaussian, from_covariance, log_density, moments, shrink

Covariance = Literal["full", "shared", "diagonal"]


def fit_classes(
    examples: Float[Array, "examples dimensions"],
    labels: Int[Array, " examples"],
    num_classes: int,
    covariance: Covariance = "full",
    shrinkage: float | Float[Array, ""] = 0.0,
    weights: Float[Array, " examples"] | None = None,
) -> tuple[Gaussian, Float[Array, " classes"]]:
    """Fits p(x|y) = N(μ_y, Σ_y) and p(y) by maximum likelihood.

        π_k = n_k/N,  μ_k = (1/n_k) Σ xᵢ over the examples i of class k             (1)
        full:      Σ_k of each class's own examples                                 (2)
        shared:    Σ = Σ_k π_k Σ_k for all, so that planes divide the classes       (3)
        diagonal:  the diagonal of Σ_k: pixels are independent in a class           (4)

    Then Σ is shrunk, as `jdl.ops.gaussian.shrink` says.

    Args:
        examples: x.
        labels: y, from 0.
        num_classes: K.
        covariance: which of (2) to (4): quadratic discriminant analysis, linear discriminant
            analysis, naïve Bayes.
        shrinkage: α.
        weights: how often each example counts; once when None. Every class needs some.

    Returns:
        The Gaussians, stacked [classes, ...], and log π.

    Example:
        >>> x, y = jnp.array([[0.0], [2.0], [7.0], [9.0]]), jnp.array([0, 0, 1, 1])
        >>> gaussians, log_prior = fit_classes(x, y, 2)
        >>> gaussians.mean.ravel().tolist(), gaussians.variances.ravel().tolist()
        ([1.0, 8.0], [1.0, 1.0])

    Source: Ng and Jordan, 2001, "On Discriminative vs. Generative Classifiers", section 2.
    """
    weights = jnp.ones(len(examples)) if weights is None else weights
    members = jax.nn.one_hot(labels, num_classes, axis=0) * weights[None]
    prior = members.sum(1) / weights.sum()
    means, covariances = jax.vmap(moments, in_axes=(None, 0))(examples, members)
    if covariance == "shared":
        pooled = (prior[:, None, None] * covariances).sum(0)
        shared = from_covariance(means[0], shrink(pooled, shrinkage))
        axes, variances = (jnp.broadcast_to(x[None], (num_classes, *x.shape)) for x in shared[1:])
        return Gaussian(means, axes, variances), jnp.log(prior)
    shrunk = jax.vmap(lambda c: shrink(c, shrinkage))(covariances)
    if covariance == "diagonal":
        variances = jnp.diagonal(shrunk, axis1=1, axis2=2)
        axes = jnp.broadcast_to(jnp.eye(examples.shape[1])[None], shrunk.shape)
        return Gaussian(means, axes, variances), jnp.log(prior)
    return jax.vmap(from_covariance)(means, shrunk), jnp.log(prior)


def log_posterior(
    gaussians: Gaussian,
    log_prior: Float[Array, " classes"],
    examples: Float[Array, "batch dimensions"],
) -> Float[Array, "batch classes"]:
    """Applies Bayes' rule.

        log p(y|x) = log π_y + log p(x|y) − log Σ_k π_k p(x|k)                       (1)

    Args:
        gaussians: of the classes, stacked.
        log_prior: log π.
        examples: x.

    Returns:
        log p(y|x), in nats.

    Example:
        >>> axes, variances = jnp.ones((2, 1, 1)), jnp.ones((2, 1))
        >>> gaussians = Gaussian(jnp.array([[-1.0], [1.0]]), axes, variances)
        >>> halfway = log_posterior(gaussians, jnp.log(jnp.array([0.25, 0.75])), jnp.zeros((1, 1)))
        >>> round(float(jnp.exp(halfway)[0, 1]), 3)  # where both are as likely, the prior decides
        0.75
    """
    joint = jax.vmap(log_density, in_axes=(0, None))(gaussians, examples) + log_prior[:, None]
    return jax.nn.log_softmax(joint.T, axis=-1)
