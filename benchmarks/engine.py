"""Steps per second of the engine against the same jitted step in a bare loop, paired.

    python benchmarks/engine.py

Both train LeNet-5 on mnist5k at batch 64 with the same compiled step. The bare loop has all its
batches on the device beforehand, and reads nothing; the engine gathers, sends, reports and reads
every step's loss. They alternate, so that a machine whose speed drifts cheats neither.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "experiments"))

import dataclasses

import lenet5_mnist

from jdl.train import loop
from jdl.train.options import Options
from jdl.train.parallel import JitExecutor, make_executor

STEPS = 540
ROUNDS = 5


def main() -> None:
    """Prints both rates and their ratio."""
    experiment = lenet5_mnist.build(lenet5_mnist.Config())
    # One validation at the end, outside of what is timed.
    experiment = dataclasses.replace(
        experiment, num_steps=STEPS, evaluate_every=STEPS, validation=None, test=None, monitor=None
    )
    executor = make_executor(experiment.task, 0, Options(devices=1))
    assert isinstance(executor, JitExecutor)
    loader = experiment.train
    batches = [jax.device_put(loader.batch(i)) for i in range(loader.steps_per_epoch)]
    state = executor.init(batches[0])
    state, _ = executor.train_step(state, batches[0], 0)

    def bare() -> float:
        nonlocal state
        jax.block_until_ready(state)
        start = time.perf_counter()
        for step in range(STEPS):
            state, _ = executor.train_step(state, batches[step % len(batches)], step)
        jax.block_until_ready(state)
        return STEPS / (time.perf_counter() - start)

    def engine() -> float:
        nonlocal state
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            reporter = loop.Reporter(Path(folder), STEPS)
            checkpoints = loop.Checkpoints(Path(folder) / "checkpoints")
            checkpoints.save = lambda *_: None
            run = loop._Run(experiment, executor, checkpoints, reporter)
            jax.block_until_ready(state)
            start = time.perf_counter()
            state, _, _ = run.train(state, loader.train_batches(), 0)
            jax.block_until_ready(state)
            seconds = time.perf_counter() - start
            reporter.close()
            checkpoints.close()
        return STEPS / seconds

    bare(), engine()
    pairs = [(bare(), engine()) for _ in range(ROUNDS)]
    for name, rates in zip(("bare loop", "engine"), zip(*pairs)):
        median, low, high = statistics.median(rates), min(rates), max(rates)
        print(f"{name:>10}: median {median:6.1f} steps/s  ({low:.1f}–{high:.1f})")
    ratios = [engine / bare for bare, engine in pairs]
    median, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"     ratio: median {median:.3f}  ({low:.3f}–{high:.3f})")


if __name__ == "__main__":
    main()
