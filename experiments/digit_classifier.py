"""The trained LeNet-5 that judges generated digits."""

from collections.abc import Callable

import jax
import lenet5_mnist

from jdl.errors import UserError
from jdl.launch import find_run, open_run, train
from jdl.train.loop import restore
from jdl.train.options import Options


def digit_classifier(run: str) -> Callable[[jax.Array], jax.Array]:
    """Restores the best checkpoint of a run of `lenet5_mnist`, which is trained first if need be.

    Args:
        run: of `lenet5_mnist`, as `jdl evaluate` takes it.

    Returns:
        Images [batch, 28, 28, 1] in [0, 1] → class probabilities.
    """
    try:
        folder = find_run(run)
    except UserError:
        print("training the classifier that judges samples first", flush=True)
        folder = train(lenet5_mnist, lenet5_mnist.Config(), Options())
    experiment, _ = open_run(folder)
    executor, state, _ = restore(experiment, folder)
    state = executor.local(state)
    return lambda images: experiment.task.probabilities(state, images)
