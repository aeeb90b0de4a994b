"""What the paper's experiments share: their options, networks and images, where a result comes from, files,
pictures."""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import dnisnm_lava as dn
from dnisnm_lava.backends import ann
from dnisnm_lava.data import datasets, models
from dnisnm_lava.errors import BadFile, DnisnmError, OutOfRange
from dnisnm_lava.evaluation.origin import array_digest, versions
from dnisnm_lava.ir import AnalogGraph, SpikingGraph
from dnisnm_lava.measures import accuracy
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.system.files import write_whole
from dnisnm_lava.views.png import png
from examples.paper.published import DIFFERENCES

RESULTS = Path("docs/results")
BATCH = 100
Result = dict[str, Any]


# ---------------------------------------------------------------- a network and its images


@dataclass(frozen=True)
class Setting:
    """What the options name, read when it is asked for."""

    args: argparse.Namespace

    @cached_property
    def data(self) -> datasets.Data:
        a = self.args
        return datasets.load_data(a.data, mean=a.mean, std=a.std, resize=a.resize, crop=a.crop)

    @cached_property
    def chosen(self) -> np.ndarray:
        """Of the test images: the seeded sample of --images."""
        return datasets.choose(self.data.test, self.args.images, self.args.seed)

    @cached_property
    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, *shape) and classes (N,), all at once."""
        return datasets.arrays(self.data.test, self.chosen)

    @cached_property
    def analog(self) -> AnalogGraph:
        image = self.data.train[0][0]
        return dn.from_torch(models.load_model(self.args.model, self.args.weights, tuple(image.shape)), image)

    @cached_property
    def statistics(self) -> dn.Statistics:
        return dn.calibrate(
            self.analog, self.train_batches(self.args.calibration_images), device=self.args.device
        )

    @cached_property
    def fit_images(self) -> np.ndarray:
        return datasets.arrays(
            self.data.train,
            datasets.choose(self.data.train, self.args.fit_images, self.args.seed),
            classes=False,
        )[0]

    def test_batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same images, one block in memory at a time."""
        return datasets.batches(self.data.test, self.chosen)

    def train_batches(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return datasets.batches(
            self.data.train, datasets.choose(self.data.train, count, self.args.seed), classes=False
        )

    def ours(self, steps: int) -> SpikingGraph:
        """Integers of this project's recipe for `steps`, of one level, as the paper's neurons have; no
        labels."""
        recipe = replace(recipes.BEST, steps=steps, levels=1)
        return follow(recipe, self.analog, self.statistics, self.fit_images).integer

    def ann_accuracy(self) -> float:
        images, labels = self.test
        return percent(accuracy(ann.ann(self.analog, images, device=self.args.device), labels).value)

    def provenance(self) -> Result:
        """Where the result comes from: no path of this machine is in it."""
        a = self.args
        return {
            "command_line": a.command_line,
            "versions": versions(),
            "data": a.data_name,
            "images": len(self.chosen),
            "calibration_images": min(a.calibration_images, len(self.data.train)),
            "fit_images": min(a.fit_images, len(self.data.train)),
            "seed": a.seed,
            "model": shown(a.model),
            "digests": {
                "weights": file_digest(a.weights),
                "package": package_digest(),
                "analog": self.analog.digest(),
                "test_indices": array_digest(self.chosen),
            },
        }


def percent(share: float) -> float:
    return round(100 * share, 2)


def file_digest(path: str | None) -> str:
    """SHA-256 of a file; else the name that stands for weights, or `random`."""
    if path is None or not Path(path).is_file():
        return path or "random"
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def package_digest() -> str:
    """SHA-256 of dnisnm_lava's sources: the recipes that made a result, between two versions."""
    state = hashlib.sha256()
    folder = Path(dn.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        state.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


# ---------------------------------------------------------------- options


def numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def parser(
    doc: str | None, name: str, *, images: int = 500, calibration_images: int = 2000
) -> argparse.ArgumentParser:
    """The options of every experiment; those of the model and the data are the command dnisnm's."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model", help="path/to/file.py:factory or torchvision:NAME")
    made.add_argument("--weights", help="its state_dict (torchvision: or a name, such as DEFAULT)")
    made.add_argument("--data", help="an ImageFolder, an .npz or file.py:factory")
    made.add_argument("--data-name", help="how the results call the data (default: the last part of --data)")
    made.add_argument("--mean", type=numbers, default=(), metavar="M,M,M", help="per channel, subtracted")
    made.add_argument("--std", type=numbers, default=(), metavar="S,S,S", help="per channel, divided by")
    made.add_argument("--resize", type=int, default=0, metavar="N", help="shorter side, in pixels")
    made.add_argument("--crop", type=int, default=0, metavar="N", help="centre square, in pixels")
    made.add_argument(
        "--images", type=int, default=images, help="test images, a seeded sample of them (%(default)s)"
    )
    made.add_argument(
        "--calibration-images",
        type=int,
        default=calibration_images,
        help="training images for the maxima (%(default)s)",
    )
    made.add_argument(
        "--fit-images", type=int, default=1024, help="training images for this project's recipe (%(default)s)"
    )
    made.add_argument(
        "--recipes", nargs="+", choices=("paper", "ours"), default=["paper", "ours"], help="(%(default)s)"
    )
    made.add_argument("--device", default="cpu", help="where torch runs (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    made.add_argument(
        "--out", type=Path, default=RESULTS, help="folder for NAME.json and NAME.png (%(default)s)"
    )
    made.add_argument("--name", default=name, help="(%(default)s)")
    made.add_argument(
        "--draw",
        action="store_true",
        help="draw the picture anew from the JSON that is there, and measure nothing",
    )
    return made


def shown(argument: str) -> str:
    """A path outside the project by its last part, so that no folder of this machine is told."""
    path = Path(argument)
    outside = path.is_absolute() or argument.startswith("..")
    return path.name if outside else argument


def command_line(module: str, argv: Sequence[str]) -> str:
    return shlex.join(["python", "-m", f"examples.paper.{module}", *map(shown, argv)])


# ---------------------------------------------------------------- the command


def main(
    made: argparse.ArgumentParser,
    module: str,
    measure: Callable[[Setting], Result],
    picture: Callable[[Result], Figure],
    argv: Sequence[str] | None = None,
) -> int:
    """Measure, write NAME.json, draw NAME.png from it: each whole or not at all. 1 after an error, told in a
    sentence."""
    argv = sys.argv[1:] if argv is None else argv
    args = made.parse_args(argv)
    args.command_line = command_line(module, argv)
    try:
        path = args.out / f"{args.name}.json"
        if not args.draw:
            write_json(path, measured(args, measure))
        write_whole(path.with_suffix(".png"), png(picture(read_json(path))), overwrite=True)
    except DnisnmError as error:
        print(f"{module}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(f"written: {path} and {path.with_suffix('.png').name}")
    return 0


def measured(args: argparse.Namespace, measure: Callable[[Setting], Result]) -> Result:
    missing = [f"--{name}" for name in ("model", "data") if getattr(args, name) is None]
    if missing:
        raise OutOfRange(
            f"{' and '.join(missing)} not given; name the network and its images, or give --draw"
        )
    args.data_name = args.data_name or shown(args.data)
    setting = Setting(args)
    provenance = setting.provenance()  # of the sources that measure: they may be edited meanwhile
    return {**measure(setting), "differences": DIFFERENCES, "provenance": provenance}


def write_json(path: Path, data: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, (json.dumps(data, indent=1) + "\n").encode(), overwrite=True)


def read_json(path: Path) -> Result:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadFile(
            f"{path}: not there, or no JSON ({type(error).__name__}); measure first, without --draw"
        ) from error


def canvas(width: float = 6.4, height: float = 4.0) -> Figure:
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
