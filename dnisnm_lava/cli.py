"""`dnisnm demo | convert | inspect | simulate | verify | compare`: each verb a few lines over the API.

Results go to standard output, progress and errors to standard error. Exit code 0: done; 1: an error, told
in one sentence, or an equality that does not hold; 2: a command line that was not understood.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

import dnisnm_lava as dn
from dnisnm_lava import simulation
from dnisnm_lava.errors import BadFile, DnisnmError, OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.comparison import Comparison
    from dnisnm_lava.datasets import Data, Labelled

EXTRAS = {"torch": "torch", "torchvision": "torch", "h5py": "torch", "lava": "lava", "sklearn": "demo"}
NET, RESULT, PICTURE = "network.net", "result.json", "accuracy.png"
STEPS, CALIBRATION_IMAGES, TEST_IMAGES, LAVA_IMAGES = 32, 4000, 1000, 4
DEMO_LAVA_IMAGES = 50
MODELS = "path/to/file.py:factory, package.module:factory, torchvision:NAME or path/to/file.onnx"
WEIGHTS = "its state_dict, loaded with weights_only=True; for torchvision also the name of weights, such as DEFAULT"


class Stages:
    """A progress bar for each stage that begins; called with its name, it returns whom to tell the progress.
    Where standard error is no terminal, a line for each stage."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.current: TaskID | None = None

    def __call__(self, name: str) -> simulation.Progress:
        self.finish()
        if not self.bars.console.is_terminal:
            print(f"{name} ...", file=sys.stderr, flush=True)
        task = self.current = self.bars.add_task(name, total=None)
        return lambda done, of: self.bars.update(task, completed=done, total=of)

    def finish(self) -> None:
        if self.current is not None:
            total = self.bars.tasks[self.current].total or 1
            self.bars.update(self.current, completed=total, total=total)


@dataclass(frozen=True)
class Result:
    """What a verb found: for programs, for people, and whether all that must be equal is."""

    data: dict[str, Any]
    text: RenderableType
    ok: bool = True


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
        spiking = dn.convert(analog, stats, steps=STEPS)
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
    facts = {**report.network_json(network.integer), "file": str(args.out), "calibration_images": network.calibration_images}
    return Result(facts, report.network_table(network.integer, str(args.out)))


def inspect(args: argparse.Namespace, stages: Stages) -> Result:
    """What a netx file holds, or what becomes of a model: every operation, and the graph. Simulates nothing."""
    from dnisnm_lava import report

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
    return Result(report.coverage_json(coverage), report.coverage_table(coverage))


def simulate(args: argparse.Namespace, stages: Stages) -> Result:
    """A netx file on test images, with one executor."""
    from rich.table import Table

    from dnisnm_lava import comparison
    from exporters import netx

    graph = netx.read(args.net)
    steps = args.steps or graph.steps
    x, y = _images(_data(args).test, args.images, args.seed, stages)
    progress = stages(f"{args.backend}, {steps} steps")
    if args.backend == "lava":
        from dnisnm_lava.backends import lava_cpu

        run = lava_cpu.run(graph, x, steps=steps, deadline=args.deadline, progress=progress)
    elif args.backend == "reference":
        from dnisnm_lava.backends import reference

        run = reference.run(graph, x, steps=steps, progress=progress)
    else:
        from dnisnm_lava.backends import batched

        run = batched.run(graph, x, steps=steps, device=args.device, progress=progress)
    accuracy = {str(t): run.accuracy(y, t) for t in comparison.meaningful_steps(graph, steps)}
    counts = {name: {"up": up, "down": down} for name, (up, down) in run.spike_counts.items()}
    table = Table("T", "accuracy, %", title=f"{args.net}, {args.backend}, {len(x):,} images")
    for t, share in accuracy.items():
        table.add_row(t, f"{100 * share:.2f}")
    spikes = sum(up + down for up, down in run.spike_counts.values())
    saturated = sum(run.saturations.values())
    table.caption = f"{spikes / len(x):,.0f} spikes an image · saturations {saturated:,} · clipped input values {run.clipped_inputs:,}"
    data = {
        "accuracy": accuracy, "images": len(x), "steps": steps, "backend": args.backend, "spike_counts": counts,
        "saturations": saturated, "clipped_inputs": run.clipped_inputs, "provenance": _provenance(args, graph, x, y),
    }  # fmt: skip
    return Result(data, table)


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
    return Result(facts, report.equality_table(checked.equality), equal)


def compare(args: argparse.Namespace, stages: Stages) -> Result:
    """ANN, float SNN, integer SNN and Lava: accuracy at every T, and what equals what."""
    from dnisnm_lava import comparison
    from dnisnm_lava.files import whole_folder
    from exporters import netx

    def work() -> tuple[Network, Comparison, Result]:
        data = _data(args)
        network = _network(args, data, stages)
        x, y = _images(data.test, args.images, args.seed, stages)
        steps = tuple(sorted({*comparison.STEPS, args.steps}))
        compared = comparison.compare(
            network.analog, network.spiking, network.integer, x, y, steps=steps, lava_images=args.lava_images,
            device=args.device, deadline=args.deadline, stages=stages,
        )  # fmt: skip
        provenance = _provenance(args, network.analog, network.spiking, network.integer, x, y)
        return network, compared, _comparison_result(compared, provenance, f"{args.model} on {args.data}")

    if args.out is None:
        return work()[2]
    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        network, compared, result = work()
        netx.write(folder / NET, network.integer)
        _write_results(folder, result, compared, f"{args.model} on {args.data}")
    return _with_place(result, args.out)


VERBS = {"demo": demo, "convert": convert, "inspect": inspect, "simulate": simulate, "verify": verify, "compare": compare}


# ---------------------------------------------------------------- what the verbs share


@dataclass(frozen=True)
class Network:
    analog: dn.AnalogGraph
    spiking: dn.SpikingGraph
    integer: dn.SpikingGraph
    calibration_images: int


def _network(args: argparse.Namespace, data: Data, stages: Stages) -> Network:
    from dnisnm_lava import datasets
    from dnisnm_lava.loading import load_model

    stages("trace")
    image = data.train[0][0]
    model = load_model(args.model, args.weights, tuple(image.shape))
    analog = dn.from_torch(model, image)
    chosen = datasets.choose(data.train, args.calibration_images, args.seed)
    stats = dn.calibrate(analog, datasets.batches(data.train, chosen, stages("calibrate")), device=args.device)
    stages("convert, quantize")
    spiking = dn.convert(analog, stats, steps=args.steps, granularity=args.granularity, levels=args.levels, lead=args.lead)
    integer = dn.quantize(spiking, weight_bits=args.weight_bits, payload_bits=args.payload_bits, spikes=args.spikes)
    return Network(analog, spiking, integer, len(chosen))


def _data(args: argparse.Namespace) -> Data:
    from dnisnm_lava import datasets

    return datasets.load(args.data, mean=args.mean, std=args.std, resize=args.resize, crop=args.crop, grayscale=args.grayscale)


def _images(dataset: Labelled, count: int, seed: int, stages: Stages) -> tuple[np.ndarray, np.ndarray]:
    from dnisnm_lava import datasets

    return datasets.arrays(dataset, datasets.choose(dataset, count, seed), stages("read images"))


def _provenance(args: argparse.Namespace, *values: Any) -> dict[str, Any]:
    """Digests of graphs (by mode) and of images with labels, versions, seed and command line."""
    from dnisnm_lava import comparison

    graphs = {_mode(g): g.digest() for g in values if hasattr(g, "digest")}
    arrays = [a for a in values if not hasattr(a, "digest")]
    return {
        "digests": {**graphs, "images": comparison.array_digest(*arrays)},
        "versions": comparison.versions(),
        "seed": args.seed,
        "command_line": args.command_line,
    }


def _mode(graph: dn.AnalogGraph | dn.SpikingGraph) -> str:
    return "analog" if isinstance(graph, dn.AnalogGraph) else "integer" if graph.is_integer else "float"


def _comparison_result(comparison: Comparison, provenance: dict[str, Any], title: str) -> Result:
    from dnisnm_lava import report

    return Result(report.comparison_json(comparison, provenance), report.comparison_table(comparison, title), comparison.all_equal)


def _write_results(folder: Path, result: Result, comparison: Comparison, title: str) -> None:
    from dnisnm_lava import report
    from dnisnm_lava.files import write_whole

    write_whole(folder / RESULT, (json.dumps(result.data, indent=2) + "\n").encode())
    write_whole(folder / PICTURE, report.accuracy_picture(comparison, title))


def _with_place(result: Result, folder: Path) -> Result:
    from rich.console import Group

    return Result(result.data, Group(result.text, f"written to {folder}: {NET}, {RESULT}, {PICTURE}"), result.ok)


# ---------------------------------------------------------------- the command line


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dnisnm", description=dn.__doc__)
    parser.add_argument("--version", action="version", version=f"dnisnm {dn.__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = {name: verbs.add_parser(name, help=verb.__doc__, description=verb.__doc__) for name, verb in VERBS.items()}
    for name in ("convert", "verify", "compare"):
        _model_options(add[name], required=name != "verify")
    for name in ("convert", "simulate", "verify", "compare"):
        _data_options(add[name])
    add["verify"].add_argument("net", nargs="?", type=Path, help="a netx file, instead of --model")
    add["simulate"].add_argument("net", type=Path, help="a netx file")
    add["inspect"].add_argument("subject", metavar="SUBJECT", help=f"a netx file, or a model: {MODELS}")
    add["inspect"].add_argument("--weights", help=WEIGHTS)
    add["inspect"].add_argument(
        "--input-shape", type=_sizes, default=(), metavar="C,H,W", help="of one image (C,L or F where it has no map)"
    )
    _data_options(add["inspect"], required=False)
    for name, count in (("simulate", TEST_IMAGES), ("verify", LAVA_IMAGES), ("compare", TEST_IMAGES)):
        add[name].add_argument("--images", type=int, default=count, help="test images, a seeded sample of them (%(default)s)")
    add["simulate"].add_argument("--steps", type=int, help="time steps (default: the file's)")
    add["simulate"].add_argument("--backend", choices=("batched", "reference", "lava"), default="batched")
    add["verify"].add_argument("--verify-steps", type=int, default=8, help="time steps to compare (%(default)s)")
    add["convert"].add_argument("-o", "--out", type=Path, default=Path(NET), help="file to write (%(default)s)")
    add["compare"].add_argument("-o", "--out", type=Path, help=f"folder for {NET}, {RESULT} and {PICTURE} (default: none)")
    add["demo"].add_argument("-o", "--out", type=Path, default=Path("demo-result"), help="folder for the results (%(default)s)")
    for name, count in (("demo", DEMO_LAVA_IMAGES), ("compare", LAVA_IMAGES)):
        add[name].add_argument("--lava-images", type=int, default=count, help="test images for Lava; 0: no Lava (%(default)s)")
    for name in ("demo", "convert", "compare"):
        add[name].add_argument("--overwrite", action="store_true", help="replace what --out names")
    for name in ("demo", "simulate", "verify", "compare"):
        add[name].add_argument("--deadline", type=float, default=600.0, help="seconds for each run on Lava (%(default)g)")
    for name, verb in add.items():
        if name != "inspect":
            verb.add_argument("--seed", type=int, default=0, help="for training and for samples of images (%(default)s)")
        verb.add_argument("--json", action="store_true", help="print the result alone, as JSON")
    return parser


def _model_options(verb: argparse.ArgumentParser, required: bool) -> None:
    model = verb.add_argument_group("model")
    model.add_argument("--model", required=required, metavar="MODEL", help=MODELS)
    model.add_argument("--weights", help=WEIGHTS)
    model.add_argument("--steps", type=int, default=STEPS, help="time steps T (%(default)s)")
    model.add_argument("--calibration-images", type=int, default=CALIBRATION_IMAGES, help="training images to calibrate on (%(default)s)")
    model.add_argument("--granularity", choices=("neuron", "channel", "layer"), default="neuron", help="thresholds (%(default)s)")
    model.add_argument("--levels", type=int, default=1, help="levels of a spike; 1 is the paper (%(default)s)")
    model.add_argument("--lead", type=int, default=0, help="steps before a neuron may fire; 0 is the paper (%(default)s)")
    model.add_argument("--weight-bits", type=int, default=8, help="(%(default)s)")
    model.add_argument("--payload-bits", type=int, default=5, help="(%(default)s)")
    model.add_argument("--spikes", choices=("graded", "binary"), default="graded", help="(%(default)s)")


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
    args.command_line = shlex.join(["dnisnm", *argv])
    signal.signal(signal.SIGTERM, _end)
    console = Console(stderr=True)
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
        _told("interrupted; nothing was written")
        return 130
    _print(result, args.json)
    return 0 if result.ok else _told("not equal: the rows above tell where; please report it with the .net and the command")


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
