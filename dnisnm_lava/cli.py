"""`dnisnm demo | convert | inspect | check | simulate | verify | compare | tune | precision`: each verb a few lines over the API.

Results go to standard output, progress and errors to standard error. Exit code 0: done; 1: an error, told
in one sentence, an equality or a design rule that does not hold, or a target that was missed; 2: a command line not understood.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

import dnisnm_lava as dn
from dnisnm_lava import recipes, simulation
from dnisnm_lava.calibration import GRANULARITIES
from dnisnm_lava.errors import BadFile, DnisnmError, OutOfRange
from dnisnm_lava.fitting import THRESHOLDS
from dnisnm_lava.recipes import Recipe

if TYPE_CHECKING:
    from dnisnm_lava.comparison import Comparison, OnLava
    from dnisnm_lava.datasets import Data, Labelled
    from dnisnm_lava.exits import Exits
    from dnisnm_lava.ir import Graph
    from dnisnm_lava.quantization import Readings
    from dnisnm_lava.ranks import Group
    from dnisnm_lava.shards import Part
    from dnisnm_lava.simulation import Run
    from dnisnm_lava.tallies import Tally

EXTRAS = {"torch": "torch", "torchvision": "torch", "h5py": "torch", "lava": "lava", "sklearn": "demo"}
NET, RESULT, PICTURE = "network.net", "result.json", "accuracy.png"
TUNING, FRONT = "tuning.json", "front.png"
PRECISION, BITS = "precision.json", "precision.png"
CALIBRATION_IMAGES, FIT_IMAGES, HELD_IMAGES, TEST_IMAGES, LAVA_IMAGES = 4000, 1024, 512, 1000, 4
STUDY_IMAGES = 500  # for hundreds of networks
BITS_TRIED, TOLERANCE = {"weight": "2-8", "payload": "1-8", "state": "16-24"}, 2.0  # as bitwidths has them, told without importing torch
BLOCK = 100  # images that are read, simulated and kept together
NOT_OF_A_PART = {"out", "resume", "overwrite", "json", "memory", "device", "command_line", "deadline", "lava_images", "net", "verb"}
DEMO_LAVA_IMAGES = 50
NOT_EQUAL = "not equal: the rows above tell where; please report it with the .net and the command"
MODELS = "path/to/file.py:factory, package.module:factory, torchvision:NAME or path/to/file.onnx"
WEIGHTS = "its state_dict, loaded with weights_only=True; for torchvision also the name of weights, such as DEFAULT"


class Stages:
    """A progress bar for each stage that begins; called with its name, it returns whom to tell the progress.
    Where standard error is no terminal, a line for each stage."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.current: TaskID | None = None

    def progress(self, done: int, of: int) -> None:
        """Of the stage that is on."""
        if self.current is not None:
            self.bars.update(self.current, completed=done, total=of)

    def __call__(self, name: str) -> simulation.Progress:
        self.finish()
        if not self.bars.console.is_terminal and not self.bars.console.quiet:
            print(f"{name} ...", file=sys.stderr, flush=True)
        self.current = self.bars.add_task(name, total=None)
        return self.progress

    def finish(self) -> None:
        if self.current is not None:
            total = self.bars.tasks[self.current].total or 1
            self.bars.update(self.current, completed=total, total=total)


@dataclass(frozen=True)
class Result:
    """What a verb found: for programs, for people; and what is not as it should be, in a sentence, or nothing."""

    data: dict[str, Any]
    text: RenderableType
    failed: str = ""


# ---------------------------------------------------------------- verbs


def demo(args: argparse.Namespace, stages: Stages) -> Result:
    """scikit-learn's digits: train, calibrate, convert, quantize, write, read back, verify, compare."""
    from dnisnm_lava import demo as digits
    from dnisnm_lava.comparison import compare
    from dnisnm_lava.files import whole_folder
    from exporters import netx

    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        x_train, y_train, x_test, y_test = digits.digits(args.seed)
        model = digits.train(x_train, y_train, args.seed, stages("train"))
        stages("trace")
        analog = dn.from_torch(model, x_train[0])
        stages("calibrate, convert, quantize")
        stats = dn.calibrate(analog, [x_train])
        spiking = dn.convert(analog, stats, steps=digits.STEPS)
        integer = netx.read(netx.write(folder / NET, dn.quantize(spiking)))
        comparison = compare(analog, spiking, integer, x_test, y_test, lava_images=args.lava_images, deadline=args.deadline, stages=stages)
        provenance = _provenance(args, analog, spiking, integer, x_test, y_test)
        result = _comparison_result(comparison, provenance, "scikit-learn digits")
        _write_results(folder, result, comparison, "scikit-learn digits")
    return _with_place(result, args.out)


def convert(args: argparse.Namespace, stages: Stages) -> Result:
    """The model as an integer spiking network, in a netx file."""
    from dnisnm_lava import report
    from dnisnm_lava.files import refuse_existing
    from exporters import netx

    refuse_existing(args.out, args.overwrite)
    network = _network(args, _data(args), stages)
    stages("write")
    netx.write(args.out, network.integer, overwrite=args.overwrite)
    facts = {
        **report.network_json(network.integer), "file": str(args.out), "calibration_images": network.calibration_images,
        "recipe": asdict(network.recipe),
    }  # fmt: skip
    return Result(facts, report.network_table(network.integer, str(args.out)))


def inspect(args: argparse.Namespace, stages: Stages) -> Result:
    """What a netx file holds, or what becomes of a model: every operation, and the graph. Simulates nothing."""
    from dnisnm_lava import report
    from dnisnm_lava.files import refuse_existing

    if args.svg:
        refuse_existing(args.svg, args.overwrite)
    if args.subject.lower().endswith(".onnx") or (":" in args.subject and not Path(args.subject).is_file()):
        return _inspect_model(args, stages)
    given = [f"--{name.replace('_', '-')}" for name in ("weights", "input_shape", "data") if getattr(args, name)]
    if given:
        raise OutOfRange(f"{args.subject}: a netx file takes no {given[0]}; give it with a model")
    from exporters import netx

    if not Path(args.subject).is_file():
        hint = "PATH.py:FACTORY" if args.subject.endswith(".py") else "torchvision:NAME, PATH.py:FACTORY or PATH.onnx"
        raise BadFile(f"{args.subject}: no such file; check the path, or name a model as {hint}")
    if args.subject.endswith(".py"):
        raise BadFile(f"{args.subject}: a program, not a netx file; name the function that makes the model: {args.subject}:FACTORY")
    graph = netx.read(Path(args.subject))
    _picture(args, graph)
    return Result(report.network_json(graph), report.network_table(graph, args.subject))


def _inspect_model(args: argparse.Namespace, stages: Stages) -> Result:
    from dnisnm_lava import frontend, report
    from dnisnm_lava.loading import load_model, own_input_shape

    if args.input_shape and args.data:
        raise OutOfRange("inspect: give either --input-shape or --data, not both")
    shape = tuple(_data(args).train[0][0].shape) if args.data else args.input_shape or own_input_shape(args.subject)
    if min(shape or (1,)) < 1:
        raise OutOfRange(f"input_shape: {shape} given; every size must be 1 or more")
    stages("trace")
    model = load_model(args.subject, args.weights, shape or ())
    if not shape:
        raise OutOfRange(f"{args.subject}: the shape of an image is not known; give it as --input-shape C,H,W, or images as --data")
    coverage = replace(frontend.inspect(model, np.zeros(shape, np.float32)), model=args.subject)
    if args.svg:
        stages("trace again, draw")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # notices, which the coverage tells
            _picture(args, frontend.from_torch(model, np.zeros(shape, np.float32)))
    return Result(report.coverage_json(coverage), report.coverage_table(coverage))


def _picture(args: argparse.Namespace, graph: Graph) -> None:
    if args.svg:
        from dnisnm_lava import drawing
        from dnisnm_lava.files import write_whole

        write_whole(args.svg, drawing.svg(graph, args.subject), overwrite=args.overwrite)


def check(args: argparse.Namespace, stages: Stages) -> Result:
    """Whether a netx file fits Loihi 2: design rules, and an estimate of the cores it would take."""
    from dnisnm_lava import check_report
    from exporters import netx

    found = dn.check(netx.read(args.net), chips=args.chips, period=args.period)
    return Result(check_report.check_json(found), check_report.check_table(found, str(args.net)), check_report.broken(found))


def simulate(args: argparse.Namespace, stages: Stages) -> Result:
    """A netx file on test images, with one executor."""
    from dnisnm_lava import comparison, ranks, report, shards, tallies
    from dnisnm_lava.files import refuse_existing, write_whole
    from exporters import netx

    with ranks.joined(args.device) as group:
        graph = netx.read(args.net)
        steps = args.steps or graph.steps
        data = _data(args)
        readable = comparison.meaningful_steps(graph, steps)
        exits = _exits(args, graph, data, steps, group, stages)
        if args.out:
            refuse_existing(args.out, args.overwrite)
        stages(f"{args.backend}, {steps} steps")

        def work(x: np.ndarray, y: np.ndarray) -> tallies.Tally:
            run = _executor(args, group.device)(graph, x, steps)
            summed = tallies.tally(run, y, readable)
            return summed if exits is None else {**summed, "early": tallies.early(run, y, exits)}

        with _in_blocks(args, data, [graph], steps, work, group, stages) as parts:
            if not group.is_first:
                return Result({}, "")
            result = report.simulation_json(tallies.total(part.tally for part in parts), args.backend, steps, exits)
            result["provenance"] = {**_provenance(args, graph), "paths": _paths(args, graph, group.device)}
            result["provenance"]["digests"]["images"] = shards.digest(parts)
            if args.out:
                write_whole(args.out, (json.dumps(result, indent=2) + "\n").encode(), overwrite=args.overwrite)
            return Result(result, report.simulation_table(result, f"{args.net}, {args.backend}"))


def _executor(args: argparse.Namespace, device: str) -> Callable[[dn.SpikingGraph, np.ndarray, int], Run]:
    if args.backend == "lava":
        from dnisnm_lava.backends import lava_cpu

        return lambda graph, x, steps: lava_cpu.run(graph, x, steps=steps, deadline=args.deadline)
    if args.backend == "reference":
        from dnisnm_lava.backends import reference

        return lambda graph, x, steps: reference.run(graph, x, steps=steps)
    from dnisnm_lava.backends import batched

    return lambda graph, x, steps: batched.run(
        graph, x, steps=steps, device=device, memory=args.memory, synapses=args.synapses, neurons=args.neurons
    )


def _paths(args: argparse.Namespace, graph: dn.SpikingGraph, device: str) -> dict[str, Any]:
    """Which ways the batched executor took; none for the others."""
    if args.backend != "batched":
        return {}
    from dnisnm_lava.backends import planning

    return planning.paths(planning.planned(graph, args.synapses, args.neurons, device))


def _exits(args: argparse.Namespace, graph: dn.SpikingGraph, data: Data, steps: int, group: Group, stages: Stages) -> Exits | None:
    """Bounds of the margins, from calibration images: the first rank's, for all."""
    if args.confidence is None:
        return None
    from dnisnm_lava import datasets, exits
    from dnisnm_lava.backends import batched

    if not group.is_first:
        return group.broadcast(None)
    chosen = datasets.choose(data.train, args.calibration_images, args.seed)
    logits = [
        batched.run(graph, x, steps=steps, device=group.device, memory=args.memory).logits
        for x, _ in datasets.batches(data.train, chosen, stages("calibrate early exit"))
    ]
    return group.broadcast(exits.calibrate(np.concatenate(logits), args.confidence))


def verify(args: argparse.Namespace, stages: Stages) -> Result:
    """Every spike of every population, in all executors and on Lava."""
    from dnisnm_lava import comparison, report

    data = _data(args)
    if bool(args.net) == bool(args.model):
        raise OutOfRange("verify: give either a .net file or --model, not both, not neither")
    if args.net:
        from exporters import netx

        spiking, integer = None, netx.read(args.net)
    else:
        network = _network(args, data, stages)
        spiking, integer = network.spiking, network.integer
    x, y = _images(data.test, args.images, args.seed, stages)
    checked = comparison.verify(
        integer, x, steps=args.verify_steps, spiking=spiking, device=args.device, deadline=args.deadline, stages=stages
    )  # fmt: skip
    equal = all(row.different == 0 for row in checked.equality)
    facts = {"equality": report.equality_json(checked.equality), "provenance": _provenance(args, integer, x, y)}
    return Result(facts, report.equality_table(checked.equality), "" if equal else NOT_EQUAL)


def compare(args: argparse.Namespace, stages: Stages) -> Result:
    """ANN, float SNN, integer SNN and Lava: accuracy at every T, and what equals what."""
    from dnisnm_lava import comparison, ranks, shards, tallies
    from dnisnm_lava.backends import lava_cpu
    from dnisnm_lava.files import refuse_full, whole_folder
    from exporters import netx

    with ranks.joined(args.device) as group:
        if args.out:
            refuse_full(args.out, args.overwrite)
        if args.lava_images:
            lava_cpu.require_lava()
        data = _data(args)
        network = group.broadcast(_network(args, data, stages) if group.is_first else None)
        steps = comparison.checked(tuple(sorted({*comparison.STEPS, network.integer.steps})), network.integer.steps, args.lava_images)
        graphs = network.analog, network.spiking, network.integer

        def work(x: np.ndarray, y: np.ndarray) -> tallies.Tally:
            return comparison.tallied(*graphs, x, y, steps=steps, device=group.device, memory=args.memory)

        stages("ANN, float SNN, integer SNN")
        with _in_blocks(args, data, graphs, max(steps), work, group, stages) as parts:
            if not group.is_first:
                return Result({}, "")
            on_lava = _on_lava(args, data, network, steps, group.device, stages)
            compared = comparison.comparison(network.integer, tallies.total(part.tally for part in parts), on_lava)
            provenance = {**_provenance(args, *graphs), "recipe": asdict(network.recipe)}
            provenance["digests"]["images"] = shards.digest(parts)
            result = _comparison_result(compared, provenance, f"{args.model} on {args.data}")
            if args.out is None:
                return result
            with whole_folder(args.out, overwrite=args.overwrite) as folder:
                netx.write(folder / NET, network.integer)
                _write_results(folder, result, compared, f"{args.model} on {args.data}")
            return _with_place(result, args.out)


def _on_lava(args: argparse.Namespace, data: Data, network: Network, steps: tuple[int, ...], device: str, stages: Stages) -> OnLava | None:
    if not args.lava_images:
        return None
    from dnisnm_lava import comparison

    x, y = _images(data.test, args.images, args.seed, stages, first=args.lava_images)
    return comparison.compared_on_lava(
        network.spiking, network.integer, x, y, steps=steps, device=device, deadline=args.deadline, stages=stages
    )


def tune(args: argparse.Namespace, stages: Stages) -> Result:
    """The recipe that serves a target best, found on training images; and its network."""
    from dnisnm_lava import datasets, tuning, tuning_report
    from dnisnm_lava.files import refuse_full, whole_folder, write_whole
    from exporters import netx

    if args.out:
        refuse_full(args.out, args.overwrite)
    data = _data(args)
    analog = _analog(args, data, stages)
    chosen = datasets.choose(data.train, args.calibration_images, args.seed)
    here, others = np.split(np.random.default_rng(args.seed).permutation(chosen), [args.fit_images + args.held_images])
    stats = _statistics(args, analog, data, others, stages) if len(others) else None
    x, y = datasets.arrays(data.train, np.sort(here), stages("read images"))
    given = {dial for dial in tuning.DIALS if getattr(args, dial) is not None}
    found = tuning.tune(
        analog, x, labels=y if args.labels else None, max_steps=args.max_steps, max_latency=args.max_latency, max_spikes=args.max_spikes,
        max_drop=args.max_drop, stats=stats, base=_recipe(args), vary=set(tuning.DIALS) - given, seed=args.seed, device=args.device,
        held_back=args.held_images / (args.fit_images + args.held_images), stages=stages,
    )  # fmt: skip
    title = f"{args.model} on {args.data}"
    facts = tuning_report.tuning_json(found, _provenance(args, analog, found.networks.spiking, found.networks.integer))
    missed = "" if found.met else f"{found.target}: not met by any recipe tried; the nearest is in the result"
    result = Result(facts, tuning_report.tuning_table(found, title), missed)
    if args.out is None:
        return result
    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        netx.write(folder / NET, found.networks.integer)
        write_whole(folder / TUNING, (json.dumps(facts, indent=2) + "\n").encode())
        write_whole(folder / FRONT, tuning_report.tuning_picture(found, title))
    return _with_place(result, args.out, NET, TUNING, FRONT)


def precision(args: argparse.Namespace, stages: Stages) -> Result:
    """What integers cost: accuracy over bits of weights, payloads and state, and the population that breaks first."""
    from dnisnm_lava import bitwidths_report
    from dnisnm_lava.files import refuse_full, whole_folder, write_whole

    if args.out:
        refuse_full(args.out, args.overwrite)
    data = _data(args)
    network = _network(args, data, stages)
    x, y = _images(data.test, args.images, args.seed, stages)
    found = dn.precision(
        network.spiking, x, y, weight_bits=args.try_weight_bits, payload_bits=args.try_payload_bits, state_bits=args.try_state_bits,
        spikes=network.recipe.spikes, readings=network.readings, tolerance=args.tolerance, device=args.device, progress=stages("precision"),
    )  # fmt: skip
    title = f"{args.model} on {args.data}, T = {network.recipe.steps}"
    provenance = {**_provenance(args, network.analog, network.spiking, x, y), "recipe": asdict(network.recipe)}
    facts = bitwidths_report.precision_json(found, provenance)
    result = Result(facts, bitwidths_report.precision_table(found, title))
    if args.out is None:
        return result
    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        write_whole(folder / PRECISION, (json.dumps(facts, indent=1) + "\n").encode())
        write_whole(folder / BITS, bitwidths_report.precision_picture(found, title))
    return _with_place(result, args.out, PRECISION, BITS)


VERBS = {
    "demo": demo, "convert": convert, "inspect": inspect, "check": check, "simulate": simulate, "verify": verify, "compare": compare,
    "tune": tune, "precision": precision,
}  # fmt: skip


# ---------------------------------------------------------------- what the verbs share


@dataclass(frozen=True)
class Network:
    analog: dn.AnalogGraph
    spiking: dn.SpikingGraph
    integer: dn.SpikingGraph
    readings: Readings | None
    recipe: Recipe
    calibration_images: int


def _analog(args: argparse.Namespace, data: Data, stages: Stages) -> dn.AnalogGraph:
    from dnisnm_lava.loading import load_model

    stages("trace")
    image = data.train[0][0]
    return dn.from_torch(load_model(args.model, args.weights, tuple(image.shape)), image)


def _statistics(args: argparse.Namespace, analog: dn.AnalogGraph, data: Data, chosen: np.ndarray, stages: Stages) -> dn.Statistics:
    from dnisnm_lava import datasets

    return dn.calibrate(analog, datasets.batches(data.train, chosen, stages("calibrate")), device=args.device)


def _network(args: argparse.Namespace, data: Data, stages: Stages) -> Network:
    from dnisnm_lava import datasets

    analog = _analog(args, data, stages)
    chosen = datasets.choose(data.train, args.calibration_images, args.seed)
    stats = _statistics(args, analog, data, chosen, stages)
    recipe = _recipe(args)
    stages("convert, quantize")
    images = _Batches(data.train, datasets.choose(data.train, args.fit_images, args.seed)) if recipe.needs_images else None
    made = recipes.networks(recipe, analog, stats, images, stages)
    return Network(analog, made.spiking, made.integer, made.readings, recipe, len(chosen))


@dataclass(frozen=True)
class _Batches:
    """The chosen images, batch by batch, each time they are asked for."""

    dataset: Labelled
    chosen: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        from dnisnm_lava import datasets

        return (x for x, _ in datasets.batches(self.dataset, self.chosen))


def _recipe(args: argparse.Namespace) -> Recipe:
    """--recipe, and what other options say instead."""
    given = {f.name: getattr(args, f.name) for f in fields(Recipe) if getattr(args, f.name) is not None}
    return replace(recipes.named(args.recipe), **given)


def _data(args: argparse.Namespace) -> Data:
    from dnisnm_lava import datasets

    return datasets.load(args.data, mean=args.mean, std=args.std, resize=args.resize, crop=args.crop, grayscale=args.grayscale)


def _images(dataset: Labelled, count: int, seed: int, stages: Stages, first: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A sample of `count`, or the first ones of it."""
    from dnisnm_lava import datasets

    return datasets.arrays(dataset, datasets.choose(dataset, count, seed)[:first], stages("read images"))


@contextlib.contextmanager
def _in_blocks(
    args: argparse.Namespace, data: Data, graphs: Sequence[Graph], steps: int, work: Callable[[np.ndarray, np.ndarray], Tally],
    group: Group, stages: Stages,
) -> Iterator[list[Part]]:  # fmt: skip
    """`work(images, classes)` on the chosen test images, in blocks that the ranks share; kept beside --out until the
    result is written."""
    from dnisnm_lava import datasets, shards
    from dnisnm_lava.comparison import array_digest

    chosen = datasets.choose(data.test, args.images, args.seed)
    blocks = np.split(chosen, range(BLOCK, len(chosen), BLOCK))
    options = {key: value for key, value in vars(args).items() if key not in NOT_OF_A_PART}
    fingerprint = shards.fingerprint([g.digest() for g in graphs], steps, array_digest(chosen), options)

    def part(block: int) -> Part:
        x, y = datasets.arrays(data.test, blocks[block])
        return shards.Part(array_digest(x, y), work(x, y))

    with shards.keeping(args.out, fingerprint, group, resume=args.resume, overwrite=args.overwrite) as kept:
        yield shards.evaluate(len(blocks), part, group, kept, stages.progress)


def _provenance(args: argparse.Namespace, *values: Any) -> dict[str, Any]:
    """Digests of graphs (by mode) and of images with labels, versions, seed and command line."""
    from dnisnm_lava import comparison

    graphs = {_mode(g): g.digest() for g in values if hasattr(g, "digest")}
    arrays = [a for a in values if not hasattr(a, "digest")]
    return {
        "digests": {**graphs, **({"images": comparison.array_digest(*arrays)} if arrays else {})},
        "versions": comparison.versions(),
        "seed": args.seed,
        "command_line": args.command_line,
    }


def _mode(graph: dn.AnalogGraph | dn.SpikingGraph) -> str:
    return "analog" if isinstance(graph, dn.AnalogGraph) else "integer" if graph.is_integer else "float"


def _comparison_result(comparison: Comparison, provenance: dict[str, Any], title: str) -> Result:
    from dnisnm_lava import report

    failed = "" if comparison.all_equal else NOT_EQUAL
    return Result(report.comparison_json(comparison, provenance), report.comparison_table(comparison, title), failed)


def _write_results(folder: Path, result: Result, comparison: Comparison, title: str) -> None:
    from dnisnm_lava import report
    from dnisnm_lava.files import write_whole

    write_whole(folder / RESULT, (json.dumps(result.data, indent=2) + "\n").encode())
    write_whole(folder / PICTURE, report.accuracy_picture(comparison, title))


def _with_place(result: Result, folder: Path, *names: str) -> Result:
    from rich.console import Group

    return Result(result.data, Group(result.text, f"written to {folder}: {', '.join(names or (NET, RESULT, PICTURE))}"), result.failed)


# ---------------------------------------------------------------- the command line


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _bytes(text: str) -> int:
    unit = {"k": 10, "m": 20, "g": 30, "t": 40}.get(text[-1:].lower())
    size = float(text if unit is None else text[:-1]) * (1 << (unit or 0))
    if not 1 <= size < 1 << 60:
        raise ValueError
    return int(size)


def _lead(text: str) -> int | dict[str, int]:
    """`2`, or `conv1=0,layer1=2` for some populations."""
    if "=" not in text:
        return int(text)
    return {name: int(steps) for name, steps in (part.rsplit("=", 1) for part in text.split(","))}


def _range(text: str) -> tuple[int, ...]:
    """`2-8`, or `2,4,8`."""
    first, dash, last = text.partition("-")
    return tuple(range(int(first), int(last) + 1)) if dash else _sizes(text)


def _words(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dnisnm", description=dn.__doc__)
    parser.add_argument("--version", action="version", version=f"dnisnm {dn.__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = {name: verbs.add_parser(name, help=verb.__doc__, description=verb.__doc__) for name, verb in VERBS.items()}
    for name in ("convert", "verify", "compare", "tune", "precision"):
        _model_options(add[name], required=name != "verify")
    for name in ("convert", "simulate", "verify", "compare", "tune", "precision"):
        _data_options(add[name])
    _precision_options(add["precision"])
    _tune_options(add["tune"])
    add["verify"].add_argument("net", nargs="?", type=Path, help="a netx file, instead of --model")
    add["simulate"].add_argument("net", type=Path, help="a netx file")
    add["check"].add_argument("net", type=Path, help="a netx file")
    add["check"].add_argument("--chips", type=int, default=1, help="chips to fit on (%(default)s)")
    add["check"].add_argument(
        "--period", type=int, metavar="STEPS", help="from one sample to the next (default: the shortest power of two)"
    )
    add["inspect"].add_argument("subject", metavar="SUBJECT", help=f"a netx file, or a model: {MODELS}")
    add["inspect"].add_argument("--weights", help=WEIGHTS)
    add["inspect"].add_argument(
        "--input-shape", type=_sizes, default=(), metavar="C,H,W", help="of one image (C,L or F where it has no map)"
    )
    add["inspect"].add_argument("--svg", type=Path, metavar="FILE", help="also draw the graph there (default: none)")
    _data_options(add["inspect"], required=False)
    for name, count in (("simulate", TEST_IMAGES), ("verify", LAVA_IMAGES), ("compare", TEST_IMAGES), ("precision", STUDY_IMAGES)):
        add[name].add_argument("--images", type=int, default=count, help="test images, a seeded sample of them (%(default)s)")
    add["simulate"].add_argument("--steps", type=int, help="time steps (default: the file's)")
    add["simulate"].add_argument("--backend", choices=("batched", "reference", "lava"), default="batched")
    for option, choices in (("--synapses", ("auto", "int8", "float32", "float64")), ("--neurons", ("auto", "compiled", "stepped"))):
        add["simulate"].add_argument(
            option, choices=choices, default="auto", help="the batched executor's way; all are exact (%(default)s)"
        )
    add["simulate"].add_argument(
        "--confidence", type=float, metavar="SHARE",
        help="also stop each image early: where its margin passes a bound from which this share of calibration images keep their class",
    )  # fmt: skip
    add["simulate"].add_argument("--calibration-images", type=int, default=CALIBRATION_IMAGES, help="for --confidence (%(default)s)")
    add["simulate"].add_argument("-o", "--out", type=Path, help="file for the result, as JSON (default: none)")
    add["verify"].add_argument("--verify-steps", type=int, default=8, help="time steps to compare (%(default)s)")
    add["convert"].add_argument("-o", "--out", type=Path, default=Path(NET), help="file to write (%(default)s)")
    add["compare"].add_argument("-o", "--out", type=Path, help=f"folder for {NET}, {RESULT} and {PICTURE} (default: none)")
    add["demo"].add_argument("-o", "--out", type=Path, default=Path("demo-result"), help="folder for the results (%(default)s)")
    for name, count in (("demo", DEMO_LAVA_IMAGES), ("compare", LAVA_IMAGES)):
        add[name].add_argument("--lava-images", type=int, default=count, help="test images for Lava; 0: no Lava (%(default)s)")
    for name in ("simulate", "compare"):
        add[name].add_argument("--resume", action="store_true", help="go on from the parts that an interrupted run left beside --out")
        add[name].add_argument(
            "--memory", type=_bytes, metavar="SIZE", help="for spikes and currents, such as 500M or 2G (default: a quarter of what is free)"
        )
    for name in ("demo", "convert", "inspect", "simulate", "compare", "tune", "precision"):
        what = "--svg" if name == "inspect" else "--out"
        add[name].add_argument("--overwrite", action="store_true", help=f"replace what {what} names")
    for name in ("demo", "simulate", "verify", "compare"):
        add[name].add_argument("--deadline", type=float, default=600.0, help="seconds for each run on Lava (%(default)g)")
    for name, verb in add.items():
        if name not in ("inspect", "check"):
            verb.add_argument("--seed", type=int, default=0, help="for training and for samples of images (%(default)s)")
        verb.add_argument("--json", action="store_true", help="print the result alone, as JSON")
    return parser


def _model_options(verb: argparse.ArgumentParser, required: bool) -> None:
    model = verb.add_argument_group("model")
    model.add_argument("--model", required=required, metavar="MODEL", help=MODELS)
    model.add_argument("--weights", help=WEIGHTS)
    model.add_argument("--calibration-images", type=int, default=CALIBRATION_IMAGES, help="training images for the maxima (%(default)s)")
    model.add_argument("--fit-images", type=int, default=FIT_IMAGES, help="training images for all else that is fitted (%(default)s)")
    _recipe_options(verb)


def _recipe_options(verb: argparse.ArgumentParser) -> None:
    """Each is a field of Recipe of that name; None where the recipe decides."""
    group = verb.add_argument_group("recipe", "what is not given here, the recipe decides")
    best, paper = recipes.BEST, recipes.PAPER

    def add(option: str, text: str, name: str, **how: Any) -> None:
        ours, theirs = (_told_default(getattr(r, name)) for r in (best, paper))
        defaults = ours if ours == theirs else f"best: {ours}, paper: {theirs}"
        group.add_argument(option, dest=name, help=f"{text} ({defaults})", **how)

    group.add_argument("--recipe", default="best", metavar="RECIPE", help="best, paper, or a JSON file of tune's (%(default)s)")
    add("--steps", "time steps T", "steps", type=int)
    add("--threshold", "rule for the thresholds", "threshold", choices=THRESHOLDS)
    add("--correct", "weights, bias, v_init or some of them, with commas; or none", "correct", type=_words, metavar="WHAT")
    add("--share", "who shares a choice of --threshold", "share", choices=GRANULARITIES)
    add("--percentile", "of activations, for --threshold percentile", "percentile", type=float)
    add("--granularity", "who shares a maximum", "granularity", choices=GRANULARITIES)
    add("--levels", "levels K of a spike", "levels", type=int)
    add("--lead", "steps before a neuron may fire, for all or as NAME=STEPS,...", "lead", type=_lead, metavar="STEPS")
    add("--weight-bits", "bits of a weight", "weight_bits", type=int)
    add("--rounding", "of weights: each to the nearest code, or what one loses others take up", "rounding", choices=recipes.ROUNDINGS)
    add("--payload-bits", "bits of a payload", "payload_bits", type=int)
    add("--spikes", "payloads of their own for neurons, or none", "spikes", choices=("graded", "binary"))


def _tune_options(verb: argparse.ArgumentParser) -> None:
    target = verb.add_argument_group("target", "one of these; of what a recipe's options fix, the search varies nothing")
    only = target.add_mutually_exclusive_group(required=True)
    only.add_argument("--max-steps", type=int, metavar="T", help="time steps")
    only.add_argument("--max-latency", type=int, metavar="STEPS", help="until the read-out is done, leads and depth in it")
    only.add_argument("--max-spikes", type=float, metavar="N", help="of an image")
    only.add_argument("--max-drop", type=float, metavar="POINTS", help="below the ANN, for as little latency as can be")
    target.add_argument("--labels", action="store_true", help="count training labels that are met (default: the ANN's own classes)")
    target.add_argument("--held-images", type=int, default=HELD_IMAGES, help="training images to measure on, not fitted on (%(default)s)")
    verb.add_argument("-o", "--out", type=Path, help=f"folder for {NET}, {TUNING} and {FRONT} (default: none)")


def _precision_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("bits to try", "all combinations, then each population alone; `2-8` or `2,4,8`")
    for kind, default in BITS_TRIED.items():
        group.add_argument(f"--try-{kind}-bits", type=_range, default=default, metavar="BITS", help="(%(default)s)")
    group.add_argument(
        "--tolerance", type=float, default=TOLERANCE, metavar="POINTS",
        help="of agreement with the float network that a population may cost alone before it counts as broken (%(default)g)",
    )  # fmt: skip
    verb.add_argument("-o", "--out", type=Path, help=f"folder for {PRECISION} and {BITS} (default: none)")


def _told_default(value: Any) -> str:
    return (",".join(value) or "none") if isinstance(value, tuple) else str(value)


def _data_options(verb: argparse.ArgumentParser, required: bool = True) -> None:
    data = verb.add_argument_group("data")
    data.add_argument("--data", required=required, help="an ImageFolder, an .npz, mnist:DIR or file.py:factory")
    data.add_argument("--mean", type=_numbers, default=(), metavar="M,M,M", help="per channel, subtracted")
    data.add_argument("--std", type=_numbers, default=(), metavar="S,S,S", help="per channel, divided by")
    data.add_argument("--resize", type=int, default=0, metavar="N", help="shorter side, in pixels")
    data.add_argument("--crop", type=int, default=0, metavar="N", help="centre square, in pixels")
    data.add_argument("--grayscale", action="store_true", help="one channel")
    data.add_argument("--device", default="cpu", help="where torch runs (%(default)s)")


def main(argv: Sequence[str] | None = None) -> int:
    """The command `dnisnm`; its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(argv)
    args.command_line = shlex.join(["dnisnm", *(a for a in argv if a != "--resume")])  # one result, in however many attempts
    signal.signal(signal.SIGTERM, _end)
    console = Console(stderr=True, quiet=int(os.environ.get("RANK", 0)) > 0)
    columns = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    try:
        with columns as bars, _notices():
            stages = Stages(bars)
            result = VERBS[args.verb](args, stages)
            stages.finish()
    except DnisnmError as error:
        return _told(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        return _told(f"{error.name} is not installed in this Python; pip install 'dnisnm-lava[{extra}]' brings it")
    except KeyboardInterrupt:
        parts = getattr(args, "resume", None) is not None and args.out is not None
        _told("interrupted; finished parts are kept: go on with --resume" if parts else "interrupted; nothing was written")
        return 130
    if result.data:
        _print(result, args.json)
    return _told(result.failed) if result.failed else 0


@contextlib.contextmanager
def _notices() -> Iterator[None]:
    """What this package warns of is told in a line, once; other warnings stay what they are."""
    told: set[str] = set()
    here = str(Path(dn.__file__).parent)
    with warnings.catch_warnings():
        other = warnings.showwarning
        warnings.filterwarnings("always", category=UserWarning, module=r"dnisnm_lava\b")

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
        ) -> None:
            text = " ".join(str(message).split())
            if category is not UserWarning or not filename.startswith(here):
                other(message, category, filename, lineno, file, line)
            elif text not in told:
                told.add(text)
                print(f"notice: {text}", file=sys.stderr, flush=True)

        warnings.showwarning = show
        yield


def _end(signum: int, _: Any) -> None:
    from dnisnm_lava import ranks

    if ranks.size() > 1:
        _told(f"rank {os.environ.get('RANK')} of {ranks.size()}: ended with the job; finished parts are kept: go on with --resume")
    sys.exit(128 + signum)  # unwinds: folders, files and Lava's processes are cleaned up


def _told(sentence: str) -> int:
    print(f"dnisnm: {' '.join(sentence.split())}", file=sys.stderr)
    return 1


def _print(result: Result, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.data, indent=2))
        return
    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", 120))
    Console(width=width).print(result.text)
