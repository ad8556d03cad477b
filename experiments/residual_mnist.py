"""Plain networks get worse with depth, residual ones do not: 20 layers against 56.

Paper: He et al., 2016, https://arxiv.org/abs/1512.03385, section 4.2 and Figure 6: the networks for
CIFAR-10, with shortcuts padded with zeros ("padding") or without any ("none"), trained as there by
momentum and a rate of 0.1 with a tenth and a hundredth of it at the end, on digits.

    jdl train residual_mnist --depth 56 --shortcut none
    jdl train residual_mnist --sweep                    # all four
    jdl compare residual_mnist --curves residual.png    # their training losses in one figure

Seed 0, two cores of an AMD EPYC (AVX2) that had other work too: 2 to 8 min each. Result after five
epochs, as loss in training, and accuracy on 1,000 test digits:

                  20 layers       56 layers
    residual      0.03, 97.3 %    0.42, 85.8 %
    plain         0.06, 96.8 %    0.96, 65.8 %

The plain network of 56 layers trains worst by far, though it could copy what 20 layers do.
Shortcuts undo much of that, not all in so short a time: at this rate the deep one starts slowly.
"""

import dataclasses
from itertools import product
from typing import Literal

import optax

from jdl import create_model
from jdl.data import InMemoryLoader, load, validate_labels
from jdl.launch import run
from jdl.tasks.classification import Classification
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    depth: Literal[20, 32, 44, 56, 110] = 20
    shortcut: Literal["padding", "none"] = "padding"
    dataset: str = "mnist5k"
    epochs: int = 5
    batch_size: int = 64
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0


sweep = [
    Config(depth=depth, shortcut=shortcut)
    for shortcut, depth in product(("padding", "none"), (20, 56))
]


def build(config: Config) -> Experiment:
    """Wires digits as they are, a network with or without shortcuts, and SGD with momentum."""
    splits = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    for arrays in splits.values():
        validate_labels(arrays["label"], 10)
    train = InMemoryLoader(splits["train"], config.batch_size, seed=config.seed)
    num_steps = config.epochs * train.steps_per_epoch
    schedule = optax.piecewise_constant_schedule(
        config.learning_rate, {num_steps // 2: 0.1, num_steps * 3 // 4: 0.1}
    )
    model = create_model(f"resnet{config.depth}_cifar", in_channels=1, shortcut=config.shortcut)
    return Experiment(
        task=Classification(
            model=model,
            optimizer=optax.chain(
                optax.add_decayed_weights(config.weight_decay),
                optax.sgd(schedule, config.momentum),
            ),
            num_classes=10,
        ),
        train=train,
        validation=InMemoryLoader(splits["validation"], 500),
        test=InMemoryLoader(splits["test"], 500),
        num_steps=num_steps,
        evaluate_every=train.steps_per_epoch,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
