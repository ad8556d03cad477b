"""What the subcommands of `jdl` do that look into pictures and networks."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jdl.commands import changes_told, open_trained, reopen
from jdl.errors import UserError, unknown
from jdl.launch import prepare_process
from jdl.runs import restore_state
from jdl.train.options import Options


def filter_photographs(known: argparse.Namespace) -> None:
    """`jdl filters IMAGE...`."""
    from jdl.explore.photographs import read_picture
    from jdl.explore.predictions import picture_files
    from jdl.explore.progress import progress
    from jdl.explore.signals import DRAWN, filter_figure

    prepare_process(Options())
    # What cannot be read is refused before anything is drawn.
    photographs = [read_picture(path, convert=True, largest=DRAWN) for path in known.images]
    files = picture_files(known.images, "filters", known.output or Path("filters"))
    with progress("filtering", len(files)) as advance:
        for photograph, file in zip(photographs, files):
            filter_figure(photograph).savefig(file, dpi=150)
            print(file)
            advance()


def dream(known: argparse.Namespace) -> None:
    """`jdl dream [RUN|MODEL] IMAGE` and `jdl dream [RUN|MODEL] --towards CLASS`."""
    import jax.numpy as jnp
    import numpy as np

    from jdl.explore import dream as dreams
    from jdl.explore.photographs import read_picture, write_picture
    from jdl.explore.predictions import picture_files
    from jdl.explore.progress import progress

    # A name alone is the image's, but where a class may be drawn out of nothing.
    if known.image is None and (known.towards is None or Path(known.network or "").is_file()):
        known.network, known.image = None, known.network
    if known.image is None and known.towards is None:
        raise UserError("there is nothing to dream of: name an image, or a class with --towards")
    network, folder, _ = _open_network(known.network, known.weights)
    if known.image is None:
        image, picture, steps = Path(known.towards), None, 40
        shape = network.shape
    else:
        image, steps = Path(known.image), 10
        picture = read_picture(image, network.shape[2], known.convert, known.size)
        shape = picture.shape
    steps = steps if known.steps is None else known.steps
    shapes = dreams.octave_shapes(shape[:2], known.octaves)
    objective = dreams.dream_objective(network, shapes, known.layer, known.towards)
    options: dict[str, Any] = {"octaves": known.octaves, "steps": steps}
    with progress("dreaming", known.octaves * steps) as advance:
        if picture is None:
            dreamt = dreams.activation_maximization(objective, shape, **options, advance=advance)
        else:
            start = jnp.asarray(picture, jnp.float32) / 255
            dreamt = dreams.deep_dream(objective, start, **options, advance=advance)
    name = Path(network.name).name
    (file,) = picture_files([image], name, known.output or folder / "dreams")
    write_picture(file, np.asarray(dreamt))
    print(file)


def style(known: argparse.Namespace) -> None:
    """`jdl style [RUN|MODEL] CONTENT STYLE`."""
    import jax.numpy as jnp
    import numpy as np

    from jdl.explore import style as styles
    from jdl.explore.photographs import read_picture, write_picture
    from jdl.explore.predictions import picture_files
    from jdl.explore.progress import progress

    network, folder, _ = _open_network(known.network, known.weights)
    content, style = (
        jnp.asarray(read_picture(path, network.shape[2], known.convert, known.size)) / 255
        for path in (known.content, known.style)
    )
    layers = styles.style_layers(network.maps(*content.shape[:2]))
    with progress("painting", styles.OCTAVES * known.steps) as advance:
        painted = styles.style_transfer(
            network.look(sorted({*layers[0], *layers[1]})),
            content,
            style,
            content_layers=layers[0],
            style_layers=layers[1],
            style_weight=known.style_weight,
            steps=known.steps,
            advance=advance,
        )
    named = known.content.with_stem(f"{known.content.stem}_as_{known.style.stem}")
    name = Path(network.name).name
    (file,) = picture_files([named], name, known.output or folder / "styles")
    write_picture(file, np.asarray(painted))
    print(file)


def explain(known: argparse.Namespace) -> None:
    """`jdl explain RUN|MODEL IMAGE...`."""
    from jdl.explore.explain import explainer, explanation_figure
    from jdl.explore.predictions import picture_files
    from jdl.explore.progress import progress

    network, folder, _ = _open_network(known.network, known.weights)
    pictures = [network.read(path, known.convert) for path in known.images]
    name, output = Path(network.name).name, known.output or folder / "explanations"
    files = picture_files(known.images, name, output)
    look = explainer(network)
    explanations = []
    with progress("explaining", len(pictures)) as advance:
        for picture, file in zip(pictures, files):
            explanations.append(look(picture))
            explanation_figure(explanations[-1]).savefig(file, dpi=150)
            advance()
    for path, explanation, file in zip(known.images, explanations, files):
        answers = ", ".join(f"{name} {score:.1%}" for name, score in explanation.answers)
        print(f"{path}: {answers}\n  {file}")


def patches(known: argparse.Namespace) -> None:
    """`jdl patches RUN|MODEL [IMAGE...]`."""
    from jdl.explore.deconvnet import MOST, patches_figure, top_patches
    from jdl.explore.predictions import picture_files
    from jdl.explore.progress import progress

    network, folder, experiment = _open_network(known.network, known.weights)
    maps = network.maps(*network.shape[:2])
    if not maps:
        raise UserError(f"{network.name} has no layer of maps, of which patches could be seen")
    layer = known.layer or list(maps)[-1]
    if layer not in maps:
        raise unknown(f"layer of {network.name}", layer, maps)
    images = _look_among(network, known.images, known.convert, experiment and experiment.test)
    with progress("looking for patches", min(MOST, maps[layer][-1])) as advance:
        found = top_patches(
            network.layer(layer), images, count=min(9, len(images)), advance=advance
        )
    title = f"What {layer} of {network.name} answers to: projected by the deconvnet, and as it is"
    output = known.output or folder / "patches"
    (file,) = picture_files([Path(f"{layer}.png")], Path(network.name).name, output)
    patches_figure(found, title).savefig(file, dpi=150)
    print(file)


def neighbours(known: argparse.Namespace) -> None:
    """`jdl neighbours RUN|MODEL IMAGE... [--among IMAGE...]`."""
    import numpy as np

    from jdl.explore.neighbours import embed, nearest_neighbours, neighbours_figure
    from jdl.explore.predictions import picture_files
    from jdl.explore.progress import progress

    network, folder, experiment = _open_network(known.network, known.weights)
    queries = np.stack([network.read(path, known.convert) for path in known.images])
    among = _look_among(network, known.among, known.convert, experiment and experiment.train)
    layer = known.layer or list(network.layers(*network.shape[:2]))[-1]
    look, found = network.layer(layer), {}
    with progress("looking", len(queries) + len(among)) as advance:
        spaces = {
            "pixels": lambda images: images.reshape(len(images), -1),
            layer: lambda images: embed(look, images, advance=advance),
        }
        for name, vectors in spaces.items():
            where, _ = nearest_neighbours(vectors(queries), vectors(among), min(5, len(among)))
            found[f"nearest in {name}"] = among[where]
    output = known.output or folder / "neighbours"
    (file,) = picture_files([Path(f"{layer}.png")], Path(network.name).name, output)
    neighbours_figure(queries, found).savefig(file, dpi=150)
    print(file)


def restore(known: argparse.Namespace) -> None:
    """`jdl restore RUN IMAGE...`."""
    import numpy as np

    from jdl.explore.photographs import read_picture, write_picture
    from jdl.explore.predictions import picture_files
    from jdl.explore.progress import progress
    from jdl.explore.restoration import count_tiles, restore_picture
    from jdl.tasks.restoration import Restoration

    folder, experiment = reopen(known.run)
    task = experiment.task
    if not isinstance(task, Restoration):
        raise UserError(f"{folder} restores nothing; {type(task).__name__} is its task")
    if task.undo is not None:
        raise UserError(f"{folder} goes on from a filter that is told what a picture does not tell")
    channels = task.pictures.shape[-1]
    pictures = [read_picture(path, channels, known.convert) for path in known.images]
    state = restore_state(experiment, folder)
    files = picture_files(known.images, folder.name, known.output or folder / "restored")
    with progress("restoring", sum(count_tiles(each.shape[:2]) for each in pictures)) as advance:
        for picture, file in zip(pictures, files):
            degraded = picture / np.float32(255)
            write_picture(file, restore_picture(task, state, degraded, advance))
            print(file)


def _open_network(name: str | None, weights: Path | None) -> tuple[Any, Path, Any]:
    """Opens a trained classifier.

    Returns:
        The network, in which folder pictures of it go, and its experiment if it is a run's.
    """
    from jdl.explore.networks import packaged_weights, pretrained_network, run_network
    from jdl.weights import load_pretrained

    if weights is None and name in (None, "efficientnet_lite0"):
        name, weights = "efficientnet_lite0", packaged_weights()
        print("jdl: by EfficientNet-Lite0, with its weights of ImageNet", file=sys.stderr)
    if name is None:
        raise UserError(f"{weights} are the weights of a model: name it first")
    if weights is None:
        folder, experiment = open_trained(name)
        return run_network(folder, experiment), folder, experiment
    prepare_process(Options())
    with changes_told():
        return pretrained_network(name, *load_pretrained(name, weights)), Path(), None


def _look_among(network: Any, images: Sequence[Path], convert: bool, loader: Any) -> Any:
    """Reads image files, or, where there are none, gathers those of a split."""
    import numpy as np

    from jdl.explore.networks import split_images

    if images:
        return np.stack([network.read(path, convert) for path in images])
    if loader is None:
        raise UserError(f"{network.name} comes without images: name some to look among")
    return split_images(loader)
