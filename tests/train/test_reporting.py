import io
import json

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from jdl.train.reporting import Reporter, training_curves


def test_tensorboard_shows_the_saved_figure(tmp_path):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 3, 2])
    reporter = Reporter(tmp_path, num_steps=1)
    reporter.figures(1, {"line": figure})
    reporter.events.close()
    (events,) = tmp_path.glob("events*")
    content = events.read_bytes()
    shown = Image.open(io.BytesIO(content[content.index(b"\x89PNG") :]))
    with Image.open(tmp_path / "figures" / "line.png") as saved:
        np.testing.assert_array_equal(shown, saved.convert("RGB"))


def test_curves_of_many_metrics_take_several_rows(tmp_path):
    names = "abcdef"
    lines = [{"step": n, "split": "train", **dict.fromkeys(names, n)} for n in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    figure = training_curves(tmp_path)
    drawn = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in drawn] == list(names)
    assert [axes.get_subplotspec().rowspan.start for axes in drawn] == [0, 0, 0, 0, 1, 1]
