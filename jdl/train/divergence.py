"""When the loss is no longer a number: where, why it probably happened, and what is left."""

import math

import numpy as np

from jdl.errors import UserError


class TrainingDiverged(UserError):
    """A loss was NaN or infinite; the run stopped, its last good checkpoint kept."""


def diagnose(
    step: int,
    history: list[dict[str, float]],
    batch: dict[str, np.ndarray],
    last_checkpoint: int | None,
) -> TrainingDiverged:
    """Explains a non-finite loss.

    Args:
        step: the update that gave it, from 0.
        history: the finite metrics of the updates before it, oldest first.
        batch: what that update was given.
        last_checkpoint: updates made by the last good checkpoint, or None.

    Returns:
        The error to raise: the step, the likely cause, the last good checkpoint.

    Example:
        >>> import numpy as np
        >>> batch = {"image": np.array([np.nan])}
        >>> print(diagnose(12, [], batch, 10))
        the loss of step 12 is not finite; likely cause: "image" of its batch holds NaN or \
infinity. The last good checkpoint is of step 10
    """
    kept = (
        f"The last good checkpoint is of step {last_checkpoint}"
        if last_checkpoint is not None
        else "No checkpoint had been saved yet"
    )
    cause = _cause(history, batch)
    return TrainingDiverged(f"the loss of step {step} is not finite; likely cause: {cause}. {kept}")


def _cause(history: list[dict[str, float]], batch: dict[str, np.ndarray]) -> str:
    for name, array in batch.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            return f'"{name}" of its batch holds NaN or infinity'
    norms = [h["gradient_norm"] for h in history if "gradient_norm" in h]
    losses = [h["loss"] for h in history if "loss" in h]
    for kind, values in (("gradient norm", norms), ("loss", losses)):
        if len(values) >= 2:
            usual = sorted(values)[len(values) // 2]
            if not math.isfinite(values[-1]) or values[-1] > 10 * max(abs(usual), 1e-6):
                return (
                    f"the {kind} grew from about {usual:.3g} to {values[-1]:.3g} just before: "
                    "try a smaller learning rate, or clip the gradients"
                )
    return (
        "a division by zero, or the logarithm or root of a number that is not positive: "
        "JAX_DEBUG_NANS=1 shows the line"
    )
