"""The `jdl` command: one function for each of its subcommands, and their arguments."""
# PYTHON_ARGCOMPLETE_OK

import argparse
import contextlib
import dataclasses
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jdl.errors import UserError
from jdl.launch import (
    exit_on_user_error,
    find_run,
    find_runs,
    keep_freed_memory,
    list_experiments,
    load_experiment,
    open_run,
    parse_flags,
    prepare_process,
    train_all,
)
from jdl.train.options import Options


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; what the user can mend is one sentence and status 2.

    Args:
        arguments: of the command line; those of the process when None.

    Example:
        >>> main(["list", "models", "lenet5*"])
        lenet5       LeNet-5 with tanh and average pooling: the lecture's Keras form.
        lenet5_1998  LeNet-5 as published: sparse C3, trainable subsampling, distances to bitmaps.
        lenet5_relu  LeNet-5 with ReLU and max pooling: the lecture's torch form.
    """
    import argcomplete

    parser = make_parser()
    argcomplete.autocomplete(parser)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # An experiment's own flags are not the door's to know: they are read once it is imported.
    if arguments[:1] == ["train"] and arguments[1:] not in ([], ["-h"], ["--help"]):
        with exit_on_user_error():
            if arguments[1].startswith("-"):
                raise UserError("the experiment's name comes first, then its flags")
            module = load_experiment(arguments[1])
            config, options = parse_flags(module, arguments[2:])
            train_all(module, config, options)
        return
    known = parser.parse_args(arguments)
    with exit_on_user_error():
        known.command(known)


def make_parser() -> argparse.ArgumentParser:
    """Builds the command's parser.

    Example:
        >>> make_parser().parse_args(["summary", "lenet5"]).model
        'lenet5'
    """
    parser = argparse.ArgumentParser(
        prog="jdl",
        description="The deep-learning canon in JAX: networks, experiments, runs.",
        epilog="First steps: `jdl list`, then `jdl train lenet5_mnist`. Names complete in the "
        'shell after eval "$(register-python-argcomplete jdl)".',
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.set_defaults(command=function)
        return command

    listing = add("list", list_names, "List models, experiments and datasets, with wildcards.")
    listing.add_argument(
        "kind", nargs="?", choices=("models", "experiments", "datasets"), help="all when left out"
    )
    listing.add_argument("pattern", nargs="?", default="*", help="as in 'lenet*'")

    summarise = add(
        "summary",
        show_summary,
        "Print a model's layers: shapes, parameters, multiply-adds, receptive fields.",
    )
    _names(summarise, "model", "name of a model", _models)
    summarise.add_argument(
        "--shape",
        action="append",
        type=_shape,
        default=[],
        help="shape of an input without the batch, as 32,32,1; once for each input",
    )
    summarise.add_argument("--training", action="store_true", help="memory of training, too")

    training = add("train", None, "Train an experiment; its own flags follow its name.")
    _names(training, "experiment", "name of an experiment, or a .py file of yours", _experiments)
    training.add_argument("--…", help="its flags: `jdl train EXPERIMENT --help` lists them")

    evaluating = add("evaluate", evaluate_run, "Measure the best checkpoint of a run.")
    _names(evaluating, "run", _RUN, _runs)
    evaluating.add_argument("--split", choices=("validation", "test"), default="test")

    comparing = add("compare", compare_runs, "Write a table of runs: what they reached and cost.")
    comparing.add_argument("runs", nargs="+", help=_RUN.replace("its latest run", "all its runs"))
    comparing.add_argument(
        "--output", type=Path, help="Markdown file whose table is replaced; else it is printed"
    )
    comparing.add_argument("--curves", type=Path, help="PNG to draw their losses to")

    predicting = add(
        "predict",
        predict,
        "Say what a trained network sees in images, and draw it; or what it makes of words.",
    )
    _names(predicting, "run", f"{_RUN}; or, with --weights, a model's name", _runs_and_models)
    predicting.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image files; or words, where a run takes those"
    )
    predicting.add_argument("--weights", type=Path, help="of the model: .safetensors or .pth")
    predicting.add_argument("--top", type=int, default=5, help="how many answers to give")
    predicting.add_argument("--output", type=Path, help="folder for the pictures")
    predicting.add_argument(
        "--convert",
        action="store_true",
        help="resize and recolour images to what a run's network takes; a model with --weights "
        "takes any",
    )

    ranking = add("similar", rank_sentences, "Rank sentences by how alike in meaning they are.")
    ranking.add_argument("query", metavar="SENTENCE", help="what the others are compared with")
    ranking.add_argument("others", nargs="*", metavar="OTHER", help="sentences to rank")
    ranking.add_argument("--among", type=Path, help="text file with more, one on each line")
    ranking.add_argument("--top", type=int, default=10, help="how many to print")

    sampling = add("sample", sample, "Draw images or texts from a trained generative model.")
    _names(sampling, "run", _RUN, _runs)
    sampling.add_argument("--count", type=int, default=None, help="64 images, or 1 text")
    sampling.add_argument("--seed", type=int, default=0)
    sampling.add_argument("--temperature", type=float, help="of texts; else the experiment's")
    sampling.add_argument("--top-k", type=int, help="draw texts from so many tokens at each step")
    sampling.add_argument("--top-p", type=float, help="or from those that reach this probability")
    sampling.add_argument("--output", type=Path, default=None, help="PNG to write images to")

    timing = add("bench", bench_model, "Time a network beside the same of another library.")
    _names(timing, "model", "name of a model", _models)
    timing.add_argument("--mode", default="infer", help="infer, or train: a step of training")
    timing.add_argument("--against", default="torch", help="torch, keras, or flax: plain layers")
    timing.add_argument("--batch", type=int, default=8, help="examples")
    timing.add_argument("--size", type=int, help="height and width of images; else the model's")
    timing.add_argument("--repeats", type=int, default=5, help="pairs of runs")
    timing.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")

    data = add("data", None, "Prepare datasets on disk.")
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)
    preparing = actions.add_parser("prepare", help="Prepare a dataset; nothing if it is there.")
    preparing.set_defaults(command=prepare_data)
    _names(preparing, "name", "name of a dataset", _datasets)
    preparing.add_argument("--data-dir", type=Path, help="else TFDS_DATA_DIR, else TFDS's own")
    preparing.add_argument("--source", type=Path, help="a local copy, for datasets that take one")

    weights = add("weights", None, "Convert checkpoints of other libraries.")
    actions = weights.add_subparsers(title="actions", metavar="ACTION", required=True)
    converting = actions.add_parser(
        "convert",
        help="Rewrite a checkpoint under the names that torch expects.",
        description="Read a checkpoint of torchvision, timm or Hugging Face, check every name and "
        "shape, and write it as torchvision names it, as .safetensors or .pth.",
    )
    converting.set_defaults(command=convert_weights)
    _names(converting, "model", "name of a model", _models)
    converting.add_argument("source", type=Path, help=".safetensors, or .pth of tensors only")
    converting.add_argument("target", type=Path, help="file to write; its ending says the format")
    converting.add_argument("--num-classes", type=int, help="a new head, for so many classes")
    converting.add_argument("--in-channels", type=int, help="adapt the first kernel to them")
    return parser


_RUN = "a run's folder, EXPERIMENT/NAME, or EXPERIMENT for its latest run"


def _names(parser: argparse.ArgumentParser, name: str, help: str, names: Any) -> None:
    # argcomplete reads `completer` from the action.
    parser.add_argument(name, help=help).completer = names  # type: ignore[attr-defined]


def _models(**_: Any) -> Iterable[str]:
    from jdl import list_models

    return list_models()


def _experiments(**_: Any) -> Iterable[str]:
    return list_experiments()


def _datasets(**_: Any) -> Iterable[str]:
    from jdl.data import list_datasets

    return list_datasets()


def _runs(**_: Any) -> Iterable[str]:
    return [str(p.parent.relative_to("runs")) for p in Path("runs").glob("*/*/config.json")]


def _runs_and_models(**_: Any) -> Iterable[str]:
    return [*_runs(), *_models()]


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; write it as 32,32,1") from None


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
    """`jdl evaluate RUN`."""
    from jdl.train.loop import evaluate
    from jdl.train.reporting import format_metrics, format_value

    folder, experiment = _open(known.run)
    loader = experiment.test if known.split == "test" else experiment.validation
    if loader is None:
        raise UserError(f"{folder} has no {known.split} split")
    result = evaluate(experiment, folder, loader=loader)
    print(f"{folder}, step {result.step}, {known.split}: {format_metrics(result.test)}")
    for name, value in result.test.items():
        if isinstance(value, list):
            print(f"{name}: {'  '.join(format_value(v) for v in value)}")


def compare_runs(known: argparse.Namespace) -> None:
    """`jdl compare RUN...`."""
    from jdl.explore.comparison import compare, overlay_curves, replace_table

    folders = [folder for run in known.runs for folder in find_runs(run)]
    table = compare(folders)
    if known.curves is not None:
        overlay_curves(folders).savefig(known.curves, dpi=120)
        print(f"losses of {len(folders)} runs in {known.curves}")
    if known.output is None:
        print(table)
        return
    text = known.output.read_text() if known.output.exists() else ""
    known.output.write_text(replace_table(text, table))
    print(f"{len(folders)} runs in {known.output}")


def predict(known: argparse.Namespace) -> None:
    """`jdl predict RUN INPUT...` and `jdl predict MODEL --weights FILE IMAGE...`."""
    from jdl import list_models
    from jdl.explore import predictions
    from jdl.explore.photographs import read_photograph
    from jdl.weights import load_pretrained

    if known.top < 1:
        raise UserError(f"--top must be at least 1, not {known.top}")
    images = [Path(name) for name in known.inputs]
    if known.weights is not None:
        prepare_process(Options())
        with _changes_told():
            model, variables, expected = load_pretrained(known.run, known.weights)
        photographs = map(read_photograph, images)
        probabilities = predictions.classify(model, variables, photographs, expected)
        names = predictions.class_names(probabilities.shape[1])
        if names is None and probabilities.shape[1] == 1000:
            print("jdl: pip install 'jdl[pretrained]' gives the classes names", file=sys.stderr)
        answers = predictions.best_answers(probabilities, known.top, names)
        seen, output = expected.crop_fraction, Path("predictions")
    else:
        try:
            folder, experiment = _open(known.run)
        except UserError:
            if known.run not in list_models():
                raise
            raise UserError(f"{known.run} is a model: add --weights FILE, or name a run") from None
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
        inputs, experiment.task.transduce(_restore(experiment, folder), inputs)
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
    with _changes_told():
        ranked = SentenceEncoder.from_folder(folder, variables).rank(known.query, others)
    for sentence, cosine in ranked[: known.top]:
        print(f"{cosine:6.3f}  {sentence}")


def sample(known: argparse.Namespace) -> None:
    """`jdl sample RUN`."""
    import jax

    folder, experiment = _open(known.run)
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
    task = dataclasses.replace(task, **told)
    state = _restore(experiment, folder)
    drawn = task.sample(state, jax.random.key(known.seed), known.count or (1 if texts else 64))
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
    with _changes_told():
        variables = load_weights(model, known.source)
    save_weights(model, variables, known.target)
    print(f"{len(jax.tree.leaves(variables))} arrays in {known.target}")


@contextlib.contextmanager
def _changes_told() -> Iterator[None]:
    """Tells in one sentence each what was changed in weights so that they fit."""
    with warnings.catch_warnings(record=True) as changes:
        warnings.simplefilter("always", UserWarning)
        yield
    for change in changes:
        print(f"jdl: {change.message}", file=sys.stderr)


def _open(run: str) -> tuple[Path, Any]:
    folder = find_run(run)
    prepare_process(Options())
    return folder, open_run(folder)[0]


def _restore(experiment: Any, folder: Path) -> Any:
    from jdl.train.loop import restore

    executor, state, _ = restore(experiment, folder)
    return executor.local(state)
