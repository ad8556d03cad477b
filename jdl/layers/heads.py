"""One trunk for several tasks."""

from collections.abc import Mapping

import flax.linen as nn
from jaxtyping import Array, Float

Outputs = dict[str, Float[Array, "batch classes"]]


class SharedTrunk(nn.Module):
    """First layers that all tasks share, and a last one of each task's own.

        h = g(trunk(x)),  zₖ = Wₖ h + bₖ  for task k                                (1)

    Its parameters are "trunk" and one "head_NAME" for each task.

    Attributes:
        trunk: images → features [batch, any]; any classifier of the registry, whose classes are
            then features.
        heads: classes of each task, by name.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jdl import create_model
        >>> model = SharedTrunk(create_model("mlp", num_classes=16), {"digit": 10, "even": 2})
        >>> images = jnp.ones((4, 28, 28, 1))
        >>> outputs, variables = model.init_with_output(jax.random.key(0), images)
        >>> {name: logits.shape for name, logits in outputs.items()}
        {'digit': (4, 10), 'even': (4, 2)}
        >>> list(variables["params"])
        ['trunk', 'head_digit', 'head_even']

    Source: Caruana, 1997, https://doi.org/10.1023/A:1007379606734.
    """

    trunk: nn.Module
    heads: Mapping[str, int]

    @nn.compact
    def __call__(self, images: Float[Array, "batch *image"], *, train: bool = False) -> Outputs:
        """Computes logits of every task.

        Args:
            images: a batch.
            train: handed to the trunk.

        Returns:
            Logits by the name of the task.
        """
        features = nn.relu(self.trunk(images, train=train))
        return {
            name: nn.Dense(classes, name=f"head_{name}")(features)
            for name, classes in self.heads.items()
        }
