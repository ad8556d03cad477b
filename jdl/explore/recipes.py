"""The recipes' verdicts in one table, from what their runs have written."""

from collections.abc import Mapping
from pathlib import Path

from jdl.train.reporting import read_metrics

HEAD = ("recipe", "what is compared", "numbers ± deviation over seeds", "verdict", "seconds")


def recipe_table(
    recipes: Mapping[str, str], runs: Mapping[str, Path | None], failed: Mapping[str, int]
) -> str:
    """Writes a Markdown table with a line for every recipe, also where there is nothing to tell.

    Args:
        recipes: what each compares, by name.
        runs: folder of each one's latest run, or None.
        failed: status of those that ended with an error just now.

    Returns:
        For each: its numbers and its verdict, as the run wrote them, and what it took.

    Example:
        >>> print(recipe_table({"dropout": "With and without."}, {"dropout": None}, {}))
        | recipe | what is compared | numbers ± deviation over seeds | verdict | seconds |
        | --- | --- | --- | --- | --- |
        | `dropout` | With and without. |  | **No run:** `jdl recipes dropout` makes one. |  |
    """
    rows = [list(HEAD), ["---"] * len(HEAD)]
    for name, compared in recipes.items():
        if name in failed:
            told = _nothing(f"**Failed** with status {failed[name]}: `jdl train {name}` says why.")
        else:
            told = _told(name, runs[name])
        rows.append([f"`{name}`", compared, *told])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _told(name: str, run: Path | None) -> list[str]:
    if run is None:
        return _nothing(f"**No run:** `jdl recipes {name}` makes one.")
    metrics = run / "metrics.jsonl"
    ends = (
        [line for line in read_metrics(run) if line["split"] == "run"] if metrics.exists() else []
    )
    if not ends:
        return _nothing(f"**Not finished:** `jdl train {name} --name {run.name} --resume` goes on.")
    texts = [(run / f"{text}.txt").read_text().strip() for text in ("numbers", "verdict")]
    return [*texts, f"{ends[-1]['wall_clock']:.0f}"]


def _nothing(reason: str) -> list[str]:
    return ["", reason, ""]
