"""Modules of onnx2torch with numbers in place of tensors of sizes, which torch.export can trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F


class _Plain(torch.nn.Module):
    """`function` of the image and of numbers."""

    def __init__(self, function: Callable[..., Any], *numbers: Any) -> None:
        super().__init__()
        self.function, self.numbers = function, numbers

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.numbers)


def bind_constants(module: Any, batch: int) -> None:
    """Sizes that onnx2torch passes as tensors become numbers, which torch.export can trace; a matrix, a layer."""
    for node in module.graph.nodes:
        old = module.get_submodule(node.target) if node.op == "call_module" else None
        if type(old).__name__ == "OnnxResize":
            module.add_submodule(node.target, _resize(module, node, old))
            node.args, node.kwargs = node.args[:1], {}
        plain = _PLAIN.get(type(old).__name__)
        if plain is None:
            continue
        constants = [module.get_buffer(a.target) for a in node.args[1:] if a.op == "get_attr"]
        if type(old).__name__ == "OnnxMatMul" and (not constants or constants[0].ndim != 2):
            continue
        if node.kwargs or len(constants) < len(node.args) - 1:
            raise NotImplementedError(f"{node.target}: its sizes are computed from the image")
        module.add_submodule(node.target, plain(old, batch, *constants))
        node.args = node.args[:1]
    module.graph.eliminate_dead_code()


def _resize(module: Any, node: Any, old: Any) -> torch.nn.Module:
    """Upsampling by constant scales, or to a constant size."""
    given = {**dict(zip(("roi", "scales", "sizes"), node.args[1:], strict=False)), **node.kwargs}
    known: dict[str, tuple[Any, ...]] = {}
    for key in ("scales", "sizes"):
        source = given.get(key)
        if source is not None and source.op != "get_attr":
            raise NotImplementedError(f"{node.target}: its {key} are computed from the image")
        known[key] = () if source is None else tuple(module.get_buffer(source.target).tolist()[2:])
    mode = {("nearest", 1): "nearest", ("nearest", 2): "nearest", ("linear", 1): "linear", ("linear", 2): "bilinear",
            ("cubic", 2): "bicubic"}[old.onnx_mode, len(known["scales"] or known["sizes"])]  # fmt: skip
    return _Plain(F.interpolate, known["sizes"] or None, known["scales"] or None, mode, old.align_corners)


def nest(module: Any) -> None:
    """onnx2torch writes layer1/0/conv1 for layer1.0.conv1: a submodule of its own again."""
    for node in module.graph.nodes:
        name = str(node.target).replace("/", ".")
        if node.op == "call_module" and name not in dict(module.named_modules()):
            module.add_submodule(name, module.get_submodule(node.target))
            delattr(module, node.target)
            node.target = name
    module.recompile()


def _reshape(x: torch.Tensor, sizes: Sequence[int], batch: int) -> torch.Tensor:
    kept = [x.shape[i] if n == 0 or (i == 0 and n == batch) else n for i, n in enumerate(sizes)]
    return x.reshape(kept)


def _slice(
    x: torch.Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] = (), steps: Sequence[int] = ()
) -> torch.Tensor:
    parts = [slice(None)] * x.dim()
    axes, steps = axes or range(len(starts)), steps or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis] = slice(start, min(end, x.shape[axis]), step)
    return x[tuple(parts)]


def _split(x: torch.Tensor, axis: int, parts: int, sizes: Sequence[int] = ()) -> tuple[torch.Tensor, ...]:
    """Parts of `sizes`; without them, of equal size but for the last."""
    return torch.split(x, list(sizes) or -(-x.shape[axis] // parts), axis)


def _borders(pads: Sequence[int]) -> list[int]:
    """ONNX: where each axis begins, then where each ends. torch: both for each axis, the last axis first."""
    rank = len(pads) // 2
    borders = [pads[side * rank + axis] for axis in reversed(range(rank)) for side in range(2)]
    while len(borders) > 2 and borders[-2:] == [0, 0]:  # not all modes take the batch and the channels
        del borders[-2:]
    return borders


def _linear(matrix: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(matrix.shape[0], matrix.shape[1], bias=False)
    layer.weight.data = matrix.T.contiguous()
    return layer


_PLAIN: dict[str, Callable[..., torch.nn.Module]] = {
    "OnnxMatMul": lambda old, batch, matrix: _linear(matrix),
    "OnnxReshape": lambda old, batch, sizes: _Plain(_reshape, sizes.tolist(), batch),
    "OnnxSlice": lambda old, batch, *numbers: _Plain(_slice, *(n.tolist() for n in numbers)),
    "OnnxPadDynamic": lambda old, batch, pads, *value: _Plain(F.pad, _borders(pads.tolist()), old.mode, *(v.item() for v in value)),
    "OnnxSplit13": lambda old, batch, *sizes: _Plain(_split, old.axis, old.num_splits, *(n.tolist() for n in sizes)),
    "OnnxSqueezeDynamicAxes": lambda old, batch, *axes: _Plain(torch.squeeze, *(tuple(n.tolist()) for n in axes)),
}  # what torch.export cannot trace of onnx2torch, by the name of its class
