"""A small GPT on Shakespeare or the World English Bible, over characters or byte pairs.

Papers: Radford et al., 2019, https://openai.com/index/better-language-models; for the optimiser
Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/. Sizes, batches and steps are those
of nanoGPT (https://github.com/karpathy/nanoGPT) for a CPU, which reports a validation loss of 1.88;
its networks have no biases and the exact GELU, this one is GPT-2.

    jdl data prepare tiny_shakespeare --source FILE
    jdl train gpt_char
    jdl train gpt_char --dataset bible_en --byte-pairs 1024

Seed 0, two cores of an AMD EPYC (AVX2): 5 min 7 s from launch to the last figure, and 6 min 21 s.
Result on tiny_shakespeare, in windows of 64 characters that cover a split once: 1.542 nats per
character on the validation split (2.224 bits), 1.659 on the test split; nanoGPT validates on both
together, 1.60 here. On bible_en: 1.452 bits per character on the validation split, 1.465 on the
test split (perplexities 19.6 and 20.5). That is Muon, which orthogonalises the steps of the
matrices. By AdamW, as nanoGPT has it:

    jdl train gpt_char --optimizer adamw --learning-rate 4e-3
    jdl train gpt_char --optimizer adamw --learning-rate 1e-3 --dataset bible_en --byte-pairs 1024

1.711 and 1.786 in 2 min 15 s on two cores of an Intel Xeon (Ice Lake, 2.8 GHz), 1.713 and 1.795 in
56 s on two of an AMD EPYC (Zen 5, AVX-512). nanoGPT's own rate (`--learning-rate 1e-3`) gives 1.876
on the validation split, 2e-3 1.751. On bible_en: 1.661 bits per character on the validation split,
1.664 on the test split (perplexities 30.0 and 30.8). `benchmarks/gpt_char.py` trains the same
network in torch, by AdamW: Muon gets below its last loss in half of the steps and three quarters of
the time.

nanoGPT's model for a GPU, of 10.7 million parameters (`LARGE`), for a seventh of the characters
that nanoGPT's recipe reads, in batches of a quarter:

    jdl train gpt_char --num-layers 6 --num-heads 6 --width 384 --window 256 --dropout 0.2 \
        --steps 3000 --batch-size 16 --microbatches 4 --adam-learning-rate 2e-3

Seed 0, two cores of an AMD EPYC (Zen 4, AVX-512): 138 min 13 s. Result on tiny_shakespeare: 1.397
nats per character on the validation split (2.015 bits), 1.540 on the test split (2.222 bits); on
both together 1.469, where nanoGPT reports 1.470. With `--steps 10000 --batch-size 8 --optimizer
adamw --learning-rate 1.5e-3` as the second line of flags, 1.415 and 1.584, together 1.500, in 128
min 30 s on two busy cores of an AMD EPYC (Zen 5, AVX-512).
"""

import dataclasses
from typing import Literal

import optax

from jdl import create_model
from jdl.data import BytePairTokenizer, CharacterTokenizer, TokenWindowLoader, is_prepared, load
from jdl.launch import run
from jdl.optim.decay import kernels_and_embeddings
from jdl.optim.muon import muon
from jdl.tasks.language_model import LanguageModel
from jdl.train import Dtype, Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str | None = None
    """tiny_shakespeare when it is prepared, else bible_en."""
    byte_pairs: int | None = None
    """tokens of a byte-pair encoding; characters when not given."""
    num_layers: int = 4
    num_heads: int = 4
    width: int = 128
    window: int = 64
    dropout: float = 0.0
    steps: int = 2000
    batch_size: int = 12
    microbatches: int = 2
    """pieces of a batch; a CPU works on two side by side."""
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 0.02
    """of the matrices by Muon, or of everything by AdamW."""
    adam_learning_rate: float = 4e-3
    """of embeddings and vectors, which Muon leaves to Adam."""
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    dtype: Dtype = "float32"
    seed: int = 0


LARGE = Config(
    num_layers=6,
    num_heads=6,
    width=384,
    window=256,
    dropout=0.2,
    steps=3000,
    batch_size=16,
    microbatches=4,
    adam_learning_rate=2e-3,
)


def make_optimizer(config: Config) -> optax.GradientTransformation:
    """Builds Muon or AdamW, with a warm-up and a cosine."""

    def schedule(peak):
        warm_up = min(100, config.steps // 10)
        return optax.warmup_cosine_decay_schedule(
            peak / (warm_up + 1), peak, warm_up, config.steps, end_value=peak / 10
        )

    rate = schedule(config.learning_rate)
    if config.optimizer == "muon":
        adam_rate = schedule(config.adam_learning_rate)
        return optax.chain(
            optax.clip_by_global_norm(1.0),
            muon(rate, adam_rate, weight_decay=0.02, embeddings=False),
        )
    # The norm and the moments are those of one vector, as each of fifty small arrays would have
    # loops of its own, which a CPU has to start one by one.
    return optax.chain(
        optax.flatten(optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b2=0.99))),
        optax.add_decayed_weights(0.1, mask=kernels_and_embeddings),
        optax.scale_by_learning_rate(rate),
    )


def build(config: Config) -> Experiment:
    """Wires tokens, a GPT-2 and its optimiser."""
    dataset = config.dataset or (
        "tiny_shakespeare" if is_prepared("tiny_shakespeare") else "bible_en"
    )
    texts = {
        name: "".join(load(dataset, name).arrays()["text"])
        for name in ("train", "validation", "test")
    }
    tokenizer = (
        BytePairTokenizer(texts["train"], config.byte_pairs)
        if config.byte_pairs
        else CharacterTokenizer("".join(texts.values()))
    )
    loaders = {
        name: TokenWindowLoader(
            tokenizer.encode(text),
            config.window,
            config.batch_size if name == "train" else 128,
            seed=config.seed,
        )
        for name, text in texts.items()
    }
    return Experiment(
        task=LanguageModel(
            model=create_model(
                "gpt2",
                vocabulary_size=tokenizer.vocabulary_size,
                max_length=config.window,
                width=config.width,
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                dropout=config.dropout,
                dtype=config.dtype,
            ),
            optimizer=make_optimizer(config),
            tokenizer=tokenizer,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
            microbatches=config.microbatches,
        ),
        **loaders,
        num_steps=config.steps,
        evaluate_every=250,
        seed=config.seed,
        monitor="loss",
    )


if __name__ == "__main__":
    run(__file__)
