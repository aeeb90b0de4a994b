"""Convolutions and pools: ONNX's borders, written out, on torch's layers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from dnisnm_lava.data.onnx.node import Node, Operator, Refusal, filled

Borders = list[tuple[int, int]]
CONVOLUTIONS: dict[tuple[str, int], Any] = {
    ("Conv", 1): torch.nn.Conv1d,
    ("Conv", 2): torch.nn.Conv2d,
    ("Conv", 3): torch.nn.Conv3d,
    ("ConvTranspose", 1): torch.nn.ConvTranspose1d,
    ("ConvTranspose", 2): torch.nn.ConvTranspose2d,
    ("ConvTranspose", 3): torch.nn.ConvTranspose3d,
    ("MaxPool", 1): torch.nn.MaxPool1d,
    ("MaxPool", 2): torch.nn.MaxPool2d,
    ("MaxPool", 3): torch.nn.MaxPool3d,
    ("AveragePool", 1): torch.nn.AvgPool1d,
    ("AveragePool", 2): torch.nn.AvgPool2d,
    ("AveragePool", 3): torch.nn.AvgPool3d,
    ("GlobalAveragePool", 1): torch.nn.AdaptiveAvgPool1d,
    ("GlobalAveragePool", 2): torch.nn.AdaptiveAvgPool2d,
    ("GlobalAveragePool", 3): torch.nn.AdaptiveAvgPool3d,
}


class Window:
    """Kernel, strides, dilations of a node along each axis of its maps."""

    def __init__(self, node: Node, kernel: list[int]) -> None:
        given, rank = node.attributes, len(kernel)
        self.kernel, self.strides = kernel, list(given.get("strides", [1] * rank))
        self.dilations = list(given.get("dilations", [1] * rank))
        self.reach = [d * (k - 1) + 1 for k, d in zip(kernel, self.dilations, strict=True)]

    def borders(self, node: Node) -> Borders:
        """The borders of a convolution or a pool, `auto_pad` resolved: SAME makes ceil(size / stride)
        outputs."""
        auto, rank = automatic(node), len(self.kernel)
        if auto == "VALID":
            return [(0, 0)] * rank
        if auto == "NOTSET":
            pads = node.attributes.get("pads", [0] * 2 * rank)
            return list(zip(pads[:rank], pads[rank:], strict=True))
        sizes = node.shape()[2:]
        totals = [
            max((-(-n // s) - 1) * s + r - n, 0)
            for n, s, r in zip(sizes, self.strides, self.reach, strict=True)
        ]
        return [_shared(total, auto == "SAME_UPPER") for total in totals]


def automatic(node: Node) -> str:
    given = node.attributes.get("auto_pad", b"NOTSET")
    return given.decode() if isinstance(given, bytes) else str(given)


def _shared(total: int, more_at_the_end: bool) -> tuple[int, int]:
    return (total // 2, total - total // 2) if more_at_the_end else (total - total // 2, total // 2)


def _layer(node: Node, rank: int) -> Any:
    if (node.kind, rank) not in CONVOLUTIONS:
        raise Refusal(f"it has {rank} axes of pixels; 1, 2 or 3 are understood")
    return CONVOLUTIONS[node.kind, rank]


def _padded(borders: Borders, value: float, layer: torch.nn.Module) -> torch.nn.Module:
    flat = [n for pair in reversed(borders) for n in pair]
    return torch.nn.Sequential(Operator(partial(F.pad, pad=flat, value=value)), layer)


def conv(node: Node) -> torch.nn.Module:
    weight, bias = node.constant(1, "weight"), node.constant(2, "bias") if node.has(2) else None
    window = Window(node, list(weight.shape[2:]))
    borders, groups = window.borders(node), node.attributes.get("group", 1)
    even = all(a == b and a >= 0 for a, b in borders)
    layer = _layer(node, len(window.kernel))(
        weight.shape[1] * groups,
        weight.shape[0],
        window.kernel,
        window.strides,
        [a for a, _ in borders] if even else 0,
        window.dilations,
        groups,
        bias is not None,
    )
    filled(layer, weight=weight, bias=bias)
    return layer if even else _padded(borders, 0.0, layer)


def conv_transpose(node: Node) -> torch.nn.Module:
    """Borders that differ are cropped where the output ends: torch's own crop as much at each end."""
    weight, bias = node.constant(1, "weight"), node.constant(2, "bias") if node.has(2) else None
    window, groups = Window(node, list(weight.shape[2:])), node.attributes.get("group", 1)
    borders, extra = transposed_borders(node, window)
    if any(n < 0 for pair in borders for n in pair):
        raise Refusal(
            f"its output_shape is larger than its windows reach: borders {borders}; export it with "
            f"output_padding"
        )
    kept = [
        (b, e + b - a) if 0 <= e + b - a < max(s, d) else (0, e)
        for (b, a), e, s, d in zip(borders, extra, window.strides, window.dilations, strict=True)
    ]
    layer = _layer(node, len(window.kernel))(
        weight.shape[0],
        weight.shape[1] * groups,
        window.kernel,
        window.strides,
        [p for p, _ in kept],
        [e for _, e in kept],
        groups,
        bias is not None,
        window.dilations,
    )
    filled(layer, weight=weight, bias=bias)
    crop = [
        (0, 0) if (p, e) != (0, own) else (b, a)
        for (p, e), own, (b, a) in zip(kept, extra, borders, strict=True)
    ]
    return (
        layer
        if not any(b or a for b, a in crop)
        else torch.nn.Sequential(layer, Operator(partial(_cropped, crop=crop)))
    )


def transposed_borders(node: Node, window: Window) -> tuple[Borders, list[int]]:
    """(borders, output_padding) of a transposed convolution. `output_shape` and SAME say the size, the
    borders follow."""
    rank = len(window.kernel)
    extra = list(node.attributes.get("output_padding", [0] * rank))
    wanted, auto = node.attributes.get("output_shape"), automatic(node)
    if wanted is None and auto in ("NOTSET", "VALID"):
        return window.borders(node), extra
    sizes = node.shape()[2:]
    wanted = (
        [n * s for n, s in zip(sizes, window.strides, strict=True)]
        if wanted is None
        else list(wanted)[-rank:]
    )
    full = [
        s * (n - 1) + e + r for s, n, e, r in zip(window.strides, sizes, extra, window.reach, strict=True)
    ]
    return [_shared(f - w, auto == "SAME_UPPER") for f, w in zip(full, wanted, strict=True)], extra


def _cropped(x: torch.Tensor, crop: Borders) -> torch.Tensor:
    for axis, (before, after) in enumerate(crop, 2):
        x = x.narrow(axis, before, x.shape[axis] - before - after)
    return x


def max_pool(node: Node) -> torch.nn.Module:
    _one_output(node)
    window = Window(node, list(node.attributes["kernel_shape"]))
    borders, rank = window.borders(node), len(window.kernel)
    even = all(a == b and 0 <= a <= k // 2 for (a, b), k in zip(borders, window.kernel, strict=True))
    padding = [a for a, _ in borders] if even else 0
    layer = _layer(node, rank)(
        window.kernel, window.strides, padding, window.dilations, ceil_mode=_ceil(node)
    )
    if even:
        return layer
    if _ceil(node):
        raise Refusal("it has ceil_mode and borders that differ; export it with the borders written out")
    return _padded(borders, float("-inf"), layer)


def average_pool(node: Node) -> torch.nn.Module:
    """Where torch's layer cannot say it, the sum over each window times one by how many pixels ONNX counts
    there."""
    window = Window(node, list(node.attributes["kernel_shape"]))
    borders, rank = window.borders(node), len(window.kernel)
    counted = bool(node.attributes.get("count_include_pad", 0))
    even = all(a == b and 0 <= a <= k // 2 for (a, b), k in zip(borders, window.kernel, strict=True))
    if even and set(window.dilations) == {1}:
        return _layer(node, rank)(
            window.kernel, window.strides, [a for a, _ in borders], _ceil(node), counted
        )
    return _counted_average(node, window, borders, counted)


def _counted_average(node: Node, window: Window, borders: Borders, counted: bool) -> torch.nn.Module:
    """As a product of sums along each axis: a matrix of ones, and the count is one number a window."""
    channels, sizes = node.shape()[1], node.shape()[2:]
    outputs = [
        _outputs(n, b, s, r, _ceil(node))
        for n, b, s, r in zip(sizes, borders, window.strides, window.reach, strict=True)
    ]
    needed = [(o - 1) * s + r for o, s, r in zip(outputs, window.strides, window.reach, strict=True)]
    reached = [(b, n - size - b) for (b, _), n, size in zip(borders, needed, sizes, strict=True)]
    pairs = zip(window.strides, window.kernel, window.dilations, strict=True)
    counts = [
        _counts(n, b, o, *w, counted) for n, b, o, w in zip(sizes, borders, outputs, pairs, strict=True)
    ]
    layer = CONVOLUTIONS["Conv", len(sizes)](
        channels, channels, window.kernel, window.strides, 0, window.dilations, channels, bias=False
    )
    filled(layer, weight=np.ones(layer.weight.shape, np.float32))
    total = counts[0]
    for axis in counts[1:]:
        total = np.multiply.outer(total, axis)
    return torch.nn.Sequential(
        _padded(reached, 0.0, layer), Operator(torch.div, {1: total[None, None].astype(np.float32)})
    )


def _outputs(size: int, border: tuple[int, int], stride: int, reach: int, ceil: bool) -> int:
    left = size + sum(border) - reach
    count = (-(-left // stride) if ceil else left // stride) + 1
    return (
        count - 1 if ceil and (count - 1) * stride >= size + border[0] else count
    )  # no window begins in the far border


def _counts(
    size: int, border: tuple[int, int], outputs: int, stride: int, kernel: int, dilation: int, counted: bool
) -> np.ndarray:
    """Pixels that count in each window of one axis: those of the map, and with `counted` those of the
    border."""
    places = np.arange(outputs)[:, None] * stride + np.arange(kernel)[None] * dilation - border[0]
    low, high = (-border[0], size + border[1]) if counted else (0, size)
    return ((places >= low) & (places < high)).sum(1)


def _ceil(node: Node) -> bool:
    return bool(node.attributes.get("ceil_mode", 0))


def _one_output(node: Node) -> None:
    if len([name for name in node.outputs if name]) > 1:
        raise Refusal("it gives the places of its maxima too; leave its second output out")


def global_average(node: Node) -> torch.nn.Module:
    return _layer(node, node.rank)(1)
