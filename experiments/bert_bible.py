"""A small BERT, pretrained on the World English Bible: hidden words, and whether a verse follows.

Paper: Devlin et al., 2019, https://arxiv.org/abs/1810.04805, at a sixth of the base's width and a
third of its depth, without dropout, on 28,000 verses.

    jdl train bert_bible

Seed 0, one core of an AMD EPYC (AVX2), which other programs shared: 34 min from launch to the last
figure, in eleven of which it was stopped. Result on the test split's chapters: of the words that
are hidden, 33.9 % are named (3.80 nats each), where the most frequent follower of the word before
gets 19.2 % and the most frequent word 7.1 %; whether a verse follows is said rightly of 72.8 % of
1,346 pairs. All of it was still getting better.
"""

import dataclasses
import sys

import numpy as np
import optax

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.data.masking import most_frequent_next
from jdl.data.sentence_pairs import MASK, sentence_pairs, train_wordpiece
from jdl.launch import run
from jdl.optim.adam import bert_adam
from jdl.optim.schedules import with_warmup
from jdl.runs import trained_run
from jdl.tasks.masked_language_model import MaskedLanguageModel
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "bible_en"
    vocabulary_size: int = 4096
    length: int = 48
    width: int = 128
    num_layers: int = 4
    num_heads: int = 4
    dropout: float = 0.0
    steps: int = 4000
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    dtype: Dtype = "float32"
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires verses in pairs, BERT with both heads, and its Adam with a linear decay."""
    chapters = {
        split: load(config.dataset, split).arrays()["text"]
        for split in ("train", "validation", "test")
    }
    # The vocabulary is the training split's.
    tokenizer = train_wordpiece(chapters["train"], config.vocabulary_size)
    verses = {split: encode(tokenizer, texts) for split, texts in chapters.items()}
    pairs = sentence_pairs(verses["train"], config.length, passes=8, seed=config.seed)
    decay = optax.linear_schedule(config.learning_rate, 0.0, config.steps)
    return Experiment(
        task=MaskedLanguageModel(
            model=create_model(
                "bert_base_pretraining",
                vocabulary_size=tokenizer.get_vocab_size(),
                max_length=config.length,
                width=config.width,
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                dropout=config.dropout,
                dtype=config.dtype,
            ),
            optimizer=bert_adam(with_warmup(decay, config.steps // 10), config.weight_decay),
            tokenizer=tokenizer,
            guesses=round(0.15 * config.length),
            most_frequent_next=most_frequent_next(
                [np.array(verse) for chapter in verses["train"] for verse in chapter],
                tokenizer.get_vocab_size(),
                MASK,
            ),
        ),
        train=InMemoryLoader(pairs, config.batch_size, seed=config.seed),
        validation=InMemoryLoader(sentence_pairs(verses["validation"], config.length), 256),
        test=InMemoryLoader(sentence_pairs(verses["test"], config.length), 256),
        num_steps=config.steps,
        evaluate_every=500,
        seed=config.seed,
        monitor="loss",
    )


def encode(tokenizer, chapters):
    """Returns each chapter's verses as ids; some verses are empty in this translation."""
    return [
        [verse.ids for verse in tokenizer.encode_batch(chapter.splitlines()) if verse.ids]
        for chapter in chapters
    ]


def pretrained_bert(run_name: str):
    """Restores the best checkpoint of a run of this experiment, trained first if there is none.

    Args:
        run_name: as `jdl evaluate` takes it; "bert_bible" for the latest.

    Returns:
        The run's task, which has the tokenizer and the network, and the parameters of its BERT.
    """
    _, experiment, state = trained_run(sys.modules[__name__], run_name)
    return experiment.task, state.params["bert"]


if __name__ == "__main__":
    run(__file__)
