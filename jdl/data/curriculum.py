"""Curricula: training begins with easy examples, and the others come in step by step."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from jdl.data.loaders import Batch, InMemoryLoader
from jdl.errors import UserError

Pacing = Callable[[int], float]


def linear_pacing(start: float, steps: int) -> Pacing:
    """Lets the share of examples that may be drawn grow steadily.

        g(t) = min(1, g₀ + (1 − g₀) t / T)                                          (1)

    Args:
        start: g₀, from 0 to 1.
        steps: T, updates until all are in.

    Example:
        >>> [linear_pacing(0.5, 10)(step) for step in (0, 5, 20)]
        [0.5, 0.75, 1.0]

    Source: Hacohen and Weinshall, 2019, https://arxiv.org/abs/1904.03626, section 2.
    """
    return lambda step: min(1.0, start + (1 - start) * step / max(steps, 1))


def step_pacing(start: float, increase: float, steps: int) -> Pacing:
    """Multiplies the share of examples that may be drawn every so often.

        g(t) = min(1, g₀ · c^⌊t/T⌋)                                                 (1)

    Args:
        start: g₀, above 0.
        increase: c, above 1.
        steps: T.

    Example:
        >>> [step_pacing(0.2, 2.0, 10)(step) for step in (0, 9, 10, 29, 30)]
        [0.2, 0.2, 0.4, 0.8, 1.0]

    Source: Hacohen and Weinshall, 2019, https://arxiv.org/abs/1904.03626, section 2, "fixed
    exponential pacing".
    """
    return lambda step: min(1.0, start * increase ** (step // max(steps, 1)))


class CurriculumLoader(InMemoryLoader):
    """Batches of the easiest examples, of which there are more with every step.

    The batch of step t is drawn without replacement from the ⌈g(t)·n⌉ examples with the smallest
    scores (as many as fill a batch, at least), by (seed, t) alone. Once g is 1, that is a plain
    loader but for one thing: an example may come again before all others have come.

    Args:
        arrays: as of `InMemoryLoader`.
        batch_size: examples in a global batch.
        scores: difficulty of each example, the smallest first: for instance the loss of a network
            that was trained before.
        pacing: g, step → share of the examples; `linear_pacing` or `step_pacing`.
        seed: of the draws.

    Raises:
        UserError: as of `InMemoryLoader`; or there is not one finite score for each example.

    Example:
        >>> easy_first = CurriculumLoader(
        ...     {"x": np.arange(8)}, 2, scores=-np.arange(8.0), pacing=linear_pacing(0.25, 10)
        ... )
        >>> sorted(easy_first.batch(0)["x"].tolist())
        [6, 7]

    Source: Bengio et al., 2009, https://doi.org/10.1145/1553374.1553380.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        batch_size: int,
        *,
        scores: ArrayLike | None = None,
        pacing: Pacing,
        seed: int = 0,
    ):
        super().__init__(arrays, batch_size, seed=seed)
        difficulty = np.array([] if scores is None else scores)
        if difficulty.shape != (self.num_examples,):
            raise UserError(
                f"a curriculum needs a score for each of {self.num_examples} examples, and has "
                + (f"an array of {difficulty.shape}" if difficulty.size else "none")
            )
        if difficulty.dtype.kind not in "iuf" or not np.isfinite(difficulty).all():
            raise UserError(
                "a curriculum needs finite scores: one or more are NaN, infinite or no number"
            )
        self.pacing = pacing
        self.easiest_first = np.argsort(difficulty, kind="stable")

    def batch(self, step: int, rows: slice = slice(None)) -> Batch:
        """Returns the given rows of the training batch of a step."""
        count = int(np.ceil(self.pacing(step) * self.num_examples - 1e-9))
        count = min(max(count, self.batch_size), self.num_examples)
        random = np.random.Generator(np.random.Philox(key=[self.seed, step]))
        drawn = random.choice(count, self.batch_size, replace=False)[rows]
        row = np.arange(self.batch_size, dtype=np.int32)[rows]
        return self._gather(self.easiest_first[drawn], row, np.ones(len(row), np.float32))
