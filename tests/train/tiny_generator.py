"""A Gaussian model of the images that the tiny experiment classifies."""

import dataclasses

from tiny import Config as Classifier
from tiny import build as build_classifier

from jdl.data import InMemoryLoader
from jdl.launch import run
from jdl.tasks.gaussian import GaussianModel
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Of the tiny generator."""

    shrinkage: float = 0.1
    seed: int = 0


def build(config: Config) -> Experiment:
    """Fits images, without their labels."""
    classifier = build_classifier(Classifier())
    train, test = (
        InMemoryLoader({"image": loader.arrays["image"]}, loader.num_examples)
        for loader in (classifier.train, classifier.test)
    )
    return Experiment(
        task=GaussianModel((8, 8, 1), config.shrinkage),
        train=train,
        test=test,
        num_steps=1,
        evaluate_every=1,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
