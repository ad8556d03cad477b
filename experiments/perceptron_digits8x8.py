"""Ten perceptrons on eight-by-eight digits, by Rosenblatt's own rule.

Paper: Rosenblatt, 1958, https://doi.org/10.1037/h0042519. No rate, no gradient: a perceptron
changes only where it is wrong. Where classes can be separated by planes, mistakes come to an end.

    jdl train perceptron_digits8x8

Seed 0, two cores of an AMD EPYC (AVX2): 5 s. Result: 95.3 % of the 359 test digits by the largest
of the ten sums; each perceptron by itself is wrong about 1.6 % of them. After 50 epochs 0.9 % of
the answers in training are still wrong, and the validation accuracy still jumps by 2 %: the rule
has no rate to lower.
"""

import dataclasses

from jdl.data import InMemoryLoader, load, validate_labels
from jdl.launch import run
from jdl.tasks.rosenblatt import Rosenblatt
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "digits8x8"
    epochs: int = 50
    batch_size: int = 74
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires digits and perceptrons."""
    splits = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    brightest = splits["train"]["image"].max()  # 16 in digits8x8, 255 elsewhere
    for arrays in splits.values():
        validate_labels(arrays["label"], 10)
        arrays["image"] = (arrays["image"] / brightest).astype("float32")
    train = InMemoryLoader(splits["train"], config.batch_size, seed=config.seed)
    return Experiment(
        task=Rosenblatt(num_classes=10),
        train=train,
        validation=InMemoryLoader(splits["validation"], 180),
        test=InMemoryLoader(splits["test"], 359),
        num_steps=config.epochs * train.steps_per_epoch,
        evaluate_every=5 * train.steps_per_epoch,
        seed=config.seed,
        monitor="accuracy",
        mode="max",
    )


if __name__ == "__main__":
    run(__file__)
