"""Resize and Upsample: the way of torch's, or else of `sampling`, that gives the same numbers, found by
trying on this very size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from dnisnm_lava.data.onnx.explicit import resized_before_sizes
from dnisnm_lava.data.onnx.node import Node, Operator, Refusal
from dnisnm_lava.data.onnx.reference import evaluated
from dnisnm_lava.data.sampling import LINEAR, sampled

MODES = {
    ("nearest", 1): ("nearest", "nearest-exact"),
    ("nearest", 2): ("nearest", "nearest-exact"),
    ("linear", 1): ("linear",),
    ("linear", 2): ("bilinear",),
    ("cubic", 1): (),
    ("cubic", 2): ("bicubic",),
    ("bilinear", 2): ("bilinear",),
}
WHERE = "coordinate_transformation_mode"
CUBIC = -0.75  # cubic_coeff_a, where none is given
# float64 sums of at most 16 products of numbers below 1 err by less than 1e-14; another way differs by more
# than 1e-6
CLOSE = 1e-9


def resize(node: Node) -> torch.nn.Module:
    shape, output = node.shape(), node.output_shape
    if not output or not all(output) or output[:2] != shape[:2]:
        raise Refusal(
            f"it makes {output or 'an unknown size'} of {shape}; only pixels can be resized, to a "
            f"constant size"
        )
    maps = np.random.default_rng(0).random((1, 1, *shape[2:]))
    wanted = _on_one_channel(node, maps)
    for way in _ways(node, wanted.shape[2:]):
        found = way(torch.from_numpy(maps)).numpy()
        if found.shape == wanted.shape and np.abs(found - wanted).max() < CLOSE:
            return Operator(way)
    given = {key: _text(value) for key, value in node.attributes.items()}
    said = f"there is no way here to resize {shape[2:]} to {output[2:]} as {given} says"
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
        raise Refusal(
            f"mode {mode} over {len(size)} axes of pixels is not understood; export it as nearest or linear"
        )
    corners = (None,) if mode == "nearest" else (False, True)
    scales = _scales(node, len(size))
    for name in modes:
        for align in corners:
            if scales:
                yield partial(F.interpolate, scale_factor=scales, mode=name, align_corners=align)
            yield partial(F.interpolate, size=list(size), mode=name, align_corners=align)
    if mode == "nearest":
        yield _picked(node, size)
    if mode != "nearest" and (places := _places(node, size, scales)) is not None:
        cubic = float(node.attributes.get("cubic_coeff_a", CUBIC)) if mode == "cubic" else LINEAR
        rows, cols = ([], *places)[-2:]
        yield partial(
            sampled,
            rows=rows,
            cols=cols,
            coefficient=cubic,
            inside=bool(node.attributes.get("exclude_outside", 0)),
        )


def _scales(node: Node, rank: int) -> list[float]:
    """The scales of the pixels, where the node gives scales, not sizes."""
    place = 1 if node.kind == "Upsample" or node.version < 11 else 2
    given = node.numbers("scales", place) if node.has(place) or "scales" in node.attributes else None
    return [float(s) for s in given[-rank:]] if given else []


def _places(node: Node, size: tuple[int, ...], scales: list[float]) -> list[list[float]] | None:
    """Where each new pixel lies along each axis, in pixels of the old map; None where that has no rule
    here."""
    rule = RULES.get(
        "asymmetric"
        if node.kind == "Upsample" or node.version < 11
        else _text(node.attributes.get(WHERE, b"half_pixel"))
    )
    if rule is None:
        return None
    old = node.shape()[2:]
    each = scales or [m / n for n, m in zip(old, size, strict=True)]
    return [[rule(i, n, m, scale) for i in range(m)] for n, m, scale in zip(old, size, each, strict=True)]


def _half(i: int, n: int, m: int, scale: float) -> float:
    return (i + 0.5) / scale - 0.5


def _symmetric(i: int, n: int, m: int, scale: float) -> float:
    """The middle of the new map, which may be a part of a pixel smaller than it should be, lies in the middle
    of the old one."""
    return n / 2 * (1 - m / (n * scale)) + _half(i, n, m, scale)


RULES: dict[str, Callable[[int, int, int, float], float]] = {  # (index, old size, new size, scale) -> place
    "half_pixel": _half,
    "half_pixel_symmetric": _symmetric,
    "asymmetric": lambda i, n, m, scale: i / scale,
    "pytorch_half_pixel": lambda i, n, m, scale: _half(i, n, m, scale) if m > 1 else -0.5,
    "align_corners": lambda i, n, m, scale: i * (n - 1) / (n * scale - 1) if n * scale != 1 else 0.0,
}


def _picked(node: Node, size: tuple[int, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Nearest by any rule: which row and which column each pixel is."""
    rows = np.indices(node.shape()[2:]).astype(np.float64)
    places = [_on_one_channel(node, axis[None, None])[0, 0] for axis in rows]
    index = [
        p[tuple(slice(None) if j == i else 0 for j in range(len(size)))].astype(np.int64)
        for i, p in enumerate(places)
    ]
    return partial(_pick, index=[i.tolist() for i in index])


def _pick(x: torch.Tensor, index: list[list[int]]) -> torch.Tensor:
    for axis, places in enumerate(index):
        x = x.index_select(axis + 2, torch.tensor(places, device=x.device))
    return x
