"""What the two players of a generative adversarial network minimise."""

from typing import Literal

import jax
from jaxtyping import Array, Float

GeneratorLoss = Literal["non-saturating", "minimax"]
Logits = Float[Array, "*shape"]


def discriminator_loss(real: Logits, fake: Logits) -> Logits:
    """What the discriminator minimises, for each pair of a real and a generated example.

        L_D = −log D(x) − log(1 − D(G(z))),  D = sigmoid(logit)                     (1)

    Args:
        real: logits of real examples.
        fake: logits of generated ones.

    Returns:
        The losses, in nats.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(discriminator_loss(jnp.zeros(()), jnp.zeros(()))), 4)  # 2 log 2
        1.3863

    Source: Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661, equation 1.
    """
    return jax.nn.softplus(-real) + jax.nn.softplus(fake)


def generator_loss(fake: Logits, kind: GeneratorLoss = "non-saturating") -> Logits:
    """What the generator minimises, for each of its examples.

        minimax: log(1 − D(G(z))),  whose gradient by the logit is −D               (1)
        non-saturating: −log D(G(z)),  whose gradient is −(1 − D)                   (2)

    Both push the logit up. Where the discriminator is sure that the example is generated, D ≈ 0,
    the first gives almost no gradient, when it is needed most, and the second the largest.

    Args:
        fake: logits of generated examples.
        kind: which of the two.

    Returns:
        The losses, in nats.

    Example:
        >>> import jax.numpy as jnp
        >>> sure = jnp.array(-5.0)
        >>> round(float(jax.grad(generator_loss)(sure)), 3)
        -0.993
        >>> round(float(jax.grad(lambda logit: generator_loss(logit, "minimax"))(sure)), 3)
        -0.007

    Source: Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661, section 3.
    """
    if kind == "minimax":
        return -jax.nn.softplus(fake)
    return jax.nn.softplus(-fake)
