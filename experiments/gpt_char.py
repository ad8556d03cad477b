"""A small GPT on Shakespeare or the World English Bible, over characters or byte pairs.

Paper: Radford et al., 2019, https://openai.com/index/better-language-models. The recipe is that of
nanoGPT (https://github.com/karpathy/nanoGPT) for a CPU, which reports a validation loss of 1.88;
its networks have no biases and the exact GELU, this one is GPT-2.

    jdl data prepare tiny_shakespeare --source FILE
    jdl train gpt_char
    jdl train gpt_char --dataset bible_en --byte-pairs 1024

Seed 0, two cores of an Intel Xeon (Ice Lake, 2.8 GHz): 2 min 15 s from launch to the last figure.
Result on tiny_shakespeare, in windows of 64 characters that cover a split once: 1.711 nats per
character on the validation split (2.469 bits), 1.786 on the test split. nanoGPT validates on both
together, where it is 1.749 (`benchmarks/gpt_char.py --whole`). That comes of the learning rate:
nanoGPT's (`--learning-rate 1e-3`) gives 1.876 on the validation split, 2e-3 1.751. The same network
in torch takes about as long there; on one core of an AMD EPYC (AVX2) it took a quarter more, 84 ms
a step and 66, and on two of an AMD EPYC (Zen 5, AVX-512) half as much again, 77.5 s and 51.6. There
the command above took 56 s, to 1.713 on the validation and 1.795 on the test split.

Result on bible_en with 1,024 byte pairs and a rate of 1e-3: 1.661 bits per character on the
validation split, 1.664 on the test split (perplexities 30.0 and 30.8).

nanoGPT's model for a GPU, of 10.7 million parameters (`LARGE`), for a quarter of the characters
that nanoGPT's recipe reads, in batches of an eighth:

    jdl train gpt_char --num-layers 6 --num-heads 6 --width 384 --window 256 --dropout 0.2 \
        --steps 10000 --batch-size 8 --learning-rate 1.5e-3

Seed 0, two cores of an AMD EPYC (Zen 5, AVX-512), 128 min 30 s, in the first 75 of which other
programs took up to half and stopped it for four; undisturbed a step takes 0.55 s. Result on
tiny_shakespeare: 1.415 nats per character on the validation split (2.042 bits), 1.584 on the test
split; the best checkpoint, read on both as one text, 1.498, where nanoGPT reports 1.470. It was
falling still.
"""

import dataclasses

import optax

from jdl import create_model
from jdl.data import BytePairTokenizer, CharacterTokenizer, TokenWindowLoader, is_prepared, load
from jdl.launch import run
from jdl.optim.decay import kernels_and_embeddings
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
    learning_rate: float = 4e-3
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
    steps=10_000,
    batch_size=8,
    learning_rate=1.5e-3,
)


def build(config: Config) -> Experiment:
    """Wires tokens, a GPT-2 and AdamW with a warm-up and a cosine."""
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
    warm_up = min(100, config.steps // 10)
    schedule = optax.warmup_cosine_decay_schedule(
        config.learning_rate / (warm_up + 1),
        config.learning_rate,
        warm_up,
        config.steps,
        end_value=config.learning_rate / 10,
    )
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
            # AdamW; the norm and the moments are those of one vector, as each of fifty small arrays
            # would have loops of its own, which a CPU has to start one by one.
            optimizer=optax.chain(
                optax.flatten(
                    optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam(b2=0.99))
                ),
                optax.add_decayed_weights(0.1, mask=kernels_and_embeddings),
                optax.scale_by_learning_rate(schedule),
            ),
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
