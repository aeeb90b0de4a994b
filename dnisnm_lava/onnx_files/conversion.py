"""From an ONNX file to a torch module."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.onnx_files.binding import bind_constants, nest
from dnisnm_lava.onnx_files.folding import OPSET, fold, to_known_opset
from dnisnm_lava.onnx_files.reading import image, read

BATCH = 7919  # stands for a free batch axis while shapes are computed: a prime that no other axis has


def load(path: Path, input_shape: Sequence[int]) -> torch.nn.Module:
    """The graph as a torch.fx.GraphModule that torch.export can trace, for a batch of any size."""
    model = read(path)
    axes = image(model, str(path)).type.tensor_type.shape.dim
    for axis, size in zip(axes, (BATCH, *input_shape), strict=False):
        if axis.dim_value <= 0:
            axis.dim_value = size
    fixed = all(axis.dim_value > 0 for axis in axes)
    advice = f"export it anew, with opset {OPSET} or lower" if fixed else "its image has no fixed shape: give it (--input-shape)"
    try:
        fold(model)
        to_known_opset(model)
        for node in model.graph.node:
            node.name = layer_name(node)
        module = importlib.import_module("onnx2torch").convert(model)
        bind_constants(module, axes[0].dim_value if axes else BATCH)
        nest(module)
    except NotImplementedError as error:
        raise UnsupportedModel(f"{path}: onnx2torch cannot make a torch module of it ({error}); {advice}") from error
    except Exception as error:  # onnx, onnx2torch and torch.fx each have their own
        raise UnsupportedModel(f"{path}: no torch module can be made of it ({_first_line(error)}); {advice}") from error
    assert isinstance(module, torch.nn.Module)
    return module


def layer_name(node: Any) -> str:
    """torch calls a layer's operation /layer1/layer1.0/conv1/Conv: that is layer1.0.conv1."""
    *path, operation = node.name.strip("/").split("/")
    names = [name for name, inner in zip(path, [*path[1:], ""], strict=False) if not inner.startswith(f"{name}.")]
    return ".".join(names if names and operation == node.op_type and operation in ("Conv", "Gemm", "MatMul") else [*names, operation])


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
