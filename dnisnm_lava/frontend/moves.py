"""Operations that only move elements: each runs itself, on indices in place of values.

An element's index plus one stands for it, so that the zeros of a pad or of a constant stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend.expression import Expression, Refusal, Term, compact
from dnisnm_lava.frontend.layout import Layout
from dnisnm_lava.frontend.table import Kind, Operation, register
from dnisnm_lava.frontend.tensors import no_bias
from dnisnm_lava.frontend.trace import BATCH
from dnisnm_lava.ir import Shape

Run = Callable[[list[torch.Tensor]], Any]
for _name in (
    "permute",
    "transpose",
    "t",
    "movedim",
    "swapaxes",
    "select",
    "unbind",
    "index",
    "_unsafe_index",
    "index_select",
    "flip",
    "roll",
    "rot90",
    "repeat",
    "expand",
    "repeat_interleave",
    "reflection_pad1d",
    "reflection_pad2d",
    "replication_pad1d",
    "replication_pad2d",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
    "native_channel_shuffle",
    "unfold",
    "stack",
    "unflatten",
):
    register(Operation(_name, Kind.MOVE))
for _name in ("view", "_unsafe_view", "reshape", "flatten"):
    register(Operation(_name, Kind.MOVE, merges=True, reshapes=True, views=True))
for _name in ("squeeze", "unsqueeze"):
    register(Operation(_name, Kind.MOVE, reshapes=True))
for _name in ("cat", "narrow"):
    register(Operation(_name, Kind.MOVE, axis=1))
for _name in ("split", "split_with_sizes", "chunk", "tensor_split"):
    register(Operation(_name, Kind.MOVE, axis=2))
register(Operation("slice", Kind.MOVE, axis=1, reshapes=True))
register(Operation("constant_pad_nd", Kind.MOVE, value=2))
register(Operation("pad", Kind.MOVE, value=3))


def constant(value: Any, shape: Shape) -> np.ndarray:
    """A number or a constant tensor that broadcasts to (N, *shape), the same for each image, without its
    batch axis."""
    a = (
        value.detach().cpu().double().numpy()
        if isinstance(value, torch.Tensor)
        else np.asarray(value, np.float64)
    )
    if a.ndim == 0:
        return a.reshape((1,) * len(shape))
    a = a.reshape((1,) * (len(shape) + 1 - a.ndim) + a.shape)
    if a.ndim != len(shape) + 1 or (a != a[:1]).any():
        raise Refusal("it combines the images of a batch with constants that differ between images")
    return a[0]


def as_images(value: Any) -> Expression:
    """A map as it is; a constant (N, *shape), the same for each image, as one."""
    if isinstance(value, Expression):
        return value
    a = value.detach().cpu().double().numpy()
    if a.shape[0] != BATCH or (a != a[:1]).any():
        raise Refusal("it joins feature maps with a constant that differs between the images of a batch")
    return Expression((), compact(a[0]), a.shape[1:])


def expanded(e: Expression, run: Callable[[torch.Tensor], torch.Tensor]) -> Expression:
    """One move of one expression: `run` takes (N, *shape)."""
    return joined([e], lambda tensors: run(tensors[0]))


def joined(parts: list[Expression], run: Run) -> Expression:
    """What `run` makes one of, as of `move`."""
    moved = move(parts, run)
    assert isinstance(moved, Expression)
    return moved


def move(parts: list[Expression], run: Run, axis: int | None = None) -> Any:
    """What `run`, a move of tensors (N, *shape) in the order of `parts`, makes of expressions: one, or a
    tuple. axis: the one of the tensors that it moves along, where there is but one."""
    shallow = axis == 1 and _by_axes(parts)
    probe = run([torch.zeros(()).expand(BATCH, *p.shape) for p in parts])
    many = isinstance(probe, list | tuple)
    shapes = [_image_shape(out) for out in (probe if many else [probe])]
    terms: list[list[Term]] = [[] for _ in shapes]
    for i, part in enumerate(parts):
        for term in part.terms:
            for found, moved in zip(terms, _moved(term, i, parts, run, shapes, shallow), strict=True):
                found.extend(moved)
    biases = _biases(parts, run, shapes)
    label = next((p.label for p in parts if p.is_composite), parts[0].label)
    nodes = frozenset().union(*(p.nodes for p in parts))
    results = tuple(
        Expression(tuple(t), b, s, label, nodes) for t, b, s in zip(terms, biases, shapes, strict=True)
    )
    return results if many else results[0]


def _images(a: np.ndarray) -> torch.Tensor:
    return torch.tensor(a)[None].expand(BATCH, *a.shape)


def _image_shape(out: torch.Tensor) -> Shape:
    if out.ndim == 0 or out.shape[0] != BATCH:
        raise Refusal(
            f"it makes a tensor of shape {tuple(out.shape)} of a batch of {BATCH} images; keep the batch "
            f"axis first and apart"
        )
    return tuple(out.shape[1:])


def _by_axes(parts: list[Expression]) -> bool:
    """May channels move alone, as vectors? Only where all layouts fall into axes, over the same pixels."""
    return all(len(p.shape) == 3 and all(t.layout.axes is not None for t in p.terms) for p in parts)


def _alone(
    i: int, parts: list[Expression], values: np.ndarray, shape: Callable[[Shape], Shape]
) -> list[torch.Tensor]:
    """`values` for part i, zeros for the others."""
    return [
        _images(values if j == i else np.zeros(shape(p.shape), values.dtype)) for j, p in enumerate(parts)
    ]


def _outputs(run: Run, tensors: list[torch.Tensor]) -> list[np.ndarray]:
    outs = run(tensors)
    found = []
    for out in outs if isinstance(outs, list | tuple) else [outs]:
        a = out.numpy()
        if (a[0] != a[-1]).any():
            raise Refusal("it mixes the images of a batch; keep the batch axis first and apart")
        found.append(a[0])
    return found


def _indices(
    run: Run, i: int, parts: list[Expression], index: np.ndarray, shape: Callable[[Shape], Shape]
) -> list[np.ndarray]:
    """Where the elements of part i arrive. The second image's indices are others, so that nothing passes
    between images."""
    tensors = _alone(i, parts, index.astype(np.float64), shape)  # floats: not every move takes integers
    apart = float(index.max(initial=0) + 1)
    tensors[i] = tensors[i] + torch.tensor([0.0, apart]).reshape(-1, *(1,) * index.ndim) * (tensors[i] > 0)
    outs = run(tensors)
    found = []
    for out in outs if isinstance(outs, list | tuple) else [outs]:
        first, second = out.numpy()
        if (np.where(first > 0, first + apart, 0) != second).any():
            raise Refusal("it mixes the images of a batch; keep the batch axis first and apart")
        found.append(first.astype(np.int64))
    return found


def _moved(
    term: Term, i: int, parts: list[Expression], run: Run, shapes: list[Shape], shallow: bool
) -> list[list[Term]]:
    """For each output, the term as it arrives there, or nothing."""
    if shallow and (term.gain is None or all(n == 1 for n in term.gain.shape[1:])):
        assert term.layout.axes is not None
        columns = _indices(run, i, parts, (term.layout.axes[0] + 1)[:, None, None], lambda s: (s[0], 1, 1))
        layouts = [term.layout.with_channels(c[:, 0, 0] - 1) for c in columns]
        gains = _gains(term, i, parts, run, lambda s: (s[0], 1, 1), len(shapes))
    else:
        index = term.layout.flat().reshape(parts[i].shape) + 1
        layouts = [Layout.of(term.layout.natural, a - 1) for a in _indices(run, i, parts, index, lambda s: s)]
        gains = _gains(term, i, parts, run, lambda s: s, len(shapes))
    return [
        [replace(term, layout=layout, gain=gain)] if layout.share > 0 else []
        for layout, gain in zip(layouts, gains, strict=True)
    ]


def _gains(
    term: Term, i: int, parts: list[Expression], run: Run, shape: Callable[[Shape], Shape], count: int
) -> list[np.ndarray | None]:
    if term.gain is None:
        return [None] * count
    full = np.broadcast_to(term.gain, shape(parts[i].shape))
    return [compact(a) for a in _outputs(run, _alone(i, parts, full, shape))]


def _biases(parts: list[Expression], run: Run, shapes: list[Shape]) -> list[np.ndarray]:
    if not any(p.bias.any() for p in parts):
        return [no_bias(s) for s in shapes]
    return [compact(a) for a in _outputs(run, [_images(p.full_bias()) for p in parts])]
