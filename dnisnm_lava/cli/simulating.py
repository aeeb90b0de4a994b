"""`simulate`, `verify`: a network on images, in one executor and in all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import framed, remembering
from dnisnm_lava.cli.alarms import _causes_of_file, _told, _with_alarms
from dnisnm_lava.cli.blocks import _allowed_to_finish, _blocks, _in_blocks, _measure
from dnisnm_lava.cli.names import (
    CALIBRATION_IMAGES,
    LAVA_IMAGES,
    NOT_EQUAL,
    TEST_IMAGES,
    VERIFY_FRAMES,
    VERIFY_STEPS,
)
from dnisnm_lava.cli.networks import _network
from dnisnm_lava.cli.options import (
    AlarmOptions,
    InMemory,
    LavaOptions,
    MeasureOptions,
    OfFile,
    Overwriting,
    Resumable,
    Seeded,
    confidence_option,
    images_option,
    out_option,
)
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.reading import _check_labels, _data, _images, _require_data
from dnisnm_lava.cli.shared import _lava, _of_images, _provenance, _refuse_dials
from dnisnm_lava.cli.stream_options import MayFollow
from dnisnm_lava.cli.verb import option
from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.backends.lava_cpu import Lava
    from dnisnm_lava.backends.results import Difference, Run
    from dnisnm_lava.cli.answering import Predict
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.evaluation.exits import Exits
    from dnisnm_lava.evaluation.sanity import Alarm
    from dnisnm_lava.evaluation.tallies import Tally
    from dnisnm_lava.measures import Measure
    from dnisnm_lava.system.ranks import Group


def _way_option(*ways: str) -> Any:
    return option(
        choices=ways, default=ways[0], help="the batched executor's way; all are exact (%(default)s)"
    )


@dataclass(frozen=True, kw_only=True)
class Simulate(OfFile, MeasureOptions, AlarmOptions, Resumable, InMemory, Overwriting, LavaOptions, Seeded):
    images: int = images_option(TEST_IMAGES)
    steps: int | None = option(help="time steps (default: the file's)")
    backend: str = option(
        choices=("batched", "reference", "lava"), default="batched", help="the executor (%(default)s)"
    )
    synapses: str = _way_option("auto", "int8", "float32", "float64", "triton")
    neurons: str = _way_option("auto", "compiled", "stepped", "triton")
    confidence: float | None = confidence_option("also ")
    calibration_images: int = option(default=CALIBRATION_IMAGES, help="for --confidence (%(default)s)")
    out: Path | None = out_option("file for the result, as JSON")


def simulate(args: Simulate, stages: Stages) -> Result:
    """A netx file on test images, with one executor."""
    from dnisnm_lava.evaluation import blocks as shards
    from dnisnm_lava.evaluation import comparison, tallies
    from dnisnm_lava.system import ranks
    from dnisnm_lava.system.files import refuse_existing, write_whole
    from dnisnm_lava.views import simulation as simulation_view

    with ranks.joined(args.device) as group:
        graph = _of_images(args)
        args = remembering.recall(args, "data")
        steps = args.steps or graph.steps
        data = _data(args, graph)
        args = _allowed_to_finish(args)
        readable = comparison.meaningful_steps(graph, steps)
        blocks = _blocks(args, data)
        _check_labels(blocks.dataset, blocks.chosen, args.ask, {}, graph)
        measure = _measure(args, blocks, graph)
        if not measure.labels:
            raise OutOfRange(
                "simulate: neither labels nor targets, and a file has no ANN to set its values against; "
                "compare has it"
            )
        exits = _exits(args, graph, data, steps, measure, group, stages)
        if args.out:
            refuse_existing(args.out, args.overwrite)
        stages(f"{args.backend}, {steps} steps")

        def work(x: np.ndarray, y: np.ndarray | None, _: object) -> tallies.Tally:
            if y is None:
                raise OutOfRange(
                    f"{data.test.name}: some images come without targets; give them, or fewer images"
                )
            run, right = _executor(args, group.device)(graph, x, steps), measure.wanted(y)
            guessed = tallies.guessed(measure, tallies.said(run, measure, steps), right)
            summed = {**tallies.tally(run, measure, {"labels": right}, readable), "guessed": guessed}
            return summed if exits is None else {**summed, "early": tallies.early(run, measure, right, exits)}

        covered = {
            "networks": [graph.digest()],
            "steps": steps,
            "executor": (args.backend, args.synapses, args.neurons),
            "early": None if exits is None else (args.confidence, args.calibration_images, args.seed),
        }
        with _in_blocks(args, data, blocks, covered, work, group, stages) as parts:
            if not group.is_first:
                return Result({}, "")
            summed = tallies.total(part.tally for part in parts)
            result = simulation_view.simulation_json(summed, measure, args.backend, steps, exits)
            lava = _lava(args, len(blocks.chosen)) if args.backend == "lava" else None
            provenance = _provenance(args, graph, data=data, lava=lava)
            result["provenance"] = {**provenance, "paths": _paths(args, graph, group.device)}
            result["provenance"]["digests"]["images"] = shards.digest(parts)
            alarms = _told(_of_file(args, tallies.branch(summed, "guessed"), steps, graph.steps))
            table = simulation_view.simulation_table(result, measure, f"{args.net}, {args.backend}")
            shown = _with_alarms(args, Result(result, table), alarms)
            if args.out:
                write_whole(
                    args.out, (json.dumps(shown.data, indent=2) + "\n").encode(), overwrite=args.overwrite
                )
            return shown


def _of_file(args: Simulate, guessed: Tally, steps: int, own: int) -> tuple[Alarm, ...]:
    """The alarms of a file's network that said so of test images after `steps`."""
    from dnisnm_lava.evaluation import tallies

    who = f"the network after {steps} step{'s' * (steps != 1)}"
    return tallies.alarms(
        guessed, "test images", args.expect_accuracy, _causes_of_file(args, steps, own), who
    )


def _executor(args: Simulate, device: str) -> Callable[[dn.SpikingGraph, np.ndarray, int], Run]:
    if args.backend == "lava":
        from dnisnm_lava.backends import lava_cpu

        return lambda graph, x, steps: lava_cpu.run(
            graph, x, steps=steps, deadline=args.deadline, lava_python=args.lava_python
        )
    if args.backend == "reference":
        from dnisnm_lava.backends import reference

        return lambda graph, x, steps: reference.run(graph, x, steps=steps)
    from dnisnm_lava.backends import batched

    return lambda graph, x, steps: batched.run(
        graph, x, steps=steps, device=device, memory=args.memory, synapses=args.synapses, neurons=args.neurons
    )


def _paths(args: Simulate, graph: dn.SpikingGraph, device: str) -> dict[str, Any]:
    """Which ways the batched executor took; none for the others."""
    if args.backend != "batched":
        return {}
    from dnisnm_lava.backends.batched import planning

    return planning.paths(planning.planned(graph, args.synapses, args.neurons, device, args.steps))


def _exits(
    args: Simulate,
    graph: dn.SpikingGraph,
    data: Data,
    steps: int,
    measure: Measure,
    group: Group,
    stages: Stages,
) -> Exits | None:
    """Bounds of the margins, from calibration images: the first rank's, for all."""
    if args.confidence is None:
        return None
    if not measure.is_share or measure.answers > 1:
        raise OutOfRange(f"--confidence: an image has one margin where it has one class; {measure}")
    return group.broadcast(
        _exits_on(args, graph, data, steps, measure.output, group.device, stages) if group.is_first else None
    )


def _exits_on(
    args: Simulate | Predict,
    graph: dn.SpikingGraph,
    data: Data,
    steps: int,
    output: str,
    device: str,
    stages: Stages,
) -> Exits:
    """The same of the output of this name, by one process."""
    from dnisnm_lava.backends import batched
    from dnisnm_lava.data import datasets
    from dnisnm_lava.evaluation import exits

    assert args.confidence is not None
    chosen = datasets.choose(data.train, args.calibration_images, args.seed)
    scores = [
        batched.run(graph, x, steps=steps, device=device, memory=args.memory).scores_of(output)
        for x, _ in datasets.batches(data.train, chosen, stages("calibrate early exit"), classes=False)
    ]
    return exits.calibrate(np.concatenate(scores), args.confidence)


@dataclass(frozen=True, kw_only=True)
class Verify(MayFollow, LavaOptions, Seeded):
    limit: int = option(default=VERIFY_FRAMES, metavar="N", help="take so many frames (%(default)s)")
    images: int = images_option(LAVA_IMAGES)
    target: str = option(
        choices=("lava", "sanafe"),
        default="lava",
        help="lava: our executors and Lava; sanafe: another simulator, of binary spikes (%(default)s)",
    )


def verify(args: Verify, stages: Stages) -> Result:
    """Every spike of every population, of images or of a stream's frames, in all executors and on Lava."""
    from dnisnm_lava.system import ranks

    with ranks.joined(args.device) as group:
        return _verify(args, group, stages)


def _verify(args: Verify, group: Group, stages: Stages) -> Result:
    from dnisnm_lava.evaluation import verification

    net = args.net
    if framed.follows(args):
        return _verify_stream(args, stages) if group.is_first else Result({}, "")
    if bool(net) == bool(args.model):
        raise OutOfRange("verify: give either a .net file or --model, not both, not neither")
    alarms: tuple[Alarm, ...] = ()
    if net is not None:
        from exporters import netx

        _refuse_dials(args)
        spiking, integer = None, netx.read(net)
        framed.require_frames(args, integer)
        args = remembering.recall(args, "data")
        data = _data(args, integer)
    else:
        _require_data(args)
        data = _data(args)
        network, set_up = _network(args, data, group, stages)
        spiking, integer, alarms = network.spiking, network.integer, set_up.alarms or ()
    if not group.is_first:
        return Result({}, "")
    steps = min(integer.steps, VERIFY_STEPS) if args.steps is None else args.steps
    x, y = _images(data.test, args.images, args.seed, stages, classes=False)
    lava: Lava | None = None
    equality: tuple[Difference, ...]
    if args.target == "sanafe":
        from dnisnm_lava.backends import sanafe

        equality = (sanafe.verify(integer, x, steps=steps, progress=stages("SANA-FE")),)
    else:
        lava = _lava(args, len(x))
        equality = verification.verify(
            integer, x, steps=steps, spiking=spiking, device=args.device, lava=lava, stages=stages
        ).equality
    provenance = _provenance(args, integer, x, y, data=data, lava=lava)
    return _with_alarms(args, _equal(equality, provenance, "image"), alarms)


def _verify_stream(args: Verify, stages: Stages) -> Result:
    """Every spike of every frame, in all executors, in the torch module and on Lava."""
    from dnisnm_lava.evaluation import verification

    if args.target != "lava":
        raise OutOfRange(
            "--target sanafe: runs networks whose neurons take nothing back, and a stream's do; "
            "dnisnm costs --replay sanafe sends its spikes over that chip"
        )
    seen = framed.framed(args, stages, ann=False)
    x = seen.first(args.limit)
    lava = _lava(args, len(x))
    equality = verification.verify_stream(
        seen.graph, x, spiking=seen.floats, device=args.device, lava=lava, stages=stages
    )
    provenance = _provenance(seen.found.args, seen.graph, x, data=seen.found.data, lava=lava)
    return _with_alarms(args, _equal(equality, provenance, "frame"), seen.found.alarms)


def _equal(equality: tuple[Difference, ...], provenance: Mapping[str, Any], of: str) -> Result:
    """What was compared, image by image or frame by frame."""
    from dnisnm_lava.views import comparison as comparison_report

    facts = {"equality": comparison_report.equality_json(equality), "provenance": provenance}
    equal = all(row.different == 0 for row in equality)
    return Result(facts, comparison_report.equality_told(equality, of), "" if equal else NOT_EQUAL)
