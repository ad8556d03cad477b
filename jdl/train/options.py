"""How a run is launched: where its files go and over what it is spread."""

import dataclasses
from pathlib import Path
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Options:
    """Launch options, the same for every experiment."""

    name: str | None = None
    """Name of the run; the next free number when not given."""
    runs: Path = Path("runs")
    """Folder of all runs; this one goes to RUNS/EXPERIMENT/NAME."""
    resume: bool = False
    """Continue the named run (the latest when no name is given), bit for bit."""
    sweep: bool = False
    """Train every configuration of the experiment's `sweep`, one after another."""
    parallel: Literal["jit", "pmap"] = "jit"
    """Compile for the devices with jax.jit over a mesh, or with jax.pmap."""
    devices: int | None = None
    """Number of devices to use; all of them when not given."""
    fsdp: int = 1
    """Devices over which to shard parameters and optimiser state (fully sharded data parallel)."""
    data_dir: Path | None = None
    """Folder of prepared datasets; else TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    coordinator: str | None = None
    """HOST:PORT of process 0, to train on several hosts."""
    num_processes: int | None = None
    """Processes that train together; only with --coordinator."""
    process_id: int | None = None
    """This process's number, from 0; only with --coordinator."""
