import json

import numpy as np
import pytest

from jdl.errors import UserError
from jdl.explore.frechet import FeatureExtractor
from jdl.explore.samples import SampleJudge, bits_per_dimension, sample_table

EXTRACTOR = FeatureExtractor("corners", lambda x: x[:, ::3, ::3, 0].reshape(len(x), -1))


def images(count, seed):
    """Two classes: bright above, or bright below."""
    random = np.random.RandomState(seed)
    drawn = 0.3 * random.rand(count, 4, 4, 1)
    for number, image in enumerate(drawn):
        image[2 * (number % 2) :][:2] += 0.6
    return drawn.astype(np.float32)


def classify(x):
    above = x[:, :2].mean((1, 2, 3)) > x[:, 2:].mean((1, 2, 3))
    return np.where(above[:, None], [[0.99, 0.01]], [[0.01, 0.99]])


@pytest.fixture(scope="module")
def judge():
    return SampleJudge(classify, EXTRACTOR, train=images(300, 0), test=images(200, 1))


def test_fresh_draws_score_like_real_images(judge):
    scores = judge.score(images(200, 2))
    assert scores["confident"] == 1
    assert scores["rarest class"] == 0.5
    assert scores["Fréchet distance (corners)"] < 0.01
    assert scores["nearest"] == pytest.approx(1, abs=0.05)


def test_copies_collapse_and_noise_are_told_apart(judge):
    assert judge.score(judge.train[:100])["nearest"] == pytest.approx(0, abs=1e-3)
    collapsed = judge.score(images(200, 2)[::2])
    assert collapsed["rarest class"] == 0
    assert collapsed["Fréchet distance (corners)"] > 0.2
    noise = judge.score(np.random.RandomState(0).rand(200, 4, 4, 1).astype(np.float32))
    assert noise["nearest"] > 1.5


def test_larger_samples_are_cut_and_smaller_ones_refused(judge):
    padded = np.pad(images(50, 2), ((0, 0), (1, 1), (1, 1), (0, 0)))
    assert judge.score(padded) == judge.score(images(50, 2))
    with pytest.raises(UserError, match="cannot be compared"):
        judge.score(images(50, 2)[:, :3])


def test_bits_are_read_from_the_run_and_a_model_without_any_has_none(tmp_path):
    lines = [{"split": "train", "loss": 1.0}, {"split": "test", "bits_per_dimension": 3.25}]
    file = tmp_path / "metrics.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert bits_per_dimension(tmp_path) == 3.25
    file.write_text(json.dumps({"split": "test", "loss": 1.0}))
    assert bits_per_dimension(tmp_path) is None
    row = {"bits per dimension": None, "confident": 0.5, "nearest": 1.25}
    table = sample_table({"gan/1": row, "vae/1": row | {"bits per dimension": 3.25}})
    assert table.splitlines()[2:] == [
        "| gan/1 |  | 50.0% | 1.25 |",
        "| vae/1 | 3.25 | 50.0% | 1.25 |",
    ]
