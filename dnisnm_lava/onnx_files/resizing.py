"""Resize and Upsample: the way of torch's that gives the same numbers, found by trying on this very size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from dnisnm_lava.onnx_files.explicit import resized_before_sizes
from dnisnm_lava.onnx_files.node import Node, Operator, Refusal
from dnisnm_lava.onnx_files.reference import evaluated

MODES = {
    ("nearest", 1): ("nearest", "nearest-exact"), ("nearest", 2): ("nearest", "nearest-exact"),
    ("linear", 1): ("linear",), ("linear", 2): ("bilinear",), ("cubic", 2): ("bicubic",), ("bilinear", 2): ("bilinear",),
}  # fmt: skip
FURTHER = 65  # pixels beyond a map's last one, of which less are looked at
CLOSE = 1e-9  # float64 sums of at most 16 products of numbers below 1 err by less than 1e-14; another way differs by more than 1e-6


def resize(node: Node) -> torch.nn.Module:
    shape, output = node.shape(), node.output_shape
    if not output or not all(output) or output[:2] != shape[:2]:
        raise Refusal(f"it makes {output or 'an unknown size'} of {shape}; only pixels can be resized, to a constant size")
    maps = np.random.default_rng(0).random((1, 1, *shape[2:]))
    wanted = _on_one_channel(node, maps)
    for way in _ways(node, wanted.shape[2:]):
        found = way(torch.from_numpy(maps)).numpy()
        if found.shape == wanted.shape and np.abs(found - wanted).max() < CLOSE:
            return Operator(way)
    given = {key: _text(value) for key, value in node.attributes.items()}
    said = f"torch has no way to resize {shape[2:]} to {output[2:]} as {given} says"
    raise Refusal(f"{said}; export it with half_pixel or align_corners, and with sizes")


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _on_one_channel(node: Node, maps: np.ndarray) -> np.ndarray:
    """What onnx's own evaluator makes of one channel of one image."""
    older = resized_before_sizes(node, maps)
    if older is not None:
        return older
    constants, axes = dict(node.constants), node.attributes.get("axes")
    if axes is not None and any(axis % len(node.shape()) < 2 for axis in axes):
        raise Refusal("it resizes batch or channels; only pixels can be resized")
    if axes is None and 3 in constants:
        constants[3] = np.array([1, 1, *constants[3][2:]])
    given = [maps if i == 0 else constants.get(i) for i in range(len(node.inputs))]
    return evaluated(node.kind, given, node.attributes, node.version)[0]


def _ways(node: Node, size: tuple[int, ...]) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    mode = _text(node.attributes.get("mode", b"nearest"))
    modes = MODES.get((mode, len(size)))
    if modes is None:
        raise Refusal(f"mode {mode} over {len(size)} axes of pixels is not understood; export it as nearest or linear")
    corners = (None,) if mode == "nearest" else (False, True)
    scales = _scales(node, len(size))
    for name in modes:
        for align in corners:
            if scales:
                yield partial(F.interpolate, scale_factor=scales, mode=name, align_corners=align)
            yield partial(F.interpolate, size=list(size), mode=name, align_corners=align)
    if mode == "nearest":
        yield _picked(node, size)
    if mode in ("linear", "bilinear"):
        each = scales or [m / n for n, m in zip(node.shape()[2:], size, strict=True)]
        wide = [w for n, m, scale in zip(node.shape()[2:], size, each, strict=True) if (w := _widened(n, m, scale)) is not None]
        if len(wide) == len(size):
            yield partial(_asymmetric, size=list(size), wide=wide, mode=modes[0])


def _scales(node: Node, rank: int) -> list[float]:
    """Of the pixels, where the node gives scales, not sizes."""
    place = 1 if node.kind == "Upsample" or node.version < 11 else 2
    given = node.numbers("scales", place) if node.has(place) or "scales" in node.attributes else None
    return [float(s) for s in given[-rank:]] if given else []


def _asymmetric(x: torch.Tensor, size: list[int], wide: list[tuple[int, int]], mode: str) -> torch.Tensor:
    """Pixel i of an axis is at i / scale of the old one, whose last pixel goes on. wide: for each axis, by how many pixels it goes on, and
    how many it has then with aligned corners; the first `size` of these are kept."""
    further = F.pad(x, [n for more, _ in reversed(wide) for n in (0, more)], mode="replicate")
    found = F.interpolate(further, size=[n for _, n in wide], mode=mode, align_corners=True)
    for axis, n in enumerate(size, 2):
        found = found.narrow(axis, 0, n)
    return found


def _widened(pixels: int, size: int, scale: float) -> tuple[int, int] | None:
    """(more, n): `pixels` and so many more, of which n with aligned corners are 1 / scale apart; None where there are few such."""
    for more in range(1, FURTHER):
        steps = (pixels + more - 1) * scale
        whole = int(steps + 0.5)
        if abs(steps - whole) < CLOSE and whole >= size:
            return more, whole + 1
    return None


def _picked(node: Node, size: tuple[int, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Nearest by any rule: which row and which column each pixel is."""
    rows = np.indices(node.shape()[2:]).astype(np.float64)
    places = [_on_one_channel(node, axis[None, None])[0, 0] for axis in rows]
    index = [p[tuple(slice(None) if j == i else 0 for j in range(len(size)))].astype(np.int64) for i, p in enumerate(places)]
    return partial(_pick, index=[i.tolist() for i in index])


def _pick(x: torch.Tensor, index: list[list[int]]) -> torch.Tensor:
    for axis, places in enumerate(index):
        x = x.index_select(axis + 2, torch.tensor(places, device=x.device))
    return x
