"""Patches: trading resolution for channels, so that convolutions have fewer and wider pixels."""

import flax.linen as nn
from einops import rearrange
from jaxtyping import Array, Float


class Patched(nn.Module):
    """Runs an image-to-image network on patches stacked as channels.

        [height, width, c] → [height/p, width/p, c·p²] → network → [height, width, c]

    The rearrangement is orthogonal: white noise stays white noise, so a diffusion model may be
    trained behind it unchanged. On processors, few wide pixels are convolved several times faster
    than many narrow ones.

    Attributes:
        network: (images, *arguments, train) → images of the same shape.
        patch: p, which divides height and width.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> class Identity(nn.Module):
        ...     def __call__(self, images, *, train=False):
        ...         return images
        >>> images = jax.random.normal(jax.random.key(0), (1, 4, 6, 1))
        >>> bool((Patched(Identity(), 2).apply({}, images) == images).all())
        True
    """

    network: nn.Module
    patch: int

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width channels"],
        *arguments: Array,
        train: bool = False,
    ) -> Float[Array, "batch height width channels"]:
        """Applies the network to stacked patches.

        Args:
            images: height and width divisible by the patch.
            arguments: handed on, as timesteps are.
            train: handed on.

        Returns:
            What the network returns, unstacked.
        """
        p = self.patch
        patches = rearrange(images, "b (h p) (w q) c -> b h w (p q c)", p=p, q=p)
        patches = self.network(patches, *arguments, train=train)
        return rearrange(patches, "b h w (p q c) -> b (h p) (w q) c", p=p, q=p)
