"""Checkpoints by Orbax: asynchronous, atomic, the best and the last two, with fallback."""

import json
import logging
from pathlib import Path
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp
from jaxtyping import PyTree
from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

from jdl.errors import UserError


class Checkpoints:
    """The checkpoints of one run.

    Args:
        directory: where they lie; made if it does not exist.
        mode: whether the smallest or the largest value is the best.
        read_only: open to restore only.
    """

    def __init__(
        self, directory: Path, mode: Literal["min", "max"] = "min", read_only: bool = False
    ):
        # Orbax reports every save in several lines of its own.
        logging.getLogger("absl").setLevel(logging.ERROR)
        self.directory = directory.absolute()

        def value(metrics: dict[str, float]) -> float:
            return metrics["value"]

        best = BestN(
            n=1,
            get_metric_fn=value,
            reverse=mode == "min",
            keep_checkpoints_without_metrics=False,
        )
        self.manager = ocp.CheckpointManager(
            self.directory,
            # Named here, so that a checkpoint can describe itself before anything is restored.
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "loader": ocp.JsonCheckpointHandler(),
            },
            options=ocp.CheckpointManagerOptions(
                best_fn=value,
                best_mode=mode,
                read_only=read_only,
                preservation_policy=AnyPreservationPolicy([LatestN(2), best]),
            ),
        )

    @property
    def last_step(self) -> int | None:
        """Updates made by the last checkpoint, or None when there is none."""
        return self.manager.latest_step()

    def best_step(self) -> int | None:
        """Updates made by the best checkpoint, by the monitored metric."""
        return self.manager.best_step()

    def save(self, step: int, state: PyTree, loader: dict[str, Any], value: float | None) -> None:
        """Saves in the background; a checkpoint appears whole or not at all.

        Args:
            step: updates made.
            state: the task's state.
            loader: the state of the training data's iterator, as JSON.
            value: of the monitored metric, when it was measured.
        """
        if step in self.manager.all_steps():
            return
        self.manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), loader=ocp.args.JsonSave(loader)
            ),
            metrics=None if value is None else {"value": value},
            force=True,
        )

    def restore(
        self, like: PyTree, step: int | None = None
    ) -> tuple[int, PyTree, dict[str, Any], list[str]]:
        """Restores a checkpoint, or the one before it when it cannot be read.

        Args:
            like: a state of the wanted shapes, dtypes and shardings.
            step: which one; the last when None.

        Returns:
            Updates made, the state, the data iterator's state, and a sentence for each checkpoint
            that could not be read.

        Raises:
            UserError: there is none, it belongs to another model, or none can be read.
        """
        steps = sorted(self.manager.all_steps(), reverse=True)
        if step is not None:
            steps = [step, *(s for s in steps if s < step)]
        if not steps:
            raise UserError(f"there is no checkpoint in {self.directory}")
        warnings: list[str] = []
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        for candidate in steps:
            self._check_same_model(candidate, abstract)
            try:
                restored = self.manager.restore(
                    candidate,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(abstract), loader=ocp.args.JsonRestore()
                    ),
                )
            # Whatever Orbax and TensorStore raise for a damaged file, the remedy is the same.
            except Exception as error:
                reason = str(error).strip().splitlines()[0][:160]
                warnings.append(
                    f"checkpoint {candidate} cannot be read ({type(error).__name__}: {reason}); "
                    "falling back to the one before it"
                )
                continue
            return candidate, restored["state"], restored["loader"], warnings
        raise UserError(
            f"none of the {len(steps)} checkpoints in {self.directory} can be read: {warnings[0]}"
        )

    def _check_same_model(self, step: int, like: PyTree) -> None:
        """Compares names and shapes with the checkpoint's, all of them, before reading any."""
        try:
            metadata = self.manager.item_metadata(step)["state"].tree
            saved = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(metadata)}
        except Exception:
            return  # A checkpoint too damaged to describe itself: restoring it will say so.
        wanted = {_name(path): tuple(leaf.shape) for path, leaf in _leaves(like)}
        differences = [f"{n} is missing" for n in wanted if n not in saved]
        differences += [f"{n} is not of this model" for n in saved if n not in wanted]
        differences += [
            f"{n} is {saved[n]}, not {wanted[n]}"
            for n in wanted
            if n in saved and saved[n] != wanted[n]
        ]
        if differences:
            raise UserError(
                f"checkpoint {step} in {self.directory} is of another model: {len(differences)} of "
                f"{len(wanted)} arrays differ; first: {'; '.join(differences[:4])}"
            )

    def finish(self) -> None:
        """Waits for saves under way."""
        self.manager.wait_until_finished()

    def close(self) -> None:
        """Waits for saves under way and lets go of the folder."""
        self.manager.close()


def _leaves(tree: PyTree) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))


def _name(path: Any) -> str:
    """`params/conv1/kernel`: dataclass fields, dict keys and list indices alike."""
    parts = (getattr(k, "key", getattr(k, "name", getattr(k, "idx", k))) for k in path)
    return "/".join(str(part) for part in parts)


def read_config(run: Path) -> dict[str, Any]:
    """Reads `config.json` of a run.

    Raises:
        UserError: the folder is no run.
    """
    try:
        return json.loads((run / "config.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{run} is not the folder of a run: it has no config.json") from error
