"""Axes of images: as they lie in arrays, and as a model takes them. `nhwc` reads: number, height, width,
channels; l: length; f: features.

torch has channels first. An array does not say which axis is which, so the model is asked where nobody tells:
the order that it runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from dnisnm_lava.data import inputs
from dnisnm_lava.errors import OutOfRange

FORMS = "nchw, nhwc, nhw, nchw:nhwc, ncl, nlc, nl or nf"
TORCHS = {"h": "chw", "l": "cl", "f": "f"}  # by an axis that only it has
COLOURS = (1, 3)  # channels of pictures


@dataclass(frozen=True)
class Layout:
    """Axes of one image, as letters. given: as it lies there; wanted: as the model takes it."""

    given: str
    wanted: str

    def to_torch(self, image: Any) -> torch.Tensor:
        """Channels first: (C, H, W), (C, L) or (F,); an axis for the channel where there is none."""
        x = torch.as_tensor(inputs.array(image))
        if x.ndim != len(self.given):
            raise ValueError(f"layout {self} given, the image has shape {tuple(x.shape)}")
        return _moved(
            *((x, self.given) if "c" in self.given or "f" in self.given else (x[None], "c" + self.given)),
            _torchs(self.given),
        )

    def to_model(self, image: torch.Tensor) -> torch.Tensor:
        """From channels first."""
        return _moved(image, _torchs(self.given), self.wanted)

    def __str__(self) -> str:
        behind = "" if self.wanted == _torchs(self.given) else f":n{self.wanted}"
        return f"n{self.given}{behind}"


def _torchs(axes: str) -> str:
    return next(order for letter, order in TORCHS.items() if letter in axes)


def _moved(x: torch.Tensor, order: str, wanted: str) -> torch.Tensor:
    return x if order == wanted else x.permute([order.index(axis) for axis in wanted])


def parse(text: str) -> Layout:
    """`nhwc`, or `nhwc:nhwc`: as images lie there, and as the model takes them (default: as torch has it)."""
    given, _, wanted = (part.removeprefix("n") for part in text.lower().partition(":"))
    sound = set(given) in ({*"chw"}, {*"hw"}, {*"cl"}, {*"l"}, {*"f"}) and len(set(given)) == len(given)
    if not sound or (wanted and sorted(wanted) != sorted(_torchs(given))) or len(text.split(":")) > 2:
        raise OutOfRange(
            f"layout: {text} given; give {FORMS}: the axes as they lie there, and behind a colon as the "
            f"model takes them"
        )
    return Layout(given, wanted or _torchs(given))


def of_array(shape: tuple[int, ...], are_bytes: bool) -> Layout:
    """What an array of images most likely holds; shape: of one image."""
    if len(shape) == 1:
        return Layout("f", "f")
    if len(shape) == 2:
        return Layout("hw", "chw")
    last = shape[2] in COLOURS and (are_bytes or shape[0] not in COLOURS)
    return Layout("hwc" if last else "chw", "chw")


def as_given(shape: tuple[int, ...]) -> Layout:
    """What comes ready, as from a Dataset: nothing is moved."""
    axes = {1: "f", 2: "cl", 3: "chw"}.get(len(shape), "")
    return Layout(axes, axes)


def others(shape: tuple[int, ...], first: Layout) -> Iterator[Layout]:
    """What an image of `shape` may be, too; those that do the same as `first` aside."""
    of_rank = {
        1: (Layout("f", "f"), Layout("l", "cl")),
        2: (Layout("cl", "cl"), Layout("hw", "chw"), Layout("lc", "cl")),
        3: (Layout("chw", "chw"), Layout("hwc", "chw"), Layout("chw", "hwc")),
    }
    if first == Layout("hwc", "chw"):
        of_rank[3] = (Layout("hwc", "hwc"),)
    return (layout for layout in of_rank.get(len(shape), ()) if layout != first)


def is_plain(shape: tuple[int, ...], are_bytes: bool) -> bool:
    """Does the shape itself tell where the channels are: at one end alone, or in bytes of one channel?"""
    if len(shape) == 3:
        return (shape[0] in COLOURS) != (shape[2] in COLOURS)
    return len(shape) == 1 or are_bytes


def running(
    shape: tuple[int, ...], first: Layout, are_bytes: bool, runs: Callable[[Layout], bool]
) -> list[Layout]:
    """The layouts that the model runs on, `first` before others; of a plain shape, no other is tried where it
    runs on the first."""
    if runs(first):
        return [first] if is_plain(shape, are_bytes) else [first, *filter(runs, others(shape, first))]
    return [*filter(runs, others(shape, first))]
