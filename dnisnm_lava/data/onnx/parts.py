"""Operations that onnx's evaluator computes slowly, on some of their channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

CHANNELS = 4
BY_CHANNEL = ("MaxPool", "AveragePool")  # loops over windows in Python
LOOPED = 100_000  # values that such a loop gives in about 0.2 s
PRODUCTS = 300_000_000  # of a convolution: about 0.3 s


@dataclass(frozen=True)
class Part:
    node: Any
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def part_of(node: Any, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> Part | None:
    """The node on CHANNELS of its output's channels, evenly spread; None where it costs little, or does not
    fall into channels."""
    output = outputs.get(node.output[0])
    if output is None or output.ndim < 3 or output.shape[1] <= CHANNELS or len(outputs) > 1:
        return None
    chosen = np.linspace(0, output.shape[1] - 1, CHANNELS).astype(int)
    names = [name for name in node.input if name]
    values = [inputs[name] for name in names]
    if node.op_type in BY_CHANNEL and output.size > LOOPED:
        values[0] = values[0][:, chosen]
    elif (
        node.op_type in ("Conv", "ConvTranspose") and _groups(node) == 1 and _is_costly(node, values, output)
    ):
        axis = 0 if node.op_type == "Conv" else 1
        values[1:] = [np.take(values[1], chosen, axis), *(v[chosen] for v in values[2:])]
    else:
        return None
    return Part(node, dict(zip(names, values, strict=True)), {node.output[0]: output[:, chosen]})


def _groups(node: Any) -> int:
    return next((a.i for a in node.attribute if a.name == "group"), 1)


def _is_costly(node: Any, values: list[np.ndarray], output: np.ndarray) -> bool:
    if node.op_type == "ConvTranspose":
        return output.size > LOOPED // 10
    return output.size * values[1][0].size > PRODUCTS
