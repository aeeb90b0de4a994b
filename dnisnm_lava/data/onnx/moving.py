"""Operations that only move elements. The batch may have any size: where the file's own is written, the
tensor's is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from dnisnm_lava.data.onnx.node import Node, Operator, Refusal


def _axes(given: Sequence[int], rank: int) -> list[int]:
    return sorted(a % rank for a in given)


def reshape(node: Node) -> torch.nn.Module:
    sizes = node.numbers("shape", 1, "sizes") or []
    return Operator(
        partial(_reshape, sizes=sizes, batch=node.batch, zero_is_kept=not node.attributes.get("allowzero", 0))
    )


def _reshape(x: torch.Tensor, sizes: Sequence[int], batch: int, zero_is_kept: bool) -> torch.Tensor:
    return x.reshape(
        [
            x.shape[i] if (n == 0 and zero_is_kept) or (i == 0 and n == batch) else n
            for i, n in enumerate(sizes)
        ]
    )


def flatten(node: Node) -> torch.nn.Module:
    axis = node.attributes.get("axis", 1)
    axis += len(node.shapes[0]) if axis < 0 else 0
    return (
        torch.nn.Flatten()
        if axis == 1 or (axis == 0 and node.batch == 1)
        else Operator(partial(_flatten, axis=axis))
    )


def _flatten(x: torch.Tensor, axis: int) -> torch.Tensor:
    return x.reshape(math.prod(x.shape[:axis]), -1)


def squeeze(node: Node) -> torch.nn.Module:
    given = node.numbers("axes", 1)
    shape = node.shapes[0] if given else node.shape()
    axes = _axes(given, len(shape)) if given else [i for i, n in enumerate(shape) if n == 1 and i > 0]
    return Operator(partial(torch.squeeze, dim=tuple(axes)))


def unsqueeze(node: Node) -> torch.nn.Module:
    given = node.numbers("axes", 1) or []
    return Operator(partial(_unsqueeze, axes=_axes(given, len(node.shapes[0]) + len(given))))


def _unsqueeze(x: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


def transpose(node: Node) -> torch.nn.Module:
    return Operator(
        partial(torch.permute, dims=node.attributes.get("perm", list(range(len(node.shapes[0])))[::-1]))
    )


def concat(node: Node) -> torch.nn.Module:
    axis = node.attributes["axis"] % len(node.output_shape or node.shapes[0])
    held = {i: node.of_one_image(i) for i in node.constants}
    return Operator(partial(_concat, axis=axis, held=tuple(held)), held)


def _concat(*tensors: torch.Tensor, axis: int, held: Sequence[int]) -> torch.Tensor:
    """What is `held` is a constant, the same for each image."""
    images = next(t.shape[0] for i, t in enumerate(tensors) if i not in held)
    return torch.cat(
        [t.expand(images, *t.shape[1:]) if i in held else t for i, t in enumerate(tensors)], axis
    )


def slices(node: Node) -> torch.nn.Module:
    starts, ends = node.numbers("starts", 1) or [], node.numbers("ends", 2) or []
    axes = node.numbers("axes", 3) or list(range(len(starts)))
    steps = node.numbers("steps", 4) or [1] * len(starts)
    rank = len(node.shapes[0])
    ranges = [
        (a % max(rank, 1), start, end, step)
        for a, start, end, step in zip(axes, starts, ends, steps, strict=True)
    ]
    return Operator(partial(_slice, ranges=ranges))


def _slice(x: torch.Tensor, ranges: Sequence[tuple[int, int, int, int]]) -> torch.Tensor:
    """A negative step is a slice that is turned round."""
    parts, turned = [slice(None)] * x.dim(), []
    for axis, start, end, step in ranges:
        if step > 0:
            parts[axis] = slice(start, min(end, x.shape[axis]), step)
            continue
        first, stop = _place(start, x.shape[axis]), _place(end, x.shape[axis])
        count = max((first - stop - step - 1) // -step, 0)
        parts[axis] = slice(first + (count - 1) * step, first + 1, -step) if count else slice(0, 0)
        turned.append(axis)
    return x[tuple(parts)].flip(turned) if turned else x[tuple(parts)]


def _place(place: int, size: int) -> int:
    """The place on an axis that is read backwards: -1 stands before its first. Numbers alone: torch.export
    traces neither slice.indices nor the last of a range that falls."""
    return min(max(place + size if place < 0 else place, -1), size - 1)


def split(node: Node) -> torch.nn.Module:
    """Into `split` parts; without it, parts of equal size but for the last."""
    axis, parts = node.attributes.get("axis", 0) % len(node.shapes[0]), len(node.outputs)
    sizes = node.numbers("split", 1, "sizes")
    if not sizes:
        size = node.shape()[axis]
        each = -(-size // parts)
        sizes = [each] * (parts - 1) + [size - each * (parts - 1)]
    return Operator(partial(torch.split, split_size_or_sections=sizes, dim=axis))


def pad(node: Node) -> torch.nn.Module:
    pads, mode = node.numbers("pads", 1) or [], node.attributes.get("mode", b"constant").decode()
    value = (node.numbers("value", 2) or [0.0])[0]
    rank = len(node.shapes[0])
    axes = _given_axes(node, rank)
    borders = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        borders[axis] = (pads[place], pads[place + len(axes)])
    while len(borders) > 1 and borders[0] == (0, 0):  # not all modes take the batch and the channels
        del borders[0]
    flat = [n for pair in reversed(borders) for n in pair]
    if mode == "constant":
        return Operator(partial(F.pad, pad=flat, value=value))
    names = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}
    if mode not in names or min(flat) < 0 or len(borders) > rank - 2:
        raise Refusal(
            f"mode {mode} with pads {pads} is not understood; pad with a constant, or the pixels alone"
        )
    return Operator(partial(F.pad, pad=flat, mode=names[mode]))


def _given_axes(node: Node, rank: int) -> list[int]:
    return [int(a) % rank for a in node.numbers("axes", 3) or range(rank)]


def expand(node: Node) -> torch.nn.Module:
    return Operator(partial(_expand, sizes=node.numbers("shape", 1) or [], batch=node.batch))


def _expand(x: torch.Tensor, sizes: Sequence[int], batch: int) -> torch.Tensor:
    rank = max(x.dim(), len(sizes))
    wanted = [1] * (rank - len(sizes)) + list(sizes)
    return x.expand(
        [
            -1 if (n == 1 or (i == 0 and n == batch)) and i >= rank - x.dim() else n
            for i, n in enumerate(wanted)
        ]
    )


def tile(node: Node) -> torch.nn.Module:
    return Operator(partial(_tile, repeats=node.numbers("repeats", 1) or []))


def _tile(x: torch.Tensor, repeats: Sequence[int]) -> torch.Tensor:
    return x.repeat(*repeats)


def gather(node: Node) -> torch.nn.Module:
    if 0 in node.constants:
        raise Refusal(
            "it looks constants up by what depends on the image (an embedding); use convolutions and "
            "linear layers"
        )
    places, axis = node.constant(1, "indices"), node.attributes.get("axis", 0) % len(node.shapes[0])
    return Operator(partial(_gather, places=places.reshape(-1).tolist(), shape=places.shape, axis=axis))


def _gather(x: torch.Tensor, places: Sequence[int], shape: Sequence[int], axis: int) -> torch.Tensor:
    if not shape:
        return x.select(axis, places[0])
    size = x.shape[axis]
    taken = x.index_select(axis, torch.tensor([p % size for p in places], device=x.device))
    return taken if len(shape) == 1 else taken.reshape(*x.shape[:axis], *shape, *x.shape[axis + 1 :])


def to_pixels(node: Node) -> torch.nn.Module:
    side, mode = node.attributes["blocksize"], node.attributes.get("mode", b"DCR").decode()
    return torch.nn.PixelShuffle(side) if mode == "CRD" else Operator(partial(_depth_first, side=side))


def _depth_first(x: torch.Tensor, side: int) -> torch.Tensor:
    n, c, h, w = x.shape
    apart = x.reshape(n, side, side, c // side**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return apart.reshape(n, c // side**2, h * side, w * side)


def to_channels(node: Node) -> torch.nn.Module:
    return Operator(partial(_space_to_depth, side=node.attributes["blocksize"]))


def _space_to_depth(x: torch.Tensor, side: int) -> torch.Tensor:
    n, c, h, w = x.shape
    apart = x.reshape(n, c, h // side, side, w // side, side).permute(0, 3, 5, 1, 2, 4)
    return apart.reshape(n, c * side**2, h // side, w // side)


MOVES: dict[str, Callable[[Node], Any]] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Concat": concat,
    "Slice": slices,
    "Split": split,
    "Pad": pad,
    "Expand": expand,
    "Tile": tile,
    "Gather": gather,
    "DepthToSpace": to_pixels,
    "SpaceToDepth": to_channels,
}
