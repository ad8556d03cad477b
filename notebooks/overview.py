"""Draws the README's picture, overview.png, from the latest runs in ./runs.

python notebooks/overview.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from jdl.runs import find_run, open_run
from jdl.tasks.drawing import show_image
from jdl.train.loop import restore

COLUMNS = 14


def main() -> None:
    """Draws a strip from each of four runs."""
    strips = {
        "DCGAN": samples("dcgan_mnist"),
        "diffusion": samples("ddpm_mnist"),
        "VAE": samples("vae_mnist"),
        "scenes, and U-Net's classes": scenes(),
    }
    figure = Figure(figsize=(COLUMNS * 0.8, 4.3), layout="constrained")
    for axes_row, (name, images) in zip(figure.subplots(len(strips), COLUMNS), strips.items()):
        for axes, image in zip(axes_row, images):
            show_image(axes, image)
        # A title would widen its column.
        label = axes_row[0].text(0, 1.08, name, fontsize=10, transform=axes_row[0].transAxes)
        label.set_in_layout(False)
    figure.get_layout_engine().set(hspace=0.3, rect=(0, 0, 1, 0.95))
    figure.savefig(Path(__file__).with_name("overview.png"), dpi=110)


def samples(experiment: str) -> np.ndarray:
    """Draws from the latest run of a generative experiment."""
    task, state, _ = opened(experiment)
    return task.sample(state, jax.random.key(7), COLUMNS)


def scenes() -> list[np.ndarray]:
    """Pairs each test scene with the classes that the network sees in it."""
    task, state, experiment = opened("unet_digit_scenes")
    images = jnp.asarray(experiment.test.arrays["image"][8 : 8 + COLUMNS // 2]) / 255.0
    colours = np.vstack([[0.12] * 3, colormaps["tab10"](np.arange(10))[:, :3]])
    classes = colours[np.asarray(task.segment(state, images))]
    return [picture for pair in zip(np.asarray(images), classes) for picture in pair]


def opened(name: str):
    """Restores the latest run of an experiment."""
    folder = find_run(name)
    experiment, _ = open_run(folder)
    executor, state, _ = restore(experiment, folder)
    return experiment.task, executor.local(state), experiment


if __name__ == "__main__":
    main()
