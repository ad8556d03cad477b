"""What happens to whole processes: kills, signals, damaged files, several hosts."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

TINY = Path(__file__).with_name("tiny.py")


def launch(runs, *flags, devices=1, **environment):
    """Starts `python tiny.py` as a user would."""
    return subprocess.Popen(
        [sys.executable, str(TINY), "--runs", str(runs), *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {
            # Of two flags of one name the last one counts.
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} "
            f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
            "JDL_CACHE_DIR": str(Path(os.environ.get("TMPDIR", "/tmp")) / "jdl-test-cache"),
        }
        | environment,
    )


def finish(process, status=0, timeout=120):
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == status, output
    return output


def wait_for_step(run, step, process):
    """Waits until the run has reported a step."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        path = run / "metrics.jsonl"
        text = path.read_text() if path.exists() else ""
        done = [json.loads(line)["step"] for line in text.splitlines() if line.endswith("}")]
        if done and max(done) >= step:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    pytest.fail("the run did not get that far")


def parameters(run):
    """Everything the last checkpoint holds, as it lies on disk."""
    steps = [int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdigit()]
    path = (run / "checkpoints" / str(max(steps)) / "state").absolute()
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        # As NumPy arrays: the devices that saved it may not exist here.
        like = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
            checkpointer.metadata(path).item_metadata.tree,
        )
        state = checkpointer.restore(path, ocp.args.PyTreeRestore(restore_args=like))
    return max(steps), state


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 400 steps that nothing disturbed."""
    runs = tmp_path_factory.mktemp("whole")
    finish(launch(runs, "--name", "a", "--steps", 400))
    return runs / "tiny" / "a"


@pytest.mark.slow
def test_killed_at_a_random_step_and_resumed_it_is_bit_for_bit_the_same(tmp_path, whole):
    run = tmp_path / "tiny" / "a"
    process = launch(tmp_path, "--name", "a", "--steps", 400)
    wait_for_step(run, random.randrange(45, 300), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = max(int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdigit())
    assert reached < 400, "it was killed too late to prove anything"
    output = finish(launch(tmp_path, "--name", "a", "--steps", 400, "--resume"))
    assert "resuming after step" in output
    (step, ours), (expected_step, theirs) = parameters(run), parameters(whole)
    assert step == expected_step == 400
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_sigterm_saves_and_exits_with_0(tmp_path, whole):
    run = tmp_path / "tiny" / "a"
    process = launch(tmp_path, "--name", "a", "--steps", 400, "--evaluate-every", 399)
    wait_for_step(run, 1, process)
    process.send_signal(signal.SIGTERM)
    output = finish(process, status=0)
    assert "--resume goes on from here" in output
    saved = [int(p.name) for p in (run / "checkpoints").iterdir() if p.name.isdigit()]
    assert saved, "nothing was saved"
    assert saved != [400]
    finish(launch(tmp_path, "--name", "a", "--steps", 400, "--resume"))
    for a, b in zip(leaves(parameters(run)[1]), leaves(parameters(whole)[1]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_truncated_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, whole):
    run = tmp_path / "tiny" / "a"
    shutil.copytree(whole, run)
    last = run / "checkpoints" / "400" / "state"
    for file in last.rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    output = finish(launch(tmp_path, "--name", "a", "--steps", 440, "--resume"))
    assert "checkpoint 400 cannot be read" in output
    assert "resuming after step 380" in output


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_refused_with_all_differences_counted(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "tiny" / "a")
    process = launch(tmp_path, "--name", "a", "--steps", 440, "--width", 16, "--resume")
    output = finish(process, status=2)
    assert "is of another model" in output
    assert "params/Conv_0/kernel is (3, 3, 1, 8), not (3, 3, 1, 16)" in output
    assert "arrays differ" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_two_processes_train_like_one(tmp_path, whole, parallel):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ("--name", "a", "--steps", 40, "--parallel", parallel)
    both = [
        launch(tmp_path, *flags, "--coordinator", f"127.0.0.1:{port}", "--num-processes", 2,
               "--process-id", i, devices=2)
        for i in range(2)
    ]  # fmt: skip
    outputs = [finish(process) for process in both]
    assert "test:" in outputs[0]
    assert "test:" not in outputs[1], "only the first process reports"
    alone = tmp_path / "alone"
    finish(launch(alone, "--name", "a", "--steps", 40))
    for a, b in zip(
        leaves(parameters(tmp_path / "tiny" / "a")[1]),
        leaves(parameters(alone / "tiny" / "a")[1]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_labels_out_of_range_and_an_empty_split_are_one_sentence(tmp_path):
    output = finish(launch(tmp_path, "--num-classes", 3), status=2)
    assert "label 3 out of range: the model has 3 classes" in output
    output = finish(launch(tmp_path, "--empty"), status=2)
    assert "there are no examples" in output
    assert "Traceback" not in output
    assert not list(tmp_path.iterdir()), "a refused run left something behind"


@pytest.mark.slow
def test_nothing_is_overwritten(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "tiny" / "a")
    output = finish(launch(tmp_path, "--name", "a"), status=2)
    assert "--resume goes on with it" in output
    output = finish(launch(tmp_path, "--name", "b", "--resume"), status=2)
    assert "no run to resume" in output
