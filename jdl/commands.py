"""What each subcommand of `jdl` does, `jdl train` apart."""

import argparse
import contextlib
import dataclasses
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jdl.errors import UserError, unknown
from jdl.launch import (
    experiment_files,
    keep_freed_memory,
    latest_run,
    list_experiments,
    prepare_process,
)
from jdl.runs import find_run, find_runs, open_run, restore_state
from jdl.train.options import Options


def list_names(known: argparse.Namespace) -> None:
    """`jdl list [KIND] [PATTERN]`."""
    from jdl.data import list_datasets
    from jdl.data.catalogue import EMBEDDED
    from jdl.models.registry import list_models, model_info

    kinds: dict[str, Any] = {
        "models": lambda: {n: model_info(n).description for n in list_models(known.pattern)},
        "experiments": lambda: list_experiments(known.pattern),
        "datasets": lambda: list_datasets(known.pattern),
    }
    for kind in [known.kind] if known.kind else kinds:
        named = kinds[kind]()
        if not known.kind:
            if kind == "datasets":
                named = {name: line for name, line in named.items() if name in EMBEDDED}
            print(f"{kind}:")
        width = max(map(len, named), default=0)
        for name, description in named.items():
            print(f"{name:<{width}}  {description}".rstrip())
        if known.kind and not named:
            raise UserError(f"there are no {kind} like {known.pattern!r}")
        if not known.kind:
            print()
    if not known.kind:
        print("… and every dataset of TFDS: jdl list datasets")


def show_summary(known: argparse.Namespace) -> None:
    """`jdl summary MODEL [--shape H,W,C] [--training]`."""
    from jdl import summary

    print(summary(known.model, *known.shape, training=known.training))


def evaluate_run(known: argparse.Namespace) -> None:
    """`jdl evaluate RUN` and `jdl evaluate RUN RUN RUN`."""
    from jdl.train.loop import evaluate
    from jdl.train.reporting import format_metrics, format_value

    if len(known.runs) > 1:
        _evaluate_ensemble(known.runs, known.split)
        return
    folder, experiment = reopen(known.runs[0])
    loader = experiment.test if known.split == "test" else experiment.validation
    if loader is None:
        raise UserError(f"{folder} has no {known.split} split")
    result = evaluate(experiment, folder, loader=loader)
    print(f"{folder}, step {result.step}, {known.split}: {format_metrics(result.test)}")
    for name, value in result.test.items():
        if isinstance(value, list):
            print(f"{name}: {'  '.join(format_value(v) for v in value)}")


def _evaluate_ensemble(runs: Sequence[str], split: str) -> None:
    """Prints what runs measure one by one, and the mean of their probabilities."""
    from jdl.explore.ensemble import check_members, check_same_examples, measure_ensemble
    from jdl.train.reporting import format_metrics

    opened = [reopen(run) for run in runs]
    experiments = {str(folder): experiment for folder, experiment in opened}
    if len(experiments) < len(runs):
        raise UserError("a run is named twice: an ensemble is of different runs")
    check_members({name: experiment.task for name, experiment in experiments.items()})
    loaders = {name: getattr(experiment, split) for name, experiment in experiments.items()}
    check_same_examples(loaders, split)
    members = {
        name: (experiment.task, restore_state(experiment, Path(name)))
        for name, experiment in experiments.items()
    }
    measured = measure_ensemble(members, next(iter(loaders.values())))
    width = max(map(len, measured))
    for name, values in measured.items():
        print(f"{name:<{width}}  {split}: {format_metrics({**values})}")


def compare_runs(known: argparse.Namespace) -> None:
    """`jdl compare RUN...`."""
    from jdl.explore.comparison import compare, overlay_curves, replace_table

    folders = [folder for run in known.runs for folder in find_runs(run)]
    table = compare(folders) if known.samples is None else _compare_samples(known, folders)
    if known.curves is not None:
        overlay_curves(folders).savefig(known.curves, dpi=120)
        print(f"losses of {len(folders)} runs in {known.curves}")
    if known.output is None:
        print(table)
        return
    text = known.output.read_text() if known.output.exists() else ""
    known.output.write_text(replace_table(text, table))
    print(f"{len(folders)} runs in {known.output}")


def run_recipes(known: argparse.Namespace) -> None:
    """`jdl recipes [NAME...]`."""
    from jdl.explore.comparison import replace_table
    from jdl.explore.recipes import recipe_table

    files = {n: path for n, path in experiment_files().items() if path.parent.name == "recipes"}
    for name in known.names:
        if name not in files:
            raise unknown("recipe", name, files)
    told = {name: line for name, line in list_experiments().items() if name in files}
    output = known.output or next(iter(files.values())).parent / "README.md"
    failed: dict[str, int] = {}
    for name in known.names or files:
        # A process of its own, so that none takes the others with it.
        status = subprocess.run([sys.executable, str(files[name])]).returncode
        if status:
            failed[name] = status
        runs = {name: latest_run(Path("runs") / name) for name in files}
        text = output.read_text() if output.exists() else ""
        output.write_text(replace_table(text, recipe_table(told, runs, failed)))
    print(f"{len(known.names or files)} recipes in {output}")
    if failed:
        raise UserError(f"{', '.join(failed)} failed")


def _compare_samples(known: argparse.Namespace, folders: Sequence[Path]) -> str:
    """Writes a table of samples of generative runs, as a classifier's run sees them."""
    from jdl.explore.frechet import photograph_features
    from jdl.explore.samples import compare_samples, open_judge, sample_table
    from jdl.weights import load_pretrained

    if known.samples < 2:
        raise UserError(f"--samples must be at least 2, not {known.samples}")
    folder, classifier = reopen(known.classifier)
    judge = open_judge(classifier, folder, known.layer)
    if known.inception is not None:
        with changes_told():
            network = load_pretrained("inception_v3", known.inception)
        judge = dataclasses.replace(judge, extractor=photograph_features("inception_v3", *network))
    runs = {folder: open_run(folder)[0] for folder in folders}
    return sample_table(compare_samples(runs, judge, known.samples))


def predict(known: argparse.Namespace) -> None:
    """`jdl predict RUN INPUT...` and `jdl predict MODEL --weights FILE IMAGE...`."""
    from jdl.explore import predictions
    from jdl.explore.photographs import read_photograph
    from jdl.weights import load_pretrained

    if known.top < 1:
        raise UserError(f"--top must be at least 1, not {known.top}")
    images = [Path(name) for name in known.inputs]
    if known.weights is not None:
        prepare_process(Options())
        with changes_told():
            model, variables, expected = load_pretrained(known.run, known.weights)
        photographs = map(read_photograph, images)
        probabilities = predictions.classify(model, variables, photographs, expected)
        names = predictions.class_names(probabilities.shape[1])
        if names is None and probabilities.shape[1] == 1000:
            print("jdl: pip install 'jdl[pretrained]' gives the classes names", file=sys.stderr)
        answers = predictions.best_answers(probabilities, known.top, names)
        seen, output = expected.crop_fraction, Path("predictions")
    else:
        folder, experiment = open_trained(known.run)
        if hasattr(experiment.task, "transduce"):
            _write(experiment, folder, known.inputs, known.top)
            return
        scores = predictions.ask_run(folder, experiment, images, known.convert)
        answers = [list(each.items())[: known.top] for each in scores]
        seen, output = None, folder / "predictions"
    files = predictions.picture_files(images, Path(known.run).name, known.output or output)
    for path, best, file in zip(images, answers, files):
        predictions.prediction_figure(read_photograph(path), best, seen).savefig(file, dpi=150)
        print(f"{path}: {', '.join(f'{name} {score:.1%}' for name, score in best)}\n  {file}")


def _write(experiment: Any, folder: Path, inputs: Sequence[str], top: int) -> None:
    """Prints what a run turns texts into, the likeliest first."""
    # What cannot be read is refused before anything is restored.
    experiment.task.check(inputs)
    for text, answers in zip(
        inputs, experiment.task.transduce(restore_state(experiment, folder), inputs)
    ):
        print(text)
        for answer, probability in answers[:top]:
            print(f"  {probability:6.1%}  {answer}")


def rank_sentences(known: argparse.Namespace) -> None:
    """`jdl similar SENTENCE OTHER...` and `jdl similar SENTENCE --among FILE`."""
    from jdl import load_weights
    from jdl.explore.sentences import SentenceEncoder, minilm_folder, read_sentences

    if known.top < 1:
        raise UserError(f"--top must be at least 1, not {known.top}")
    others = [*known.others, *(read_sentences(known.among) if known.among else ())]
    if not others:
        raise UserError("there is nothing to compare with: add sentences, or --among FILE")
    folder = minilm_folder()
    prepare_process(Options())
    variables = load_weights("minilm_l6", folder / "model.safetensors")
    with changes_told():
        ranked = SentenceEncoder.from_folder(folder, variables).rank(known.query, others)
    for sentence, cosine in ranked[: known.top]:
        print(f"{cosine:6.3f}  {sentence}")


def sample(known: argparse.Namespace) -> None:
    """`jdl sample RUN`."""
    import jax

    folder, experiment = reopen(known.run)
    task: Any = experiment.task
    if not hasattr(task, "sample"):
        raise UserError(f"{folder} is not generative; {type(task).__name__} is its task")
    if known.count is not None and known.count < 1:
        raise UserError(f"--count must be at least 1, not {known.count}")
    texts = hasattr(task, "tokenizer")
    options = {name: getattr(known, name) for name in ("temperature", "top_k", "top_p")}
    told = {name: value for name, value in options.items() if value is not None}
    if told and not texts:
        raise UserError(f"--{', --'.join(told).replace('_', '-')}: {folder} draws no texts")
    if known.guidance is not None:
        if not hasattr(task, "guidance"):
            raise UserError(f"--guidance: {folder} is no diffusion model")
        told["guidance"] = known.guidance
    asked: dict[str, Any] = {}
    if known.condition is not None:
        if getattr(task, "conditioning", None) is None:
            raise UserError(f"--condition: {folder} is told nothing of what to draw")
        task.conditioning.ask(known.condition, 1)  # Refused before anything is restored.
        asked["condition"] = known.condition
    task = dataclasses.replace(task, **told)
    state = restore_state(experiment, folder)
    count = known.count or (1 if texts else 64)
    drawn = task.sample(state, jax.random.key(known.seed), count, **asked)
    if texts:
        print("\n\n---\n\n".join(drawn))
        return
    from jdl.tasks.drawing import image_grid

    output = known.output or folder / "figures" / f"samples_seed{known.seed}.png"
    output.parent.mkdir(parents=True, exist_ok=True)
    image_grid(drawn, columns=8).savefig(output, dpi=120)
    print(f"{len(drawn)} samples in {output}")


def bench_model(known: argparse.Namespace) -> None:
    """`jdl bench MODEL`."""
    from jdl.explore.bench import bench

    # As training does; compiled programs are not kept, for compiling is timed.
    keep_freed_memory()
    print(
        bench(
            known.model,
            known.mode,
            known.against,
            batch=known.batch,
            size=known.size,
            repeats=known.repeats,
            dtype=known.dtype,
        )
    )


def prepare_data(known: argparse.Namespace) -> None:
    """`jdl data prepare NAME`."""
    from jdl.data import prepare

    print(prepare(known.name, data_dir=known.data_dir, source=known.source))


def convert_weights(known: argparse.Namespace) -> None:
    """`jdl weights convert MODEL SOURCE TARGET`."""
    import jax

    from jdl import create_model
    from jdl.weights import load_weights, save_weights

    options = {"num_classes": known.num_classes, "in_channels": known.in_channels}
    if any(value is not None and value < 1 for value in options.values()):
        raise UserError("--num-classes and --in-channels must be at least 1")
    model = create_model(known.model, **{k: v for k, v in options.items() if v is not None})
    with changes_told():
        variables = load_weights(model, known.source)
    save_weights(model, variables, known.target)
    print(f"{len(jax.tree.leaves(variables))} arrays in {known.target}")


@contextlib.contextmanager
def changes_told() -> Iterator[None]:
    """Tells in one sentence each what was changed in weights so that they fit."""
    with warnings.catch_warnings(record=True) as changes:
        warnings.simplefilter("always", UserWarning)
        yield
    for change in changes:
        print(f"jdl: {change.message}", file=sys.stderr)


def reopen(run: str) -> tuple[Path, Any]:
    """Finds a run, and builds its experiment anew."""
    folder = find_run(run)
    prepare_process(Options())
    return folder, open_run(folder)[0]


def open_trained(name: str) -> tuple[Path, Any]:
    """Opens a run where there could be a model with weights as well."""
    from jdl import list_models

    try:
        return reopen(name)
    except UserError:
        if name not in list_models():
            raise
        raise UserError(f"{name} is a model: add --weights FILE, or name a run") from None
