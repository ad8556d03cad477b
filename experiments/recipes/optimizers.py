"""Seven optimisers with as many updates each, at a rate that suits each.

Papers: Sutskever et al., 2013, https://proceedings.mlr.press/v28/sutskever13.html, for momentum and
Nesterov's; Hinton, 2012, for RMSProp; Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, for
Adam; Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101, for AdamW. "All together" is
the lectures' Nesterov with adaptive rates, weight decay and gradient noise. Rates are constant;
each is the one of the ladder 1, 0.3, 0.1, 0.03 … that is best on the validation digits.

    jdl train optimizers

Seeds 0 to 9, two cores of an Intel Xeon (AVX-512), with other work beside it: 36 s from launch to
the last figure. Result: Against SGD (89.0 ± 1.7 % accuracy, 10 seeds), AdamW (+1.8 ± 0.5) is better
and momentum (+0.0 ± 0.5), Nesterov (+0.8 ± 0.4), RMSProp (+1.2 ± 0.4), Adam (+1.8 ± 0.6) and all
together (+1.3 ± 0.4) make no clear difference.
"""

import dataclasses

import optax

from jdl import create_model
from jdl.data import repeated
from jdl.launch import run
from jdl.optim.accelerated import all_together, nesterov
from jdl.tasks.classification import Classification
from jdl.tasks.comparison import Comparison
from jdl.train import Experiment

OPTIMIZERS = {
    "SGD": optax.sgd(0.3),
    "momentum": optax.sgd(0.03, momentum=0.9),
    "Nesterov": nesterov(0.03),
    "RMSProp": optax.rmsprop(3e-3),
    "Adam": optax.adam(3e-3),
    "AdamW": optax.adamw(3e-3, weight_decay=1e-2),
    "all together": all_together(3e-4),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "mnist5k"
    hidden_sizes: tuple[int, ...] = (100, 100)
    batch_size: int = 50
    steps: int = 140
    seeds: int = 10
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires digits, and a small network for each optimiser."""
    model = create_model("mlp", hidden_sizes=config.hidden_sizes)
    tasks = {
        name: Classification(model, optimizer, num_classes=10)
        for name, optimizer in OPTIMIZERS.items()
    }
    return Experiment(
        task=Comparison(tasks, config.seeds),
        **repeated(config.dataset, config.seeds, config.batch_size),
        num_steps=config.steps,
        evaluate_every=max(1, config.steps // 10),
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
