"""The data and the model that a verb is given, as its options prepare them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import ranges
from dnisnm_lava.cli.names import PREPARED_BY
from dnisnm_lava.cli.options import (
    DataOptions,
    TargetOptions,
)
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.verb import Verb
from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import Data, Labelled
    from dnisnm_lava.ir import Graph
    from dnisnm_lava.measures import Ask
    from dnisnm_lava.system.progress import Progress


def _require_data(args: DataOptions) -> None:
    if not args.data:
        raise OutOfRange(f"{args.verb}: give images as --data")


def _data(args: DataOptions, graph: Graph | None = None) -> Data:
    """--data, prepared as asked for; its axes as `graph`, or --model, takes them."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.data.forward import runs_on

    data = _prepared(args)
    if args.layout or len(data.train) == 0:
        return data
    if graph is not None:
        shape = graph.input.image_shape
        sequence = (shape[0], shape[2]) if len(shape) == 3 and shape[1] == 1 else shape  # as maps of one row
        return datasets.suited(data, lambda image: tuple(image.shape) in (shape, sequence))
    module = _module(args, data)
    return replace(datasets.suited(data, lambda image: runs_on(module, image)), model=module)


def _module(args: Verb, data: Data, progress: Progress | None = None) -> Any:
    """The module of --model, or of what is inspected, with its weights: loaded once."""
    from dnisnm_lava.data.models import load_model

    shape = tuple(data.train[0][0].shape)
    return load_model(args.model, args.weights, shape, progress) if data.model is None else data.model


def _prepared(args: DataOptions) -> Data:
    from dnisnm_lava.data import datasets

    own = {name: getattr(args, name) for name in PREPARED_BY}
    data = datasets.load_data(args.data, **own, layout=args.layout)
    ranges.tell_range(args, data)
    if args.transforms is None and any(own.values()):
        return data
    found = _transforms(args)
    if found is None:
        return data
    name, transform = found
    if any(own.values()):
        raise OutOfRange(
            f"--transforms {name}: given beside --mean, --std, --resize, --crop, --grayscale or --range; "
            f"give either"
        )
    if not datasets.are_pictures(data):
        warnings.warn(
            f"{args.data}: holds floats, which are taken as prepared; the transforms of {name} are left out",
            stacklevel=1,
        )
        return data
    told = " ".join(repr(transform).replace("(", " ").replace(")", " ").split())
    warnings.warn(f"{args.data}: prepared by the transforms of {name}: {told}", stacklevel=1)
    return replace(datasets.transformed(data, transform), transforms=name)


def _transforms(args: DataOptions) -> tuple[str, Callable[[Any], Any]] | None:
    """Those of --transforms, else those that torchvision's --weights were measured with."""
    from dnisnm_lava.data import models

    if args.transforms is not None:
        return None if args.transforms == "none" else models.transforms_named(args.transforms)
    return models.transforms_of(args.model, args.weights) if args.model and args.weights else None


def _images(
    dataset: Labelled, count: int, seed: int, stages: Stages, *, classes: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """A sample of `count`."""
    from dnisnm_lava.data import datasets

    return datasets.arrays(
        dataset, datasets.choose(dataset, count, seed), stages("read images"), classes=classes
    )


def _targets(args: TargetOptions, data: Data) -> dict[str | int, np.ndarray]:
    """{output: its labels or targets (N, ...) of all test images}, of --targets."""
    from dnisnm_lava.data.files import arrays

    found: dict[str | int, np.ndarray] = {}
    for told in args.targets or ():
        name, equals, path = told.partition("=")
        if not (name and equals and path):
            raise OutOfRange(f"--targets {told}: give an output and a file, as OUTPUT=FILE")
        if name in found:
            raise OutOfRange(f"--targets {told}: output {name} given twice; give each once")
        found[name] = arrays.labels(Path(path))
        if len(found[name]) != len(data.test):
            raise OutOfRange(
                f"--targets {told}: holds {len(found[name]):,} of them, and there are {len(data.test):,} "
                f"test images; give one for each, in their order"
            )
    return found


def _check_labels(
    dataset: Labelled,
    chosen: np.ndarray,
    ask: Ask,
    targets: Mapping[str | int, np.ndarray],
    graph: dn.AnalogGraph | dn.SpikingGraph,
) -> None:
    """OutOfRange for labels of the `chosen` images that the asked measure of `graph`'s output does not take,
    or for none where it needs them; of a Dataset that tells labels with images alone, of some of them.
    targets: {output: its own, of all images}."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.evaluation import outputs

    found = datasets.labels_of(dataset, chosen, classes=ask.kind != "values")
    own = {name: values[chosen] for name, values in targets.items()}
    outputs.wanted(graph, len(chosen), _told_labels(found), own, ask)


def _told_labels(y: np.ndarray) -> np.ndarray | None:
    """None where an image comes without one."""
    from dnisnm_lava.data import datasets

    return None if datasets.is_unknown(y) else y


def _given(y: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Labels for a digest, if there are some."""
    return () if y is None else (y,)


def _title(args: DataOptions) -> str:
    """Model and data by their names, without folders: provenance has those."""
    given = [text for text in (args.model, args.data) if text]
    return " on ".join(":".join(Path(part).name or part for part in text.split(":")) for text in given)


def _mode(graph: dn.AnalogGraph | dn.SpikingGraph) -> str:
    return "analog" if isinstance(graph, dn.AnalogGraph) else "integer" if graph.is_integer else "float"
