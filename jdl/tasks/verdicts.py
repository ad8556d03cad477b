"""What repeated measurements say, in one sentence."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from jdl.ops.significance import Difference, holm, paired_difference

Measured = Mapping[str, Float[np.ndarray, " seeds"]]

# Of one variant and of several.
OUTCOMES = {
    1: ("is better", "are better"),
    0: ("makes no clear difference", "make no clear difference"),
    -1: ("is worse", "are worse"),
}


def verdict(
    measured: Measured,
    against: Mapping[str, str],
    metric: str = "accuracy",
    larger_is_better: bool = True,
) -> str:
    """Says what is better, what is worse, and what cannot be told, from the numbers alone.

    Differences are between runs of the same seed. They are clear where they are more than chance by
    `holm`, at the level of 0.05 for all comparisons together.

    Args:
        measured: the metric of each variant, once for each seed.
        against: what each is compared with; the order is the sentence's.
        metric: its name; accuracies are told in percent.
        larger_is_better: else smaller is.

    Returns:
        One sentence; ± is the deviation of a number over the seeds, and the standard error of a
        difference.

    Example:
        >>> print(verdict(
        ...     {"sigmoid": np.array([0.1, 0.12]), "ReLU": np.array([0.91, 0.94])},
        ...     {"ReLU": "sigmoid"},
        ... ))
        Against sigmoid (11.0 ± 1.4 % accuracy, 2 seeds), ReLU (+81.5 ± 0.5) is better.
    """
    percent = is_share(metric)
    found = {name: paired_difference(measured[name], measured[b]) for name, b in against.items()}
    clear = dict(zip(found, holm([difference.p_value for difference in found.values()])))
    seeds = len(next(iter(measured.values())))
    about = f" {metric.replace('_', ' ')}, {seeds} seeds"  # said once
    clauses = []
    for baseline in dict.fromkeys(against.values()):
        groups: dict[float, list[str]] = {1: [], 0: [], -1: []}
        for name in (name for name, other in against.items() if other == baseline):
            sign = clear[name] * np.sign(found[name].mean) * (1 if larger_is_better else -1)
            groups[sign].append(f"{name} ({_change(found[name], percent)})")
        told = [
            f"{_listed(groups[sign])} {outcomes[len(groups[sign]) > 1]}"
            for sign, outcomes in OUTCOMES.items()
            if groups[sign]
        ]
        clauses.append(
            f"against {baseline} ({_shown(measured[baseline], percent)}{about}), {_listed(told)}"
        )
        about = ""
    sentence = "; ".join(clauses) + "."
    return sentence[0].upper() + sentence[1:]


def numbers(measured: Measured, metric: str = "accuracy") -> str:
    """Lists the mean of each variant and its deviation over the seeds.

    Example:
        >>> numbers({"sigmoid": np.array([0.1, 0.12]), "ReLU": np.array([0.9, 0.92])})
        'sigmoid 11.0 ± 1.4 %, ReLU 91.0 ± 1.4 %'
    """
    percent = is_share(metric)
    return ", ".join(f"{name} {_shown(values, percent)}" for name, values in measured.items())


def is_share(metric: str) -> bool:
    """Says whether a metric is told in percent.

    Example:
        >>> is_share("top_5_accuracy"), is_share("loss")
        (True, False)
    """
    return metric.endswith("accuracy")


def _shown(values: np.ndarray, percent: bool) -> str:
    """Writes a mean and the deviation around it."""
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    digits = _digits(deviation, percent)
    scale, unit = (100, " %") if percent else (1, "")
    return f"{scale * values.mean():.{digits}f} ± {scale * deviation:.{digits}f}{unit}"


def _change(difference: Difference, percent: bool) -> str:
    """Writes a difference with its sign, and its standard error where there is one."""
    digits, scale = _digits(difference.error, percent), 100 if percent else 1
    mean = round(scale * difference.mean, digits) + 0.0  # No minus before a zero.
    change = f"{mean:+.{digits}f}".replace("-", "−")
    if difference.error == difference.error:
        change += f" ± {scale * difference.error:.{digits}f}"
    return change


def _digits(error: float, percent: bool) -> int:
    """Decimals: tenths of a percent, or as many as show one figure of the error."""
    if percent or not error > 0:
        return 1 if percent else 3
    return max(0, -int(np.floor(np.log10(error))))


def _listed(parts: Sequence[str]) -> str:
    """Joins with commas and a last "and"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
