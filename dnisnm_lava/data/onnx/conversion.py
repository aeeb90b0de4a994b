"""From an ONNX file to a torch module, each operation of it held against onnx's own evaluation."""

from __future__ import annotations

import copy
import operator
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnisnm_lava.data.onnx.evaluation import Evaluation, evaluate
from dnisnm_lava.data.onnx.folding import fold, take_branches
from dnisnm_lava.data.onnx.node import Node, Refusal
from dnisnm_lava.data.onnx.operators import OPERATORS
from dnisnm_lava.data.onnx.reading import first_line, image, read
from dnisnm_lava.data.onnx.refusals import Refused, reason, sentence
from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.system.progress import Progress

# stands for a free batch while shapes are computed: where it comes first, a tensor's own batch is taken
FREE = 1
WEIGHED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def load(path: Path, input_shape: Sequence[int], progress: Progress | None = None) -> torch.nn.Module:
    """The graph as a torch.fx.GraphModule that torch.export can trace, for a batch of any size;
    `meta["onnx"]` is the Evaluation, or absent where the shape of an image is not known.

    UnsupportedModel names every node that has no torch module, or the first that gives other numbers than
    onnx's own evaluator; a UserWarning tells what that evaluator could not compute.
    """
    model = read(path)
    fixed = _fix_axes(image(model, str(path)), input_shape)
    whole = copy.deepcopy(model)
    try:
        nodes, constants, shapes = fold(model)
        while take_branches(whole.graph, dict(constants)):
            pass
    except Exception as error:  # onnx's evaluator has many
        raise UnsupportedModel(
            f"{path}: its constants cannot be computed ({first_line(error)}); export it anew, simplified"
        ) from error
    try:
        module, tensors = _module(path, model, nodes, constants, shapes)
    except UnsupportedModel as error:
        raise (
            error
            if fixed
            else UnsupportedModel(f"{path}: its image has no fixed shape: give it (--input-shape)")
        ) from error
    if not fixed:
        warnings.warn(
            f"{path}: held against nothing of onnx's, since its image has no fixed shape; give it",
            stacklevel=3,
        )
        return module
    module.meta["onnx"] = held = evaluate(path, whole, module, tensors, progress)
    for exception in held.exceptions():
        warnings.warn(f"{path}: {exception}", stacklevel=3)
    return module


def evaluation_of(module: torch.nn.Module) -> Evaluation | None:
    """What was held against onnx's own evaluation, of a module that `load` made."""
    return getattr(module, "meta", {}).get("onnx")


def _fix_axes(source: Any, input_shape: Sequence[int]) -> bool:
    """Free axes get the sizes of `input_shape`, the batch FREE. Whether all are known then."""
    axes = source.type.tensor_type.shape.dim
    if not axes and input_shape:
        for _ in (FREE, *input_shape):
            axes.add()
    for axis, size in zip(axes, (FREE, *input_shape), strict=False):
        if axis.dim_value <= 0:
            axis.dim_value = size
    return bool(axes) and all(axis.dim_value > 0 for axis in axes)


def _module(
    path: Path,
    model: Any,
    nodes: list[Any],
    constants: Mapping[str, np.ndarray],
    shapes: Mapping[str, list[int]],
) -> tuple[torch.fx.GraphModule, dict[str, torch.fx.Node]]:
    """The module, and which of its nodes gives which of the file's tensors."""
    graph, layers = torch.fx.Graph(), dict[str, torch.nn.Module]()
    source = image(model, str(path)).name
    batch = (shapes.get(source) or [FREE])[0] or FREE
    made = {source: graph.placeholder("image")}
    refused: list[Refused] = []
    for proto in _needed(nodes, [o.name for o in model.graph.output]):
        node = _node(proto, constants, shapes, batch, _version(model))
        try:
            layer = _layer(node, proto.domain)
        except Refusal as why:
            refused.append(Refused(node.name, node.kind, tuple(node.outputs), str(why)))
            layer = None
        inputs = [
            made[name] for i, name in enumerate(node.inputs) if i not in node.constants and name in made
        ]
        _add(graph, layers, made, node, layer, inputs)
    if refused:
        raise UnsupportedModel(sentence(path, model, source, refused))
    outputs = {o.name: made[o.name] for o in model.graph.output if o.name in made}
    graph.output(next(iter(outputs.values())) if len(outputs) == 1 else outputs)  # several by their names
    return torch.fx.GraphModule(layers, graph, path.name), made


def _layer(node: Node, domain: str) -> torch.nn.Module | None:
    translate = OPERATORS.get(node.kind) if domain in ("", "ai.onnx") else None
    if translate is None:
        raise Refusal(reason(node.kind, domain))
    try:
        return translate(node)
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(
            f"no torch module can be made of it ({first_line(error)}); export it anew, or leave it out"
        ) from error


def _add(
    graph: torch.fx.Graph,
    layers: dict[str, torch.nn.Module],
    made: dict[str, torch.fx.Node],
    node: Node,
    layer: torch.nn.Module | None,
    inputs: list[torch.fx.Node],
) -> None:
    if layer is None:
        made.update((name, inputs[0]) for name in node.outputs[:1] if inputs)
        return
    name = _free_name(_layer_name(node), layers)
    layers[name] = layer
    result = graph.call_module(name, tuple(inputs))
    if len(node.outputs) == 1:
        made[node.outputs[0]] = result
        return
    for i, output in enumerate(node.outputs):
        made[output] = graph.call_function(operator.getitem, (result, i))


def _needed(nodes: list[Any], outputs: Sequence[str]) -> list[Any]:
    """Those that the outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def _version(model: Any) -> int:
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)


def _node(
    proto: Any, constants: Mapping[str, np.ndarray], shapes: Mapping[str, list[int]], batch: int, version: int
) -> Node:
    from onnx import helper

    return Node(
        proto.name,
        proto.op_type,
        {a.name: helper.get_attribute_value(a) for a in proto.attribute},
        tuple(proto.input),
        tuple(proto.output),
        {i: constants[name] for i, name in enumerate(proto.input) if name in constants},
        tuple(tuple(constants[n].shape) if n in constants else tuple(shapes.get(n, ())) for n in proto.input),
        tuple(shapes.get(proto.output[0], ())) if proto.output else (),
        batch,
        version,
    )


def _layer_name(node: Node) -> str:
    """torch calls a layer's operation /layer1/layer1.0/conv1/Conv: that is layer1.0.conv1."""
    *path, operation = re.sub(r"[^\w./]", "_", node.name).strip("/").split("/")
    names = [
        name for name, inner in zip(path, [*path[1:], ""], strict=False) if not inner.startswith(f"{name}.")
    ]
    layer = (
        names
        if names and operation == node.kind and operation in WEIGHED
        else [*names, operation or node.kind]
    )
    return ".".join(layer).strip(".") or node.kind


def _free_name(name: str, layers: Mapping[str, Any]) -> str:
    """`name`, numbered where it is another layer's, or that layer lies within it."""
    taken = {
        prefix
        for layer in layers
        for prefix in (layer, *(layer[:i] for i, c in enumerate(layer) if c == "."))
    }
    inside = any(name.startswith(f"{layer}.") for layer in layers)
    if name not in taken and not inside:
        return name
    return next(
        f"{name.replace('.', '_') if inside else name}_{i}"
        for i in range(1, len(layers) + 2)
        if f"{name}_{i}" not in taken
    )
