"""What a few repetitions of an experiment can tell from chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Difference(NamedTuple):
    """A mean difference, its standard error, and how probable it were if there was none."""

    mean: float
    error: float
    p_value: float


def paired_difference(
    ours: Float[np.ndarray, " repetitions"], theirs: Float[np.ndarray, " repetitions"]
) -> Difference:
    """Compares two methods that were repeated under the same conditions, by Student's t test.

        d̄ = 1/n Σ (aᵢ − bᵢ),  e = √(Σ (aᵢ − bᵢ − d̄)² / (n − 1) / n)                 (1)
        p = P(|T| ≥ |d̄| / e),  T of Student's distribution with n − 1 degrees        (2)

    Args:
        ours: aᵢ.
        theirs: bᵢ, of the same seed, the same examples.

    Returns:
        d̄, e and p. One repetition tells nothing: its error is NaN, and p is 1.

    Example:
        >>> found = paired_difference(np.array([0.9, 0.8, 0.9]), np.array([0.5, 0.6, 0.5]))
        >>> [round(number, 3) for number in found]
        [0.333, 0.067, 0.038]

    Source: Student, 1908, https://doi.org/10.1093/biomet/6.1.1.
    """
    from scipy.special import stdtr

    differences = ours.astype(np.float64) - theirs
    mean, count = float(differences.mean()), len(differences)
    if count < 2:
        return Difference(mean, float("nan"), 1.0)
    error = float(differences.std(ddof=1) / np.sqrt(count))
    if error == 0:
        return Difference(mean, error, 0.0 if mean else 1.0)
    return Difference(mean, error, float(2 * stdtr(count - 1, -abs(mean) / error)))


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Says which of several differences are more than chance.

    The smallest of m values must be at most α/m, the next α/(m − 1), and so on; from the first that
    is not, none is. Where there is no difference at all, none is found with probability 1 − α.

    Args:
        p_values: of all comparisons that were made.
        level: α.

    Returns:
        One answer for each, in their order.

    Example:
        >>> holm([0.04, 0.001, 0.03])
        [False, True, False]

    Source: Holm, 1979, https://www.jstor.org/stable/4615733.
    """
    found = [False] * len(p_values)
    for left, i in zip(range(len(p_values), 0, -1), np.argsort(p_values, kind="stable")):
        if p_values[i] > level / left:
            break
        found[i] = True
    return found
