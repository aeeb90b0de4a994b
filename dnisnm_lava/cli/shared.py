"""What several verbs do with a file that remembers, with Lava, and with where a result comes from."""

from __future__ import annotations

import os
import warnings
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import remembering
from dnisnm_lava.cli.names import DEMO_LAVA_IMAGES, LAVA_IMAGES
from dnisnm_lava.cli.networks import _network
from dnisnm_lava.cli.options import (
    ChipOptions,
    LavaOptions,
    LavaToo,
    OfModelOrFile,
    Seeded,
    TargetOptions,
)
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.reading import _check_labels, _data, _mode, _require_data, _targets, _told_labels
from dnisnm_lava.cli.verb import Verb
from dnisnm_lava.errors import BackendMissing, OutOfRange
from dnisnm_lava.stages.recipes import Recipe

if TYPE_CHECKING:
    from dnisnm_lava.backends.lava_cpu import Lava
    from dnisnm_lava.cli.explaining import Explain, Report
    from dnisnm_lava.cli.making import Precision
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.evaluation.sanity import SetUp
    from dnisnm_lava.stages.networks import Networks
    from dnisnm_lava.studies.loihi2.rates import Rates
    from dnisnm_lava.system.ranks import Group


M = TypeVar("M", bound=OfModelOrFile)


def _recall(args: M) -> M:
    """The same, with what the netx file remembers of model, weights and data, where it is about one.
    OutOfRange for neither file nor model."""
    if args.net is not None:
        _of_images(args)
        args = remembering.recall(args, "model", "weights", "data")
    elif not args.model:
        raise OutOfRange(f"{args.verb}: give a .net file, or a model as --model")
    _require_data(args)
    return args


def _of_images(args: Verb) -> dn.SpikingGraph:
    """The file's network; OutOfRange where it is a stream's."""
    from dnisnm_lava.ir.integers import check_images
    from exporters import netx

    assert args.net is not None
    graph = netx.read(args.net)
    check_images(graph, f"{args.net}: {args.verb}")
    return graph


def _refuse_dials(args: OfModelOrFile) -> None:
    """OutOfRange for a dial, but steps, of a recipe that is not read: the file is as it is."""
    dials = [f.name for f in fields(Recipe) if f.name != "steps" and f.name in args.given] + ["recipe"] * (
        "recipe" in args.given
    )
    if dials:
        raise OutOfRange(
            f"{args.net}: is made already, and --{dials[0].replace('_', '-')} belongs to a --model; "
            f"leave one of them out"
        )


def _refuse_model(args: OfModelOrFile) -> None:
    """OutOfRange for what makes a network of a model, where the file's is counted as it is."""
    given = [name for name in ("model", "weights", "calibration_images", "fit_images") if name in args.given]
    if given:
        raise OutOfRange(
            f"{args.net}: {args.verb} takes its integers as they are, and --{given[0].replace('_', '-')} "
            f"makes others; leave that out, or leave the file out to ask of a --model"
        )


def _rates(args: ChipOptions) -> Rates:
    """Those of --rates, else the public ones. OutOfRange beside another chip's limits."""
    from dnisnm_lava.studies.loihi2.limits import LOIHI2, limits
    from dnisnm_lava.studies.loihi2.rates import rates

    target = limits(args.target)
    if args.rates is not None and target != LOIHI2:
        raise OutOfRange(
            f"--rates: time is told of Loihi 2's cores and links alone, and not of --target {args.target}; "
            f"leave one of them out"
        )
    return rates(args.rates)


def _tried(
    args: Precision | Explain | Report, group: Group, stages: Stages
) -> tuple[Data, Networks, SetUp, np.ndarray, np.ndarray | None, dict[str | int, np.ndarray]]:
    """The data, the networks made of it, what is known of the set-up, and the sample of test images, with
    labels where there are some, and the targets of further outputs, to try them on."""
    from dnisnm_lava.data import datasets

    data = _data(args)
    chosen = datasets.choose(data.test, args.images, args.seed)
    targets = _targets(args, data) if isinstance(args, TargetOptions) else {}
    check = partial(_check_labels, data.test, chosen, args.ask, targets)
    nets, set_up = _network(args, data, group, stages, check=check)
    x, y = datasets.arrays(data.test, chosen, stages("read images"), classes=args.measure != "values")
    return data, nets, set_up, x, _told_labels(y), {name: own[chosen] for name, own in targets.items()}


def _lava(args: LavaOptions, images: int) -> Lava:
    """How Lava is asked, on so many images."""
    from dnisnm_lava.backends.lava_cpu import Lava

    return Lava(images, args.deadline, args.lava_python)


def _settled_lava(args: LavaToo) -> Lava:
    """On as many images as are asked for, else some; on none, with a notice, where Lava is not installed and
    nobody asked for it. BackendMissing where somebody did."""
    from dnisnm_lava.backends import lava_cpu
    from dnisnm_lava.backends.lava_cpu import interpreter

    asked = args.lava_images is not None or args.lava_python or os.environ.get(interpreter.VARIABLE)
    usual = DEMO_LAVA_IMAGES if args.verb == "demo" else LAVA_IMAGES
    images = usual if args.lava_images is None else args.lava_images
    if images:
        try:
            lava_cpu.require_lava(args.lava_python)
        except BackendMissing as error:
            if asked:
                raise
            images = 0
            warnings.warn(f"{args.verb} goes on without Lava: {error}", stacklevel=1)
    return _lava(args, images)


def _provenance(
    args: Seeded, *values: Any, data: Data | None = None, lava: Lava | None = None
) -> dict[str, Any]:
    """Digests of graphs (by mode) and of images with labels, versions, seed and command line. lava: as it was
    asked, if it was."""
    from dnisnm_lava.backends.lava_cpu import interpreter
    from dnisnm_lava.evaluation import origin

    graphs = {_mode(g): g.digest() for g in values if hasattr(g, "digest")}
    arrays = [a for a in values if not hasattr(a, "digest")]
    return {
        "digests": {**graphs, **({"images": origin.array_digest(*arrays)} if arrays else {})},
        "versions": origin.versions(interpreter.chosen(lava.python) if lava and lava.images else None),
        **({"transforms": data.transforms} if data and data.transforms else {}),
        **({"made_of": args.made_of} if args.made_of else {}),
        "seed": args.seed,
        "command_line": args.command_line,
    }
