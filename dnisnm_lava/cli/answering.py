"""`predict`, `costs`: what a network says of images, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import framed, remembering, stream_costs
from dnisnm_lava.cli.alarms import _causes_of_file, _told, _with_alarms
from dnisnm_lava.cli.names import (
    CALIBRATION_IMAGES,
    COUNTED_FRAMES,
    COUNTED_IMAGES,
    REPLAYED_FRAMES,
    RUNTIME_IMAGES,
)
from dnisnm_lava.cli.networks import _network
from dnisnm_lava.cli.options import (
    AlarmOptions,
    InMemory,
    MeasureOptions,
    OfFile,
    Overwriting,
    Seeded,
    confidence_option,
    data_option,
    images_option,
    out_option,
    rates_option,
)
from dnisnm_lava.cli.output import Result, Stages, _written
from dnisnm_lava.cli.reading import _data, _images, _title
from dnisnm_lava.cli.shared import _of_images, _provenance, _recall, _refuse_dials, _refuse_model
from dnisnm_lava.cli.simulating import _exits_on
from dnisnm_lava.cli.stream_options import MayFollow
from dnisnm_lava.cli.verb import option
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.measures import named_output

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import Labelled
    from dnisnm_lava.evaluation.exits import Exits
    from dnisnm_lava.evaluation.predictions import Predictions
    from dnisnm_lava.evaluation.sanity import Alarm
    from dnisnm_lava.system.ranks import Group


@dataclass(frozen=True, kw_only=True)
class Predict(OfFile, AlarmOptions, InMemory, Overwriting, Seeded):
    data: str = data_option(required=True, of="images to predict: ")
    steps: int | None = option(help="time steps (default: the file's)")
    confidence: float | None = confidence_option()
    calibration_images: int = option(default=CALIBRATION_IMAGES, help="for --confidence (%(default)s)")
    output: str | None = option(
        metavar="NAME",
        help="output of the model that is told, by name or index (default: the first)",
    )
    calibration: str | None = option(
        metavar="DATA", help="training images for --confidence (default: what the file remembers)"
    )
    out: Path | None = out_option("file for the result, as JSON, or arrays as .npz")


def predict(args: Predict, stages: Stages) -> Result:
    """What a netx file says of images without labels: classes with their margins, or values."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.evaluation import blocks, predictions
    from dnisnm_lava.evaluation.origin import array_digest
    from dnisnm_lava.system.files import refuse_unwritable, write_whole
    from dnisnm_lava.views import predictions as predictions_report

    if args.out:
        refuse_unwritable(args.out, args.overwrite)
    graph = _of_images(args)
    name = named_output(graph.output_shapes, args.output)
    args = remembering.recall(args)
    data = _data(args, graph)
    images = data.test
    exits = _exits(args, graph, stages)
    read: list[blocks.Part] = []
    labels: list[np.ndarray] = []

    def batches() -> Iterator[np.ndarray]:
        for x, y in datasets.batches(images, np.arange(len(images)), stages("predict"), classes=False):
            read.append(blocks.Part(array_digest(x), {}))
            labels.append(y)
            yield x

    found = predictions.predict(
        graph,
        batches(),
        steps=args.steps,
        exits=exits,
        device=args.device,
        memory=args.memory,
        output=args.output,
    )
    named = _names(images)
    classes = args.made_of.get("classes", ())
    known = classes if found.classes is not None and len(classes) == found.values.shape[1] else ()
    provenance = _provenance(args, graph, data=data)
    provenance["digests"]["images"] = blocks.digest(read)
    told = name, list(graph.output_shapes).index(name), len(graph.output_shapes)
    facts = predictions_report.predictions_json(found, named, known, told, provenance)
    table = predictions_report.predictions_table(facts, f"{args.net} on {args.data}", exits is not None)
    result = _with_alarms(args, Result(facts, table), _told(_of_labels(args, graph, found, images, labels)))
    facts = result.data
    if args.out is None:
        return result
    as_arrays = args.out.suffix == ".npz"
    content = (
        predictions_report.predictions_arrays(found, named)
        if as_arrays
        else (json.dumps(facts, indent=1) + "\n").encode()
    )
    write_whole(args.out, content, overwrite=args.overwrite)
    return _written(result, str(args.out))


def _of_labels(
    args: Predict,
    graph: dn.SpikingGraph,
    found: Predictions,
    images: Labelled,
    labels: list[np.ndarray],
) -> tuple[Alarm, ...]:
    """The alarms where the images happen to bring labels that are the network's: those of arrays, or of
    folders whose names the file remembers as its classes."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.evaluation import sanity
    from dnisnm_lava.measures.answers import answers, table

    folders = datasets.class_names(images)
    if len({y.shape[1:] for y in labels}) != 1 or (
        folders and list(folders) != list(args.made_of.get("classes", ()))
    ):
        return ()
    y = np.concatenate(labels)
    one_each = y.size == len(y) and y.dtype.kind in "iu"
    name = named_output(graph.output_shapes, args.output)
    if found.classes is not None and one_each:
        told = None if datasets.is_unknown(y) else table(found.classes, y.reshape(-1), found.values.shape[1])
    else:
        told = answers(found.values, y) if name not in graph.functions else None
    if told is None or not told.of:
        return ()
    causes = _causes_of_file(args, graph.steps if args.steps is None else args.steps, graph.steps)
    return sanity.of_answers(told, f"images of {images.name}", args.expect_accuracy, causes, "the network")


def _names(images: Labelled) -> list[str]:
    """The names of the images: of files those behind the folder, else numbers from 0."""
    files = getattr(images.base, "paths", None) or [path for path, _ in getattr(images.base, "samples", ())]
    return [str(path) for path in files] if len(files) == len(images) else list(map(str, range(len(images))))


def _exits(args: Predict, graph: dn.SpikingGraph, stages: Stages) -> Exits | None:
    """Bounds of the margins, from the training images of --calibration, else of those that the file was made
    with."""
    if args.confidence is None:
        return None
    calibration = replace(args, data=args.calibration or "", given=args.given - {"data"})
    if args.calibration is None:
        calibration = remembering.recall(calibration, "data", spelled={"data": "calibration"})
    steps = graph.steps if args.steps is None else args.steps
    return _exits_on(
        args,
        graph,
        _data(calibration, graph),
        steps,
        named_output(graph.output_shapes, args.output),
        args.device,
        stages,
    )


def _replayed(
    args: Costs, result: Result, graph: dn.SpikingGraph, x: np.ndarray, steps: int | None, stages: Stages
) -> Result:
    """The result with what SANA-FE says of the first images."""
    from rich import console

    from dnisnm_lava.studies.costs.replay import replay
    from dnisnm_lava.views.replay import replay_json, replay_table

    if not 1 <= args.replay_images <= len(x):
        raise OutOfRange(
            f"--replay-images: {args.replay_images} given of {len(x)} images; give 1 to {len(x)}"
        )
    found = replay(graph, x[: args.replay_images], steps=steps, progress=stages("SANA-FE"))
    text = console.Group(result.text, replay_table(found))
    return replace(result, data={**result.data, "replay": replay_json(found)}, text=text)


@dataclass(frozen=True, kw_only=True)
class Costs(MayFollow, MeasureOptions, Overwriting, Seeded):
    limit: int = option(default=COUNTED_FRAMES, metavar="N", help="take so many frames at most (%(default)s)")
    images: int = images_option(COUNTED_IMAGES)
    rates: Path | None = rates_option()
    replay: str | None = option(
        choices=("sanafe",), help="also send the spikes over a chip that others simulate (minutes an image)"
    )
    replay_images: int = option(
        default=1, help="of the images, the first so many, for --replay (%(default)s)"
    )
    replay_frames: int = option(
        default=REPLAYED_FRAMES,
        help="of the frames, the first so many, for --replay: two or more (%(default)s)",
    )
    out: Path | None = out_option("file for the result, as JSON")


def costs(args: Costs, stages: Stages) -> Result:
    """What an image costs, or a frame of a stream: operations counted, energies estimated by published rules,
    NeuroBench's metrics, a bound on time."""
    from dnisnm_lava.system import ranks

    with ranks.joined(args.device) as group:
        return _costs(args, group, stages)


def _costs(args: Costs, group: Group, stages: Stages) -> Result:
    from dnisnm_lava.ir.integers import steps_of
    from dnisnm_lava.studies.loihi2.rates import rates
    from dnisnm_lava.studies.observed import Watch
    from dnisnm_lava.system.files import refuse_unwritable, write_whole
    from dnisnm_lava.views import costs as costs_report
    from dnisnm_lava.views.runtime import runtime_json
    from exporters import netx

    if args.out:
        refuse_unwritable(args.out, args.overwrite)
    if framed.follows(args):
        return stream_costs.costs(args, stages) if group.is_first else Result({}, "")
    chip = rates(args.rates)
    net = args.net
    if net is None:
        args = _recall(args)
        data = _data(args)
        network, set_up = _network(args, data, group, stages)
        graph, steps, title, alarms = network.integer, None, _title(args), set_up.alarms or ()
    else:
        _refuse_dials(args)
        _refuse_model(args)
        graph, steps, title, alarms = netx.read(net), args.steps, str(net), ()
        framed.require_frames(args, graph)
        args = remembering.recall(args, "data")
        data = _data(args, graph)
    if not group.is_first:
        return Result({}, "")
    x, _ = _images(data.test, args.images, args.seed, stages, classes=False)
    t = steps_of(graph, steps)
    seen = Watch(graph, (t,), len(x), RUNTIME_IMAGES).found(x, chip, stages("count"))
    found, time = seen.costs[t], seen.runtimes[t]
    facts = {
        **costs_report.costs_json(found, _provenance(args, graph, x, data=data)),
        "runtime": runtime_json(time),
    }
    table = costs_report.costs_table(found, f"{title}, {found.images:,} images, T = {found.steps}", time)
    result = Result(facts, table)
    if args.replay:
        result = _replayed(args, result, graph, x, steps, stages)
    result = _with_alarms(args, result, alarms)
    if args.out:
        write_whole(args.out, (json.dumps(result.data, indent=1) + "\n").encode(), overwrite=args.overwrite)
    return result
