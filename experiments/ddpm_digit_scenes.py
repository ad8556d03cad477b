"""Scenes of coloured digits, drawn from sentences that describe them.

Papers: Nichol et al., 2022, https://arxiv.org/abs/2112.10741, for text with classifier-free
guidance; Ho and Salimans, 2022, https://arxiv.org/abs/2207.12598; Ho et al., 2020,
https://arxiv.org/abs/2006.11239. Their texts are encoded by large Transformers; the small one here
learns its few words from 3,000 scenes, and its vector is added to the time's.

    jdl train ddpm_digit_scenes
    jdl train ddpm_digit_scenes --captioner captioning_digit_scenes    # which reads the samples
    jdl sample ddpm_digit_scenes --condition "a red three left of a blue seven on brick"

Seed 0, one core of an Intel Xeon (Ice Lake, 2.8 GHz), the other one busy: 104 min 15 s by the
second command, without the captioner's training. Result, still weak: of the 96 sentences in
`sentences.txt` none is read exactly as it was asked; BLEU is 27.6, where that captioner had 84.2 on
real scenes. The ground is right in all of them, 245 of 286 colours and 91 of 286 digits are read
again, in whatever order. The loss is 0.0463, and 0.0481 where the sentence is not told.

The network predicts the image. A patch is 48 numbers; 64 channels that hold its noise too, as they
must for the velocity, have little room for the scene (Li and He, 2025,
https://arxiv.org/abs/2511.13720).
"""

import dataclasses
from functools import partial

import optax
from captioning_digit_scenes import trained_captioner

from jdl import create_model
from jdl.data import InMemoryLoader, load
from jdl.data.augment import random_crop
from jdl.data.vocabulary import Vocabulary
from jdl.diffusion.processes import Discrete
from jdl.diffusion.schedules import cosine_schedule
from jdl.launch import run
from jdl.layers.patches import Patched
from jdl.models.generative.text_encoder import TextEncoder
from jdl.optim.muon import muon
from jdl.optim.schedules import warmup_cosine
from jdl.tasks.conditioning import BySentence
from jdl.tasks.diffusion import Diffusion
from jdl.train import Experiment


@dataclasses.dataclass(frozen=True)
class Config:
    """Every field is a flag with this name."""

    dataset: str = "digit_scenes"
    captioner: str = ""
    """A run of `captioning_digit_scenes`, to read in the end what was drawn."""
    steps: int = 3600
    batch_size: int = 32
    learning_rate: float = 0.01
    adam_learning_rate: float = 1e-3
    channels: int = 64
    text_width: int = 128
    text_layers: int = 2
    patch: int = 4
    ema: float = 0.995
    drop: float = 0.1
    guidance: float = 2.0
    seed: int = 0


def build(config: Config) -> Experiment:
    """Wires scenes, their sentences, a U-Net on patches with a text encoder, and Muon."""
    splits = {name: load(config.dataset, name).arrays() for name in ("train", "validation", "test")}
    words = Vocabulary(" ".join(splits["train"]["sentence"]).split())
    longest = max(len(s.split()) for split in splits.values() for s in split["sentence"])
    sentences = BySentence(words, longest, tuple(splits["test"]["sentence"][:96]))
    arrays = {
        name: {"image": split["image"], "tokens": sentences.encode(list(split["sentence"]))}
        for name, split in splits.items()
    }
    unet = create_model(
        "ddpm_cifar10",
        channels=config.channels,
        channel_multipliers=(1, 2),
        num_res_blocks=1,
        num_groups=8,
        dropout=0.0,
        text_encoder=TextEncoder(words.size, config.text_width, config.text_layers),
    )

    def schedule(rate):
        return warmup_cosine(rate, min(100, config.steps // 10), config.steps)

    optimizer = muon(schedule(config.learning_rate), schedule(config.adam_learning_rate))
    return Experiment(
        task=Diffusion(
            model=Patched(unet, config.patch),
            optimizer=optax.chain(optax.clip_by_global_norm(1.0), optimizer),
            process=Discrete(cosine_schedule(1000)),
            image_shape=(64, 64, 3),
            captioner=trained_captioner(config.captioner) if config.captioner else None,
            prediction="image",
            conditioning=sentences,
            drop=config.drop,
            ema=config.ema,
            guidance=config.guidance,
            # Wherever all of it stands, a scene is described by the same sentence.
            augment=partial(random_crop, padding=2),
        ),
        train=InMemoryLoader(arrays["train"], config.batch_size, seed=config.seed),
        validation=InMemoryLoader(arrays["validation"], 100),
        test=InMemoryLoader(arrays["test"], 100),
        num_steps=config.steps,
        evaluate_every=1000,
        seed=config.seed,
    )


if __name__ == "__main__":
    run(__file__)
