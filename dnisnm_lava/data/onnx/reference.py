"""One operation by onnx's own reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# onnx's evaluator knows no older form of these, which says the same of what both have
LATER = {"QuantizeLinear": 19, "DequantizeLinear": 19}


def evaluated(
    kind: str, inputs: Sequence[np.ndarray | None], attributes: Mapping[str, Any], version: int
) -> list[np.ndarray]:
    """The outputs of the operation `kind` of opset `version`; None stands for an input that is left out."""
    from onnx import helper

    names = ["" if value is None else f"i{i}" for i, value in enumerate(inputs)]
    node = helper.make_node(kind, names, ["o"], **attributes)
    given = {name: value for name, value in zip(names, inputs, strict=True) if value is not None}
    return evaluated_node(node, given, [helper.make_opsetid("", version)])


def evaluated_node(node: Any, given: Mapping[str, np.ndarray], opsets: Any) -> list[np.ndarray]:
    """The outputs of a NodeProto on inputs by name. Raises what the evaluator raises."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    untyped = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names if n]
        for names in (given, node.output)
    ]
    if node.op_type in LATER:
        version = max(LATER[node.op_type], *(o.version for o in opsets if o.domain in ("", "ai.onnx")))
        opsets = [helper.make_opsetid("", version)]
    alone = helper.make_model(helper.make_graph([node], "alone", *untyped), opset_imports=opsets)
    return [np.asarray(value) for value in ReferenceEvaluator(alone).run(None, dict(given))]
