"""First kernels for images of another number of channels than the checkpoint's."""

import numpy as np


def adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Makes a kernel for k channels one for n, so that it answers alike images in the same way.

        w'ⱼ = (k/n)·w₍ⱼ mod k₎,  0 ≤ j < n;  for n = 1, w' = Σⱼ wⱼ                  (1)

    A grey image so gets exactly what three equal channels got. For n that are no multiple of k, the
    sum over all channels differs from what it was.

    Args:
        kernel: w, [height, width, k, features]; or of fewer or more dimensions in space.
        channels: n.

    Returns:
        w', with n for k.

    Example:
        >>> kernel = np.arange(3.0).reshape(1, 1, 3, 1)
        >>> adapt_channels(kernel, 1).ravel().tolist()
        [3.0]
        >>> adapt_channels(kernel, 6).ravel().tolist()
        [0.0, 0.5, 1.0, 0.0, 0.5, 1.0]

    Source: timm (https://github.com/huggingface/pytorch-image-models), `adapt_input_conv`.
    """
    if channels == 1:
        return kernel.sum(-2, keepdims=True)
    k = kernel.shape[-2]
    return kernel[..., np.arange(channels) % k, :] * np.float32(k / channels)
