"""Grapheme to phoneme on CMUdict: how an English word is pronounced, from its letters.

Papers: Sutskever et al., 2014, https://arxiv.org/abs/1409.3215 (`lstm`, and `reversed`, which reads
the word backwards); Luong et al., 2015, https://arxiv.org/abs/1508.04025 (`bidirectional`, with
attention), behind a convolution as in Shen et al., 2018, https://arxiv.org/abs/1712.05884, and
written from both ends as in Liu et al., 2016, https://doi.org/10.1609/aaai.v30i1.10327; Bahdanau et
al., 2015, https://arxiv.org/abs/1409.0473 (`rnnsearch`); Wu et al., 2016,
https://arxiv.org/abs/1609.08144 (`gnmt`); Vaswani et al., 2017, https://arxiv.org/abs/1706.03762
(`transformer`). Published on other cuts of the dictionary: word and phoneme error rates of 23.55 %
and 5.45 % by a bidirectional LSTM (Yao and Zweig, 2015, https://arxiv.org/abs/1506.00196), 22.1 %
and 5.23 % by a Transformer (Yolchuyeva et al., 2019, https://arxiv.org/abs/2004.06338).

    jdl train g2p_cmudict
    jdl predict g2p_cmudict knight xylophone
    jdl train g2p_cmudict --sweep     # all architectures, for two epochs each

Seed 0, one of two cores of an AMD EPYC (Zen 5, AVX-512): 23 min 28 s from launch to the last
figure. Result of the bidirectional LSTM with attention, whose encoder begins with a convolution and
whose words are written by two decoders, on the 6,246 words of the test split, with a beam of 5 that
both decoders rank: a word error rate (`sequence_error`) of 24.19 %, with a standard error of 0.54,
a phoneme error rate (`token_error`) of 5.61 %. All architectures, trained for two epochs, are in
experiments/pronunciation.md.

A joint model of eight-grams of letters and phonemes, counted in a quarter of a minute, knows other
things than the network does. Where it helps to rank what the beam finds, as in Rao et al., 2015,
https://doi.org/10.1109/ICASSP.2015.7178767, these are 22.13 % and 5.23 %:

    jdl train g2p_cmudict --ngram 8

Five such networks, which learn side by side and write by their mean, and which, now that all is
chosen, learn the validation words too, reach 21.12 % and 4.97 %, on both cores of an AMD EPYC (Zen
4, AVX-512), which tests shared at times, in 121 min 29 s:

    jdl train g2p_cmudict --members 5 --ngram 8 --refit

Without `--refit`, and so by the best of six checkpoints in place of the last, these are 21.49 % and
5.07 %, no further off in words than the standard error of 0.52, and without n-grams either, by
`--members 5`, 22.86 % and 5.30 %, in 67 min 12 s on both cores of that Zen 5. The eight-grams take
no part in training: they were added to the runs without `--refit` afterwards, by "ngram": 8 in
their config.json, and measured by `jdl evaluate`. Their weight was chosen on validation words.

How hard a cut of the dictionary is, a joint model of eight-grams tells (`benchmarks/g2p.py`): its
word error rate is 26.08 % on this one, and given as 24.4 % on that of the published figures.

Earlier recipes, which learned only the first pronunciation of a word, run by `jdl train
g2p_cmudict` at the commit that is named, on two cores of an Intel Xeon (Ice Lake), the last one's
of an AMD EPYC (AVX2):

    5a88f98  the same but for the other pronunciations        24.14 %  5.62 %  25 min 24 s
    b929735  10 epochs, a rate that falls in the last 0.3     24.70 %  5.76 %  27 min 55 s
    65f6dbd  11 epochs, a rate of 0.003                       24.69 %  5.78 %  29 min 58 s
    52821da  14 epochs, a W_k for each decoder                23.97 %  5.57 %  44 min 10 s
    67e30c7  16 epochs, one decoder                           24.61 %  5.78 %  34 min 57 s
    7a36500  17 epochs, no convolution either                 24.90 %  5.83 %  29 min 10 s

Wider and longer these were not better by more than that standard error: they learn the training
words by heart, and their best checkpoints come after 0.75 and 0.9 of the run. `jdl train
g2p_cmudict` with these flags, at 32d2895, on two cores of an AMD EPYC (Zen 5, AVX-512) that tests
and benchmarks shared at times:

    --hidden-size 384 --epochs 24 --learning-rate 0.003 --dropout 0.3 --output-dropout 0.4
                                                         23.86 %  5.57 %  41 min 37 s
    --hidden-size 384 --epochs 20 --learning-rate 0.003 --dropout 0.5 --output-dropout 0.5
                                                         23.82 %  5.50 %  32 min 44 s
"""

import dataclasses
from functools import partial
from typing import Literal

import flax.linen as nn
import optax

from jdl import create_model
from jdl.data import load
from jdl.data.pronunciation import LETTERS, PHONEMES, pronunciation_loader
from jdl.launch import run
from jdl.ops.alignment import Pairs
from jdl.ops.joint_ngram import fit_joint_ngram
from jdl.optim.schedules import warmup_stable_decay
from jdl.tasks.transduction import Transduction
from jdl.tasks.transduction_ensemble import TransductionEnsemble
from jdl.train import Experiment

LONGEST = 30  # phonemes that are written

# Silent letters, several letters for one sound, one letter for several.
SHOWN = ("knight", "thought", "xylophone", "rhythm", "queue", "psychology", "mixture", "champagne")

Model = Literal["lstm", "reversed", "bidirectional", "rnnsearch", "gnmt", "transformer"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    model: Model = "bidirectional"
    hidden_size: int = 256
    num_layers: int = 1
    embedding_size: int = 64
    filters: int = 256
    """of the convolution that the encoder of `bidirectional` begins with."""
    backward: bool = True
    """A second decoder of `bidirectional` writes from the end."""
    members: int = 1
    """Networks that learn side by side and write together."""
    epochs: int = 11
    batch_size: int = 128
    boundaries: tuple[int, ...] = (5, 6, 7, 8, 9, 10, 12, 15, 28)
    """Lengths that words are padded to; a program is compiled for each."""
    learning_rate: float = 4e-3
    adam_b2: float = 0.99
    cooldown: float = 0.6
    """Share of the run in which the rate falls."""
    weight_decay: float = 0.01
    dropout: float = 0.2
    output_dropout: float = 0.3
    """of what is written from, in `lstm`, `reversed` and `bidirectional`."""
    label_smoothing: float = 0.1
    ema: float = 0.9995
    beam: int = 5
    length_penalty: float = 1.0
    ngram: int = 0
    """Order of a joint n-gram model that helps to rank what the beam finds; 0 for none."""
    ngram_weight: float = 0.35
    refit: bool = False
    """Learn the validation words too, when all else has been chosen by them."""
    seed: int = 0


# All architectures, for two epochs each, in which none of them needs much dropout.
SHORT = Config(
    filters=0,
    backward=False,
    epochs=2,
    learning_rate=3e-3,
    adam_b2=0.999,
    cooldown=1 / 3,
    dropout=0.1,
    output_dropout=0.1,
    length_penalty=0.6,
)
sweep = [
    dataclasses.replace(SHORT, model="lstm"),
    dataclasses.replace(SHORT, model="reversed"),
    dataclasses.replace(SHORT, model="bidirectional"),
    dataclasses.replace(SHORT, model="bidirectional", filters=256),
    dataclasses.replace(SHORT, model="bidirectional", filters=256, backward=True),
    dataclasses.replace(SHORT, model="rnnsearch"),
    dataclasses.replace(SHORT, model="gnmt", num_layers=3),
    dataclasses.replace(SHORT, model="transformer", num_layers=3, learning_rate=1e-3),
]


def make_model(config: Config) -> nn.Module:
    """Builds one of the architectures, with or without the parts that make it."""
    if config.model == "transformer":
        return create_model(
            "transformer_base",
            source_vocabulary_size=LETTERS.size,
            vocabulary_size=PHONEMES.size,
            width=config.hidden_size,
            num_layers=config.num_layers,
            num_heads=4,
            mlp_width=4 * config.hidden_size,
            dropout=config.dropout,
            max_length=LONGEST,
        )
    sizes = {
        "source_vocabulary": LETTERS.size,
        "target_vocabulary": PHONEMES.size,
        "hidden_size": config.hidden_size,
        "dropout": config.dropout,
    }
    if config.model == "gnmt":
        return create_model("gnmt", num_layers=config.num_layers, **sizes)
    sizes["embedding_size"] = config.embedding_size
    if config.model == "rnnsearch":
        return create_model("seq2seq_attention", maxout_size=config.hidden_size, **sizes)
    attentive = config.model == "bidirectional"
    return create_model(
        "seq2seq",
        num_layers=config.num_layers,
        bidirectional=attentive,
        attention=attentive,
        reverse_source=config.model == "reversed",
        output_dropout=config.output_dropout,
        filters=config.filters if attentive else 0,
        backward=config.backward and attentive,
        **sizes,
    )


def build(config: Config) -> Experiment:
    """Wires words, a network, and AdamW whose rate falls in the last part of the run."""
    loaders = {}
    splits = {"train": "train", "validation": "validation", "test": "test"}
    if config.refit:
        splits = {"train": "train+validation", "test": "test"}
    for name, split in splits.items():
        words = load("cmudict", split).arrays()
        loaders[name] = pronunciation_loader(
            words["word"],
            words["pronunciations"],
            config.batch_size if name == "train" else 256,
            # To compile for more lengths would take longer than it saves here.
            boundaries=config.boundaries if name == "train" else (10, 28),
            every=name == "train",
            seed=config.seed,
        )
    train = loaders["train"]
    num_steps = config.epochs * train.steps_per_epoch
    schedule = warmup_stable_decay(
        config.learning_rate,
        min(500, num_steps // 10),
        int(config.cooldown * num_steps),
        num_steps,
    )
    joint = None
    if config.ngram:
        words, spoken = ((train.padded[n], train.lengths[n]) for n in ("source", "target"))
        pairs = Pairs(*words, *spoken)
        joint = fit_joint_ngram(pairs, LETTERS.size, PHONEMES.size, config.ngram)
    several = partial(TransductionEnsemble, members=config.members)
    return Experiment(
        task=(several if config.members > 1 else Transduction)(
            model=make_model(config),
            optimizer=optax.chain(
                optax.clip_by_global_norm(1.0),
                optax.adamw(schedule, b2=config.adam_b2, weight_decay=config.weight_decay),
            ),
            source=LETTERS,
            target=PHONEMES,
            max_length=LONGEST,
            label_smoothing=config.label_smoothing,
            ema=config.ema,
            width=config.beam,
            length_penalty=config.length_penalty,
            joint=joint,
            joint_weight=config.ngram_weight,
            shown=SHOWN,
        ),
        train=train,
        validation=loaders.get("validation"),
        test=loaders["test"],
        num_steps=num_steps,
        evaluate_every=2 * train.steps_per_epoch,
        seed=config.seed,
        monitor=None if config.refit else "sequence_error",
    )


if __name__ == "__main__":
    run(__file__)
