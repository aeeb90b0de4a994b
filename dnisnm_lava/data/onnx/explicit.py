"""What onnx's evaluator gets wrong in a node's own form, in the form in which it is right.

The evaluator of onnx 1.23 fails on transposed convolutions with `output_shape` beside `pads`, or with groups
that make fewer channels than they read, on pads that crop and on scales as attributes; it takes
BatchNormalization before opset 14 for one that trains and Softmax before opset 13 for one over a single axis,
and loses a row of pools with SAME_LOWER; older ones misread auto_pad of convolutions. The operations' texts
say what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dnisnm_lava.data.onnx.node import Node
from dnisnm_lava.data.onnx.reference import evaluated
from dnisnm_lava.data.onnx.windows import Window, automatic, transposed_borders

BEFORE_SIZES = {
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}  # what Upsample and Resize 10 mean


def in_other_words(proto: Any, inputs: Mapping[str, np.ndarray], version: int) -> list[np.ndarray] | None:
    """What the node gives, or None where it has no other form here."""
    from onnx import helper

    rewrite = FORMS.get(proto.op_type)
    if rewrite is None:
        return None
    given = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    values = {i: inputs[name] for i, name in enumerate(proto.input) if name}
    shapes = tuple(values[i].shape if i in values else () for i in range(len(proto.input)))
    node = Node(
        proto.name,
        proto.op_type,
        given,
        tuple(proto.input),
        tuple(proto.output),
        values,
        shapes,
        (),
        1,
        version,
    )
    found = rewrite(node)
    return None if found is None else [np.asarray(found)]


def _without(node: Node, *names: str) -> dict[str, Any]:
    return {key: value for key, value in node.attributes.items() if key not in names}


def _flat(borders: list[tuple[int, int]]) -> list[int]:
    return [before for before, _ in borders] + [after for _, after in borders]


def _conv_transpose(node: Node) -> np.ndarray:
    """Borders written out, and one group after the other."""
    x, weight, bias = node.constants[0], node.constants[1], node.constants.get(2)
    borders, _ = transposed_borders(node, Window(node, list(weight.shape[2:])))
    attributes = {**_without(node, "output_shape", "auto_pad", "group"), "pads": _flat(borders)}
    groups = node.attributes.get("group", 1)
    parts = [
        evaluated("ConvTranspose", [a, w], attributes, node.version)[0]
        for a, w in zip(np.split(x, groups, 1), np.split(weight, groups), strict=True)
    ]
    joined = np.concatenate(parts, 1)
    return joined if bias is None else joined + bias.reshape(1, -1, *(1,) * (joined.ndim - 2))


def _windowed(node: Node) -> np.ndarray | None:
    """Borders written out."""
    if automatic(node) == "NOTSET":
        return None
    kernel = node.attributes["kernel_shape"] if node.kind != "Conv" else node.shapes[1][2:]
    attributes = {**_without(node, "auto_pad"), "pads": _flat(Window(node, list(kernel)).borders(node))}
    return evaluated(
        node.kind, [node.constants.get(i) for i in range(len(node.inputs))], attributes, node.version
    )[0]


def _batch_norm(node: Node) -> np.ndarray | None:
    if node.version >= 14:
        return None
    epsilon = {key: value for key, value in node.attributes.items() if key == "epsilon"}
    return evaluated(node.kind, [node.constants[i] for i in range(5)], epsilon, 15)[0]


def _softmax(node: Node) -> np.ndarray | None:
    """Before opset 13: over all axes from `axis` on, as one."""
    if node.version >= 13:
        return None
    x = node.constants[0]
    axis = node.attributes.get("axis", 1) % x.ndim
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
    return evaluated(node.kind, [rows], {"axis": 1}, 13)[0].reshape(x.shape)


def _pad(node: Node) -> np.ndarray | None:
    """First what is put on, then what is cropped."""
    x, pads = node.constants[0], node.numbers("pads", 1) or []
    if (
        node.has(3)
        or not pads
        or min(pads) >= 0
        or _text(node.attributes.get("mode", "constant")) != "constant"
    ):
        return None
    value = np.array((node.numbers("value", 2) or [0.0])[0], x.dtype)
    wide = evaluated("Pad", [x, np.maximum(pads, 0), value], {}, 13)[0]
    ends = [n + min(after, 0) for n, after in zip(wide.shape, pads[x.ndim :], strict=True)]
    return wide[tuple(slice(-min(before, 0), end) for before, end in zip(pads, ends, strict=False))]


def resized_before_sizes(node: Node, x: np.ndarray) -> np.ndarray | None:
    """Upsample, and Resize of opset 10: scales of each axis alone, as today's Resize says it."""
    if node.kind == "Resize" and node.version >= 11:
        return None
    scales = np.array(node.numbers("scales", 1), np.float32)
    mode = "nearest" if _text(node.attributes.get("mode", "nearest")) == "nearest" else "linear"
    return evaluated("Resize", [x, None, scales], {**BEFORE_SIZES, "mode": mode}, 13)[0]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


FORMS: dict[str, Callable[[Node], np.ndarray | None]] = {
    "ConvTranspose": _conv_transpose,
    "Conv": _windowed,
    "MaxPool": _windowed,
    "AveragePool": _windowed,
    "BatchNormalization": _batch_norm,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Pad": _pad,
    "Upsample": lambda node: resized_before_sizes(node, node.constants[0]),
    "Resize": lambda node: resized_before_sizes(node, node.constants[0]),
}
