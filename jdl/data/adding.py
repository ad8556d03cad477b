"""The adding problem, on which memories that reach far back are measured."""

import numpy as np

from jdl.errors import UserError


def adding_problem(num_examples: int, length: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws sequences of numbers of which two are marked, and the sum of these two.

        x ∈ [0, 1]^T uniform,  m ∈ {0, 1}^T with m_i = m_j = 1,  y = x_i + x_j      (1)

    The marks fall anywhere. Answering 1, the mean, has a squared error of 1/6 on average.

    Args:
        num_examples: how many.
        length: T, at least 2.
        seed: of the draws.

    Returns:
        inputs: float32 [num_examples, T, 2], x and m. target: float32 [num_examples, 1, 1], y, to
        be answered after the last step.

    Raises:
        UserError: a sequence has no room for two marks.

    Example:
        >>> examples = adding_problem(3, length=5)
        >>> numbers, marks = np.moveaxis(examples["inputs"], -1, 0)
        >>> bool((np.sum(numbers * marks, axis=1) == examples["target"][:, 0, 0]).all())
        True

    Source: Hochreiter and Schmidhuber, 1997, section 5.4, as Le et al., 2015,
    https://arxiv.org/abs/1504.00941, section 4.1, and Bai et al., 2018, have simplified it.
    """
    if length < 2:
        raise UserError(f"two marks need a sequence of at least 2 steps, not {length}")
    random = np.random.Generator(np.random.Philox(seed))
    numbers = random.random((num_examples, length), np.float32)
    first = random.integers(0, length, num_examples)
    second = (first + random.integers(1, length, num_examples)) % length
    marks = np.zeros_like(numbers)
    rows = np.arange(num_examples)
    marks[rows, first] = marks[rows, second] = 1
    target = numbers[rows, first] + numbers[rows, second]
    return {"inputs": np.stack([numbers, marks], axis=-1), "target": target[:, None, None]}
