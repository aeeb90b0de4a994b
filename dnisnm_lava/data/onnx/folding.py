"""What depends on no image, computed once: padding sizes, shapes computed from shapes, shared weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dnisnm_lava.data.onnx.reference import evaluated_node

LARGE = 1024  # values above which an initializer is weights, not a shape


def fold(model: Any) -> tuple[list[Any], dict[str, np.ndarray], dict[str, list[int]]]:
    """(the nodes that depend on the image, constants by name, shapes by name). The model is left with the
    shapes alone of its weights."""
    from onnx import numpy_helper
    from onnx.shape_inference import infer_shapes

    graph = model.graph
    known = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    del graph.initializer[:]
    graph.initializer.extend(_light(name, value) for name, value in known.items())
    folded = True
    while folded:
        shapes = _shapes(infer_shapes(model, data_prop=True).graph)
        partial = {n.output[0]: _shape(n, shapes) for n in graph.node if n.op_type == "Shape"}
        nodes, folded = [], take_branches(graph, known)
        for node in graph.node:
            values = _folded(node, known, partial, model.opset_import)
            if values is None:
                nodes.append(node)
                continue
            folded = True
            made = dict(zip(filter(None, node.output), values, strict=False))
            known.update(made)
            graph.initializer.extend(_light(name, value) for name, value in made.items())
        kept = [_copy(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return list(graph.node), known, shapes


def take_branches(graph: Any, known: dict[str, np.ndarray]) -> bool:
    """Each If whose condition is known becomes, in place, the nodes of the branch that it takes, whose
    weights are known then; is there one? Names within are unlike all others of the file, as ONNX demands."""
    from onnx import helper, numpy_helper

    nodes, taken = [], False
    for node in graph.node:
        branch = _branch(node, known)
        if branch is None:
            nodes.append(_copy(node))
            continue
        taken = True
        graph.initializer.extend(branch.initializer)
        known.update({i.name: numpy_helper.to_array(i) for i in branch.initializer})
        given = [(inner.name, outer) for inner, outer in zip(branch.output, node.output, strict=True)]
        nodes += [
            *map(_copy, branch.node),
            *(helper.make_node("Identity", [a], [b], name=f"{node.name}_{b}") for a, b in given),
        ]
    if taken:
        del graph.node[:]
        graph.node.extend(nodes)
    return taken


def _branch(node: Any, known: Mapping[str, np.ndarray]) -> Any | None:
    if node.op_type != "If" or node.domain not in ("", "ai.onnx") or node.input[0] not in known:
        return None
    taken = "then_branch" if known[node.input[0]].all() else "else_branch"
    return next(a.g for a in node.attribute if a.name == taken)


def _copy(node: Any) -> Any:
    made = type(node)()
    made.CopyFrom(node)
    return made


def _light(name: str, value: np.ndarray) -> Any:
    """The initializer; of weights the shape alone, which suffices, for serializing them takes long."""
    from onnx import TensorProto, helper, numpy_helper

    if value.size <= LARGE:
        return numpy_helper.from_array(value, name)
    return TensorProto(name=name, dims=value.shape, data_type=helper.np_dtype_to_tensor_dtype(value.dtype))


def _shapes(graph: Any) -> dict[str, list[int]]:
    """Axes of every tensor whose rank is known; an unknown axis is 0."""
    values = [*graph.input, *graph.value_info, *graph.output]
    return {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in values
        if v.type.tensor_type.HasField("shape")
    }


def _shape(node: Any, shapes: Mapping[str, list[int]]) -> list[int]:
    """What the Shape node `node` gives, as far as it is known."""
    from onnx import helper

    limits = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return shapes.get(node.input[0], [])[limits.get("start", 0) : limits.get("end")]


def _folded(
    node: Any, known: Mapping[str, np.ndarray], partial: Mapping[str, list[int]], opsets: Any
) -> list[np.ndarray] | None:
    """What `node` gives where that does not depend on the image, else None."""
    if node.op_type == "Shape" and node.input[0] not in known:
        axes = partial[node.output[0]]
        return [np.array(axes, np.int64)] if axes and all(axes) else None
    if node.op_type == "Gather" and node.input[0] in partial and node.input[1] in known:
        axes = partial[node.input[0]]
        picked = np.array(axes, np.int64)[known[node.input[1]]] if axes else np.zeros(1)
        return [np.asarray(picked)] if picked.all() else None
    random = not node.input and node.op_type != "Constant"
    inside = any(a.HasField("g") or a.graphs for a in node.attribute)
    foreign = node.domain not in ("", "ai.onnx")
    if random or inside or foreign or not all(name in known for name in node.input if name):
        return None
    return evaluated_node(node, {name: known[name] for name in node.input if name}, opsets)
