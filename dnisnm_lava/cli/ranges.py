"""What bytes become before they reach the network, where that looks wrong: told, never chosen."""

from __future__ import annotations

import warnings
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING

from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.cli.options import DataOptions, ImageOptions
    from dnisnm_lava.data.datasets import Data, Labelled
    from dnisnm_lava.ir import AnalogGraph

Range = tuple[float, float]
USUAL: tuple[Range, ...] = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
TRIED = 64  # training images
WELL, GROSS, ERRORS = (
    0.9,
    0.2,
    3,
)  # share that needs no trial; gain that is told, in share and in standard errors


def tell_range(args: DataOptions, data: Data) -> None:
    """A notice of a range that nothing reads, and of a mean that belongs to another one."""
    from dnisnm_lava.data import datasets

    if len(data.train) == 0:
        return
    if args.range and not datasets.have_bytes(data):
        warnings.warn(
            f"{args.data}: holds no bytes or pictures, so --range has no effect: floats are taken as "
            f"they are",
            stacklevel=1,
        )
    elif args.mean and datasets.have_bytes(data):
        high = (args.range or _bounds(data))[1]
        if max(map(abs, args.mean)) > 4 * high or max(args.std) > 4 * high:
            told = ",".join(f"{m:g}" for m in args.mean)
            become = f"bytes, which become 0 ... {high:g} first"
            warnings.warn(
                f"--mean {told}: beyond the range of {become}; --range 0,255 leaves them as they are",
                stacklevel=1,
            )


def tell_better_range(args: ImageOptions, analog: AnalogGraph, data: Data) -> None:
    """A notice where the ANN knows the labels of bytes in another range grossly better than in the one that
    they have unasked."""
    from dnisnm_lava.data import datasets

    if args.range or args.mean or data.transforms or not datasets.have_bytes(data):
        return
    own = _bounds(data)
    given = _share(analog, data.train, args.seed)
    if given is None or given >= WELL:
        return
    shares = {
        bounds: _share(analog, _ranged(data.train, bounds), args.seed) or 0.0
        for bounds in USUAL
        if bounds != own
    }
    best = max(shares, key=lambda bounds: shares[bounds])
    images = min(TRIED, len(data.train))
    error = sqrt(sum(share * (1 - share) for share in (given, shares[best])) / images)
    if shares[best] - given > max(GROSS, ERRORS * error):
        warnings.warn(
            f"{args.data}: bytes become {_told(own)}, and the ANN meets {100 * given:.1f} % of the "
            f"labels of {images} training images; "
            f"of bytes as {_told(best)}, {100 * shares[best]:.1f} %: if training took a mean away, give its "
            f"--mean and --std; if it was trained so, or scales them itself, say "
            f"--range {best[0]:g},{best[1]:g}",
            stacklevel=1,
        )


def _told(bounds: Range) -> str:
    return f"{bounds[0]:g} ... {bounds[1]:g}"


def _bounds(data: Data) -> Range:
    """What bytes become now."""
    from dnisnm_lava.data import datasets

    return data.train.prepare.range or ((0.0, 1.0) if datasets.are_pictures(data) else (0.0, 255.0))


def _ranged(dataset: Labelled, bounds: Range) -> Labelled:
    return type(dataset)(dataset.base, replace(dataset.prepare, range=bounds), dataset.name)


def _share(analog: AnalogGraph, dataset: Labelled, seed: int) -> float | None:
    """The share of the labels of some images that the ANN meets; None where they are no classes of its first
    output."""
    from dnisnm_lava import measures
    from dnisnm_lava.backends import ann
    from dnisnm_lava.data import datasets

    x, y = datasets.arrays(dataset, datasets.choose(dataset, TRIED, seed), classes=False)
    if datasets.is_unknown(y):
        return None
    try:
        return measures.accuracy(ann.ann(analog, x), y).value
    except OutOfRange:
        return None
