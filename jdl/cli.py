"""The `jdl` command: its subcommands and their arguments."""
# PYTHON_ARGCOMPLETE_OK

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jdl.commands import (
    bench_model,
    compare_runs,
    convert_weights,
    evaluate_run,
    list_names,
    predict,
    prepare_data,
    rank_sentences,
    run_recipes,
    sample,
    show_summary,
)
from jdl.errors import UserError
from jdl.exploring import (
    dream,
    explain,
    filter_photographs,
    neighbours,
    patches,
    restore,
    style,
)
from jdl.launch import (
    exit_on_user_error,
    list_experiments,
    load_experiment,
    parse_flags,
    train_all,
)
from jdl.tuning import check, sweep


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
    known_later = {"train": _train, "check": check, "sweep": sweep}.get("".join(arguments[:1]))
    if known_later and arguments[1:] not in ([], ["-h"], ["--help"]):
        with exit_on_user_error():
            if arguments[1].startswith("-"):
                raise UserError("the experiment's name comes first, then its flags")
            known_later(arguments[1:])
        return
    known = parser.parse_args(arguments)
    with exit_on_user_error():
        known.command(known)


def _train(arguments: Sequence[str]) -> None:
    """`jdl train EXPERIMENT [its flags]`."""
    module = load_experiment(arguments[0])
    config, options = parse_flags(module, arguments[1:])
    train_all(module, config, options)


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

    checking = add(
        "check", None, "Check an experiment before it is trained: data, loss, gradients."
    )
    _names(checking, "experiment", "as of train", _experiments)
    checking.add_argument("--…", help="its flags, as of train")

    sweeping = add("sweep", None, "Try several numbers for a flag of an experiment, all at once.")
    _names(sweeping, "experiment", "as of train", _experiments)
    sweeping.add_argument(
        "--…",
        help="its flags, as of train, but some with several numbers, as in "
        "--learning-rate 0.3 0.1 0.03; --resume goes on with the latest sweep",
    )

    evaluating = add(
        "evaluate",
        evaluate_run,
        "Measure the best checkpoint of a run; of several classifiers, also their mean.",
    )
    _names(evaluating, "runs", _RUN, _runs, nargs="+", metavar="RUN")
    evaluating.add_argument("--split", choices=("validation", "test"), default="test")

    comparing = add("compare", compare_runs, "Write a table of runs: what they reached and cost.")
    comparing.add_argument("runs", nargs="+", help=_RUN.replace("its latest run", "all its runs"))
    comparing.add_argument(
        "--output", type=Path, help="Markdown file whose table is replaced; else it is printed"
    )
    comparing.add_argument("--curves", type=Path, help="PNG to draw their losses to")
    comparing.add_argument(
        "--samples",
        type=int,
        help="compare so many samples of each generative run: bits per dimension, coverage of "
        "classes, Fréchet distance, and distance to the nearest training image",
    )
    comparing.add_argument(
        "--classifier", default="lenet5_mnist", help="run that judges the samples"
    )
    comparing.add_argument(
        "--layer", default="f6", help="its activation in which Fréchet distances are measured"
    )
    comparing.add_argument(
        "--inception", type=Path, help="weights of Inception v3, to measure them in its features"
    )

    recipes = add(
        "recipes",
        run_recipes,
        "Show what each technique of training does: run its comparison, and write the table.",
    )
    recipes.add_argument("names", nargs="*", metavar="NAME", help="all when left out")
    recipes.add_argument("--output", type=Path, help="Markdown file; else the recipes' README")

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
    sampling.add_argument("--condition", help="what images are to show: a class, or a sentence")
    sampling.add_argument("--guidance", type=float, help="of diffusion; else the experiment's")
    sampling.add_argument("--output", type=Path, default=None, help="PNG to write images to")

    filtering = add(
        "filters",
        filter_photographs,
        "Draw what the filters of image processing make of photographs.",
    )
    filtering.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    filtering.add_argument("--output", type=Path, help="folder for the pictures")

    dreaming = add("dream", dream, "Have a picture grow what excites a network, or a class of it.")
    _network(dreaming, optional=True)
    dreaming.add_argument("image", metavar="IMAGE", nargs="?", help="none for a class alone")
    dreaming.add_argument("--towards", metavar="CLASS", help="its name or number, and no layer")
    dreaming.add_argument(
        "--layer", action="append", default=[], help="to excite, once for each; else two deep ones"
    )
    dreaming.add_argument("--octaves", type=int, default=4, help="sizes, from coarse to fine")
    dreaming.add_argument("--steps", type=int, help="of each octave; 10, or 40 without an image")
    _picture_options(dreaming)

    painting = add("style", style, "Paint what is on one picture as another is painted.")
    _network(painting, optional=True)
    painting.add_argument("content", metavar="CONTENT", type=Path, help="image: what is painted")
    painting.add_argument("style", metavar="STYLE", type=Path, help="image: how it is painted")
    painting.add_argument("--style-weight", type=float, default=1.0, help="against the content's")
    painting.add_argument("--steps", type=int, default=150, help="of each of two sizes")
    _picture_options(painting)

    explaining = add("explain", explain, "Draw what counted in images for what a network says.")
    _network(explaining)
    explaining.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image files")
    _picture_options(explaining, sized=False)

    patching = add(
        "patches",
        patches,
        "Draw the patches of images that a layer answers to most, and what of them counts.",
    )
    _network(patching)
    patching.add_argument(
        "images", metavar="IMAGE", type=Path, nargs="*", help="to look in; else a run's test split"
    )
    patching.add_argument("--layer", help="of maps; else the last one")
    _picture_options(patching, sized=False)

    neighbouring = add(
        "neighbours",
        neighbours,
        "Draw the images that are nearest to others, as a network sees it.",
    )
    _network(neighbouring)
    neighbouring.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image files")
    neighbouring.add_argument(
        "--among",
        metavar="IMAGE",
        type=Path,
        nargs="+",
        default=[],
        help="else a run's training split",
    )
    neighbouring.add_argument("--layer", help="in whose activations they are near; else the last")
    _picture_options(neighbouring, sized=False)

    restoring = add(
        "restore",
        restore,
        "Bring back pictures of any size from noise, blur or few pixels, as a run has learned to.",
    )
    _names(restoring, "run", _RUN, _runs)
    restoring.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image files")
    _picture_options(restoring, sized=False)

    timing = add("bench", bench_model, "Time a network beside the same of another library.")
    _names(timing, "model", "name of a model", _models)
    timing.add_argument("--mode", default="infer", help="infer, or train: a step of training")
    timing.add_argument("--against", default="torch", help="torch, keras, or flax: plain layers")
    timing.add_argument("--batch", type=int, default=8, help="examples")
    timing.add_argument("--size", type=int, help="height and width of images; else the model's")
    timing.add_argument("--repeats", type=int, default=5, help="pairs of runs")
    timing.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of products"
    )

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


def _names(
    parser: argparse.ArgumentParser, name: str, help: str, names: Any, **options: Any
) -> None:
    # argcomplete reads `completer` from the action.
    parser.add_argument(name, help=help, **options).completer = names  # type: ignore[attr-defined]


def _network(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    help = f"{_RUN}; or, with --weights, a model's name"
    if optional:
        help += "; else EfficientNet-Lite0, with weights of ImageNet that a package carries"
    options = {"nargs": "?"} if optional else {}
    _names(parser, "network", help, _runs_and_models, metavar="RUN|MODEL", **options)
    parser.add_argument("--weights", type=Path, help="of the model: .safetensors or .pth")


def _picture_options(parser: argparse.ArgumentParser, sized: bool = True) -> None:
    if sized:
        parser.add_argument(
            "--size", type=int, default=512, help="shrink images to so many pixels at most"
        )
    parser.add_argument("--output", type=Path, help="folder for the pictures")
    parser.add_argument(
        "--convert", action="store_true", help="recolour what the network does not take as it is"
    )


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
