"""One operation of an ONNX graph, as translators and messages see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Shape = tuple[int, ...]


class Refusal(Exception):
    """Why a node has no torch module, and what to do: `reason; remedy`."""


@dataclass(frozen=True)
class Node:
    """inputs: names, "" where one is left out. constants: by input, those that depend on no image. shapes: of
    the inputs, and output_shape: of the first output, each with the batch, () where unknown. batch: the
    file's own, 1 where it is free. version: of the opset."""

    name: str
    kind: str
    attributes: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[int, np.ndarray]
    shapes: tuple[Shape, ...]
    output_shape: Shape
    batch: int
    version: int

    def has(self, i: int) -> bool:
        return i < len(self.inputs) and self.inputs[i] != ""

    def constant(self, i: int, what: str) -> np.ndarray:
        if i not in self.constants:
            raise Refusal(f"its {what} depends on the image; make it a constant")
        return self.constants[i]

    def numbers(self, attribute: str, i: int, what: str = "") -> list[Any] | None:
        """What older opsets have as an attribute and newer ones as input i; None where neither is given."""
        if self.has(i):
            return [*np.atleast_1d(self.constant(i, what or attribute)).tolist()]
        given = self.attributes.get(attribute)
        return None if given is None else [*given] if isinstance(given, list | tuple) else [given]

    def shape(self, i: int = 0) -> Shape:
        """The shape of input i, all of it known."""
        if not self.shapes[i] or not all(self.shapes[i]):
            raise Refusal("the shape of its input is not known; give the shape of an image (--input-shape)")
        return self.shapes[i]

    def of_one_image(self, i: int) -> np.ndarray:
        """Constant i for one image, where the file holds it for each image of its own batch."""
        values, rank = self.constants[i], max((len(s) for s in self.shapes), default=0)
        if not (values.ndim == rank > 0 and 1 < values.shape[0] == self.batch):
            return values
        if (values != values[:1]).any():
            raise Refusal(
                "its constant differs from image to image of the batch; export it with a batch of 1"
            )
        return values[:1]

    @property
    def rank(self) -> int:
        """Axes beyond batch and channels of the first input."""
        return len(self.shapes[0]) - 2


class Operator(torch.nn.Module):
    """`function` of tensors, some of which are constants: {position: values}."""

    def __init__(
        self, function: Callable[..., Any], constants: Mapping[int, np.ndarray] | None = None
    ) -> None:
        super().__init__()
        self.function = function
        self.places = sorted(constants or {})
        for i in self.places:
            assert constants is not None
            self.register_buffer(f"constant{i}", tensor(constants[i]))

    def forward(self, *tensors: torch.Tensor) -> Any:
        arguments = list(tensors)
        for i in self.places:
            arguments.insert(i, getattr(self, f"constant{i}"))
        return self.function(*arguments)


def tensor(values: np.ndarray) -> torch.Tensor:
    """Floats of any width as float32."""
    narrow = values.astype(np.float32) if np.issubdtype(values.dtype, np.floating) else values
    return torch.from_numpy(np.array(narrow))  # a copy: constants of a file may be read-only


def filled(layer: torch.nn.Module, **values: np.ndarray | None) -> torch.nn.Module:
    """`layer` with these weights and buffers."""
    with torch.no_grad():
        for name, value in values.items():
            if value is not None:
                getattr(layer, name).data = tensor(value).contiguous()
    return layer
