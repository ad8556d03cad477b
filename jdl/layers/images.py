"""What networks ask of the images and the codes that they are given."""

from jaxtyping import Array, Float

from jdl.errors import UserError


def check_channels(images: Float[Array, "batch height width channels"], in_channels: int) -> None:
    """Refuses images of another number of channels than the network was built for.

    Args:
        images: NHWC.
        in_channels: what the network expects.

    Raises:
        UserError: with both numbers, and what would help.

    Example:
        >>> import jax.numpy as jnp
        >>> check_channels(jnp.zeros((1, 8, 8, 1)), 3)
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: these images have 1 channel, the network takes 3: \
create_model(..., in_channels=1) builds one for them
    """
    channels = images.shape[-1]
    if channels != in_channels:
        plural = "" if channels == 1 else "s"
        raise UserError(
            f"these images have {channels} channel{plural}, the network takes {in_channels}: "
            f"create_model(..., in_channels={channels}) builds one for them"
        )


def check_smallest(
    images: Float[Array, "batch height width channels"], network: str, smallest: int
) -> None:
    """Refuses images of which nothing would be left at the network's end.

    Args:
        images: NHWC.
        network: its name, for the error.
        smallest: pixels that height and width must have.

    Raises:
        UserError: with both sizes.

    Example:
        >>> import jax.numpy as jnp
        >>> check_smallest(jnp.zeros((1, 74, 80, 3)), "Inception-v3", 75)
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: Inception-v3 takes images of 75x75 pixels or more, not 74x80
    """
    height, width = images.shape[1:3]
    if min(height, width) < smallest:
        raise UserError(
            f"{network} takes images of {smallest}x{smallest} pixels or more, not {height}x{width}"
        )


def check_shape(
    images: Float[Array, "batch height width channels"],
    image_shape: tuple[int, int, int],
    network: str,
) -> None:
    """Refuses images of another shape than a network was built for.

    Args:
        images: NHWC.
        image_shape: height, width and channels.
        network: as the error calls it.

    Raises:
        UserError: with both shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> check_shape(jnp.zeros((1, 8, 8, 1)), (28, 28, 1), "this VAE")
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: this VAE takes images of shape (28, 28, 1), not (8, 8, 1); \
set image_shape
    """
    if images.shape[1:] != image_shape:
        raise UserError(
            f"{network} takes images of shape {image_shape}, not {images.shape[1:]}; "
            "set image_shape"
        )


def check_latents(latents: Float[Array, "batch latent"], latent_size: int) -> None:
    """Refuses codes of another size than a decoder was built for.

    Args:
        latents: codes.
        latent_size: numbers that a code must have.

    Raises:
        UserError: with both sizes.

    Example:
        >>> import jax.numpy as jnp
        >>> check_latents(jnp.zeros((5, 3)), 20)
        Traceback (most recent call last):
        ...
        jdl.errors.UserError: this decoder takes codes of 20 numbers, not 3
    """
    if latents.shape[-1] != latent_size:
        raise UserError(
            f"this decoder takes codes of {latent_size} numbers, not {latents.shape[-1]}"
        )
