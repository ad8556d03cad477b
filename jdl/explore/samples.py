"""Samples of several runs side by side, by numbers that need nobody's eye."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jdl.errors import UserError
from jdl.explore.frechet import FeatureExtractor, frechet_score, network_features
from jdl.explore.latent import crop_to, mode_coverage, nearest_images
from jdl.tasks.classification import Classification, to_float
from jdl.train.experiment import Experiment
from jdl.train.loop import restore
from jdl.train.reporting import format_value, read_metrics
from jdl.train.state import AveragedState

Images = Float[np.ndarray, "images height width channels"]


@dataclasses.dataclass(frozen=True)
class SampleJudge:
    """What samples are measured with.

    Attributes:
        classify: images in [0, 1] → probabilities of a classifier of real images.
        extractor: whose features the Fréchet distance is in.
        train: real images in [0, 1] that generators have learned from.
        test: others, which tell what a perfect generator would score.
    """

    classify: Callable[[Images], Float[np.ndarray, "images classes"]]
    extractor: FeatureExtractor
    train: Images
    test: Float[np.ndarray, "others height width channels"]

    def score(self, samples: Images) -> dict[str, float]:
        """Measures samples.

        Args:
            samples: in [0, 1]; of larger ones the middle counts.

        Returns:
            "confident": share that the classifier gives a probability above 0.9;
            "rarest class": its share of the samples; the Fréchet distance to the training images,
            under its extractor's name; "nearest": the median distance to the nearest training
            image, as a multiple of that of the test images. Far below 1, samples are copies.

        Raises:
            UserError: the samples are smaller than the images.
        """
        samples = crop_to(samples, self.train.shape[1:])
        coverage = mode_coverage(self.classify(samples))
        distance = frechet_score(self.extractor(self.train), self.extractor(samples))
        nearest = np.median(nearest_images(samples, self.train)[1])
        return {
            "confident": coverage.confident,
            "rarest class": coverage.rarest,
            f"Fréchet distance ({self.extractor.name})": distance,
            "nearest": float(nearest / np.median(nearest_images(self.test, self.train)[1])),
        }


def open_judge(experiment: Experiment, folder: Path, layer: str) -> SampleJudge:
    """Makes the best checkpoint of a classifier's run measure samples, on its own dataset.

    Args:
        experiment: of the run.
        folder: of the run.
        layer: the activation whose features the Fréchet distance is in.

    Returns:
        The judge; its extractor is called by the run and the layer.

    Raises:
        UserError: the run is of no classifier of images in memory, or it has no such layer.
    """
    task = experiment.task
    arrays = [getattr(loader, "arrays", {}) for loader in (experiment.train, experiment.test)]
    if not isinstance(task, Classification) or any("image" not in each for each in arrays):
        raise UserError(f"{folder} is of no classifier of images that are in memory")
    train, test = (np.asarray(to_float(jnp.asarray(each["image"]))) for each in arrays)
    executor, state, _ = restore(experiment, folder)
    state = executor.local(state)
    variables = state.average if isinstance(state, AveragedState) else state.variables
    name = f"{folder.parent.name}/{folder.name}"
    network = network_features(name, task.model, variables, layer)

    def extract(images):
        images = jnp.asarray(images)
        return network.extract(images if task.normalize is None else task.normalize(images))

    extract(test[:1])  # A layer that there is not is refused before anything is drawn.
    return SampleJudge(
        classify=lambda images: np.asarray(task.probabilities(state, jnp.asarray(images))),
        extractor=FeatureExtractor(network.name, extract),
        train=train,
        test=test,
    )


def draw(experiment: Experiment, folder: Path, count: int) -> Images:
    """Draws samples of the best checkpoint of a run, the same every time.

    Args:
        experiment: of the run.
        folder: of the run.
        count: how many.

    Returns:
        Images in [0, 1].

    Raises:
        UserError: the run draws no images.
    """
    task = experiment.task
    if not hasattr(task, "sample") or hasattr(task, "tokenizer"):
        raise UserError(f"{folder} draws no images; {type(task).__name__} is its task")
    executor, state, _ = restore(experiment, folder)
    state, key = executor.local(state), jax.random.key(0)
    # A few hundred at a time: more need not fit in memory.
    sizes = [min(250, count - start) for start in range(0, count, 250)]
    drawn = [
        np.asarray(task.sample(state, jax.random.fold_in(key, i), size))
        for i, size in enumerate(sizes)
    ]
    return np.clip(np.concatenate(drawn), 0, 1)


def bits_per_dimension(folder: Path) -> float | None:
    """Reads what a run measured on its test split; None where its model has no likelihood."""
    tested = [line for line in read_metrics(folder) if line["split"] == "test"]
    return tested[-1].get("bits_per_dimension") if tested else None


def compare_samples(
    runs: Mapping[Path, Experiment], judge: SampleJudge, count: int
) -> dict[str, dict[str, float | None]]:
    """Measures samples of runs, and as many real images beside them.

    Args:
        runs: folder → experiment.
        judge: what to measure with.
        count: samples of each run.

    Returns:
        Name → measurements, as `sample_table` takes them; the first row is of real test images,
        which no generator has to surpass.

    Raises:
        UserError: a run draws no images, or smaller ones than the judge takes.
    """
    rows: dict[str, dict[str, float | None]] = {}
    rows["real test images"] = {"bits per dimension": None, **judge.score(judge.test[:count])}
    for folder, experiment in runs.items():
        scores = judge.score(draw(experiment, folder, count))
        name = f"{folder.parent.name}/{folder.name}"
        rows[name] = {"bits per dimension": bits_per_dimension(folder), **scores}
    return rows


def sample_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Writes measurements as a Markdown table.

    Args:
        rows: name → measurements by name; all rows have the same, None where there is none.

    Returns:
        The table, shares in percent.

    Example:
        >>> print(sample_table({"vae": {"confident": 0.5, "bits per dimension": None}}))
        | samples of | confident | bits per dimension |
        | --- | --- | --- |
        | vae | 50.0% |  |
    """
    names = list(next(iter(rows.values())))
    lines = [["samples of", *names], ["---"] * (1 + len(names))]
    for row, measured in rows.items():
        lines.append([row, *(_shown(name, measured[name]) for name in names)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if name in ("confident", "rarest class") else format_value(value)
