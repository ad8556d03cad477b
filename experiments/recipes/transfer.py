"""Digits 5 to 9 from twenty examples each, from scratch or after digits 0 to 4 were learned.

Paper: Yosinski et al., 2014, https://arxiv.org/abs/1411.1792. One LeNet-5 learns the first five
digits from all their examples; then each seed has a new head, and other examples of the last five.
What was learned is frozen ("head only"), or tuned with the head: all of it at one rate, or, as
Howard and Ruder, 2018, https://arxiv.org/abs/1801.06146, the nearer to the input, the slower.

    jdl train transfer

Seeds 0 to 7, one of two cores of an AMD EPYC, with other work beside it: 4 min 00 s from launch to
the last figure. Result: Against from scratch (88.5 ± 1.3 % accuracy, 8 seeds), fine-tuned (+1.5 ±
0.5) is better, fine-tuned by layer (+0.7 ± 0.4) makes no clear difference and head only (−15.0 ±
0.6) is worse.
"""

import dataclasses

import jax
import numpy as np
import optax
from curriculum import trained

from jdl import create_model
from jdl.data import InMemoryLoader, SideBySideLoader, load, validate_labels
from jdl.launch import run
from jdl.optim.transfer import freeze, layerwise_rates
from jdl.tasks.classification import Classification
from jdl.tasks.comparison import Comparison
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    model: str = "lenet5"
    source_steps: int = 500
    learning_rate: float = 1e-3
    labels: int = 20
    """Examples of each of the last five digits."""
    batch_size: int = 50
    steps: int = 150
    seeds: int = 8
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires the last five digits, and networks that know the first five, or nothing."""
    splits = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    for arrays in splits.values():
        validate_labels(arrays["label"], 10)
    model = create_model(config.model, num_classes=5)
    learned = first_five(model, halves(splits["train"])[0], config)
    adam = optax.adam(config.learning_rate)
    slower = layerwise_rates({"conv1": 0.1, "conv2": 0.2, "fc1": 0.4, "fc2": 0.7})
    ways = {
        "from scratch": (adam, {}),
        "head only": (freeze(adam, *learned), learned),
        "fine-tuned": (adam, learned),
        "fine-tuned by layer": (optax.chain(adam, slower), learned),
    }
    tasks = {
        name: Classification(model, optimizer, num_classes=5, pretrained=pretrained)
        for name, (optimizer, pretrained) in ways.items()
    }
    train, validation, test = (halves(splits[name])[1] for name in splits)
    few = 5 * config.labels  # Classes are interleaved: so many of each.
    return Experiment(
        task=Comparison(tasks, config.seeds),
        train=SideBySideLoader(
            [
                InMemoryLoader(
                    {k: v[s * few : (s + 1) * few] for k, v in train.items()},
                    config.batch_size,
                    seed=s,
                )
                for s in range(config.seeds)
            ]
        ),
        validation=InMemoryLoader(validation, len(validation["label"])),
        test=InMemoryLoader(test, len(test["label"])),
        num_steps=config.steps,
        evaluate_every=max(1, config.steps // 10),
        seed=config.seed,
    )


def halves(arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Splits digits into those up to 4 and those from 5 on, both with labels from 0 to 4."""
    last = arrays["label"] >= 5
    return [
        {"image": arrays["image"][mine], "label": arrays["label"][mine] % 5}
        for mine in (~last, last)
    ]


def first_five(model, arrays: dict[str, np.ndarray], config: Config) -> dict:
    """Trains on the first five digits; gives what all layers but the head have learned."""
    task = Classification(model, optax.adam(config.learning_rate), num_classes=5)
    state = trained(task, arrays, config.source_steps, config.batch_size, config.seed)
    params = jax.device_get(state.params)
    return {name: params[name] for name in sorted(params)[:-1]}  # conv1, conv2, fc1, fc2; not fc3


if __name__ == "__main__":
    run(__file__)
