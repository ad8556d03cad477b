"""Each check passes on a clean experiment, and fails on the one thing that it is there for."""

import dataclasses
from pathlib import Path

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jdl.explore.checks
from jdl.cli import main
from jdl.data import InMemoryLoader
from jdl.explore.checks import check_experiment
from jdl.tasks.classification import Classification
from jdl.tasks.reconstruction import Reconstruction
from jdl.train import Experiment

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.uniform(size=(80, 6, 6, 1)).astype(np.float32)
LABELS = np.arange(80, dtype=np.int32) % 4


class Net(nn.Module):
    """A network of which a layer can be cut off, or turned up."""

    dead: bool = False
    gain: float = 1.0

    @nn.compact
    def __call__(self, images, *, train: bool = False):
        x = images.reshape(len(images), -1)
        hidden = nn.relu(nn.Dense(64, name="hidden")(x)) * (0.0 if self.dead else 1.0)
        return nn.Dense(4, name="head")(hidden) * self.gain


def experiment(images=IMAGES, labels=LABELS, model=Net(), task=Classification, copied=0):
    def split(a, b, name="train"):
        chosen = images[a:b].copy()
        if name == "test" and copied:
            chosen[:copied] = images[:copied]
        return {"image": chosen, "label": labels[a:b]}

    return Experiment(
        task=task(model, optax.sgd(0.1), 4, label_smoothing=0.1),
        train=InMemoryLoader(split(0, 40), 10),
        validation=InMemoryLoader(split(40, 60), 20),
        test=InMemoryLoader(split(60, 80, "test"), 20),
        num_steps=4,
        evaluate_every=4,
    )


def report(made):
    return {finding.what: finding for finding in check_experiment(made)}


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def test_a_clean_experiment_passes_everything():
    found = report(experiment())
    assert [f.what for f in found.values() if f.status != "ok"] == []
    assert list(found) == [
        "values", "duplicates", "labels", "balance", "first loss", "compilations", "gradients",
        "20 examples",
    ]  # fmt: skip
    assert "log 4 = 1.386" in found["first loss"].said
    assert found["compilations"].said.startswith("1 for")


@dataclasses.dataclass(frozen=True, eq=False)
class Growing(Classification):
    """A task whose state is of another type after each of its first steps."""

    def train_step(self, state, batch, key):
        grown, metrics = super().train_step(state, batch, key)
        before = state.model_state["kind"]["of"].dtype.type
        after = {jnp.float32: jnp.float16, jnp.float16: jnp.bfloat16}.get(before, jnp.bfloat16)
        return grown.replace(model_state={"kind": {"of": jnp.zeros((), after)}}), metrics

    def init(self, key, batch):
        return super().init(key, batch).replace(model_state={"kind": {"of": jnp.zeros(())}})


UNBALANCED = np.where(np.arange(80) < 4, LABELS, 1).astype(np.int32)
# Labels that say nothing of images that are all the same cannot be learned, not even by heart.
SAME = (
    np.broadcast_to(IMAGES[:1], IMAGES.shape)
    + 1e-7 * np.arange(80, dtype=np.float32)[:, None, None, None]
)


@pytest.mark.parametrize(
    ("broken", "what", "status", "said"),
    [
        ({"images": changed(IMAGES, (3, 0, 0, 0), np.nan)}, "values", "fail", "image holds 1 num"),
        ({"images": 255 * IMAGES}, "values", "look", "not within 0 to 1"),
        ({"copied": 3}, "duplicates", "fail", "3 of 20 test examples are in train too"),
        ({"labels": changed(LABELS, 45, 7)}, "labels", "fail", "validation holds label 7"),
        ({"labels": np.where(LABELS == 2, 0, LABELS)}, "balance", "fail", "class 2 has 0"),
        ({"labels": UNBALANCED}, "balance", "look", "class 0 has 1 examples"),
        ({"model": Net(gain=50.0)}, "first loss", "look", "that of guessing"),
        ({"model": Net(dead=True)}, "gradients", "fail", "hidden.bias, hidden.kernel, of 4"),
        ({"images": SAME}, "20 examples", "fail", "updates of Adam"),
    ],
)  # fmt: skip
def test_each_check_sees_what_it_is_for(broken, what, status, said, monkeypatch):
    monkeypatch.setattr(jdl.explore.checks, "UPDATES", 100)
    found = {}
    # What cannot be checked after a failure, NaN above all, is not asked.
    for finding in check_experiment(experiment(**broken)):
        found[finding.what] = finding
        if finding.what == what:
            break
    assert found[what].status == status, found[what]
    assert said in found[what].said


def test_states_that_change_their_type_compile_again():
    for finding in check_experiment(experiment(task=Growing)):
        if finding.what == "compilations":
            break
    assert finding.status == "fail"
    assert finding.said.startswith("3 for")


def test_what_has_no_classes_is_skipped():
    made = experiment()
    task = Reconstruction(made.task.model, optax.sgd(0.1))
    findings = iter(check_experiment(dataclasses.replace(made, task=task)))
    assert [next(findings).status for _ in range(3)] == ["ok", "ok", "skip"]


def test_the_command_exits_with_1_when_a_check_fails(capsys, monkeypatch):
    tiny = Path(__file__).parents[1] / "train" / "tiny.py"
    monkeypatch.setattr(jdl.explore.checks, "UPDATES", 25)
    with pytest.raises(SystemExit) as caught:
        main(["check", str(tiny), "--poison"])
    assert caught.value.code == 1
    assert "fail  values: train image holds 64 numbers" in capsys.readouterr().out
