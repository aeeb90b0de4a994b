"""ONNX files: each operation in each form gives what onnx's own evaluator gives, or is refused with its node's name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dnisnm_lava.loading import load_model

pytest.importorskip("onnx", reason="onnx is not installed")

import onnx
import onnx.shape_inference
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from dnisnm_lava.onnx_files.conversion import evaluation_of

BATCH = "batch"


def made(
    path: Path, nodes: Sequence[Any], shape: Sequence[int | str], *, opset: int = 17, outputs: Sequence[str] = ("y",), **constants: Any
) -> str:
    """A file of `nodes` from "x" of `shape`, with its batch, to `outputs`; float constants become float32."""
    arrays = {k: np.asarray(v) for k, v in constants.items()}
    arrays = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in arrays.items()}
    graph = helper.make_graph(
        list(nodes), "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(v, k) for k, v in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), str(path))  # a graph's outputs need a shape
    return str(path)


def of_onnx(spec: str, x: np.ndarray) -> np.ndarray:
    """What onnx's reference evaluator makes of each image alone, in float64."""
    model = onnx.load(spec)
    return np.concatenate([ReferenceEvaluator(model).run(None, {"x": image[None]})[0] for image in x])


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One operation: its other inputs by name ("" for one that is left out), its attributes."""

    kind: str
    inputs: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (4, 9, 8)
    opset: int = 17
    outputs: int = 1

    def __str__(self) -> str:
        given = [f"{key} {value}" for key, value in self.attributes.items()]
        held = [f"{key} {np.round(np.asarray(v, float), 1).tolist()}" for key, v in self.inputs.items() if v is not None and np.size(v) < 9]
        return f"{self.kind} {self.opset}: {', '.join(held + given)}"

    def write(self, path: Path) -> str:
        outputs = ["y"] if self.outputs == 1 else [f"part{i}" for i in range(self.outputs)]
        names = ["x", *("" if v is None else k for k, v in self.inputs.items())]
        nodes = [helper.make_node(self.kind, names, outputs, name="it", **self.attributes)]
        if self.outputs > 1:
            nodes.append(helper.make_node("Concat", outputs[::-1], ["y"], axis=self.attributes.get("axis", 0), name="together"))
        held = {k: v for k, v in self.inputs.items() if v is not None}
        return made(path, nodes, (BATCH, *self.shape), opset=self.opset, **held)


W, V, T = random(6, 4, 3, 3), random(4, 1, 3, 3), random(4, 6, 3, 3)
INTS = np.int64
CASES = [
    Case("Conv", {"w": W}),
    Case("Conv", {"w": W, "b": random(6)}, {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    *(Case("Conv", {"w": W}, {"auto_pad": auto, "strides": [2, 3]}) for auto in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")),
    Case("Conv", {"w": V}, {"auto_pad": "SAME_UPPER", "group": 4, "dilations": [2, 1]}),
    Case("Conv", {"w": random(6, 4, 2, 4)}, {"auto_pad": "SAME_LOWER"}),
    Case("Conv", {"w": random(6, 4, 3)}, {"auto_pad": "SAME_UPPER", "strides": [2]}, (4, 10)),
    Case("Conv", {"w": W}, {"pads": [1, 1, 1, 1]}, opset=8),
    Case("ConvTranspose", {"w": T, "b": random(6)}, {"strides": [2, 2]}),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "pads": [1, 0, 0, 1]}),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    Case("ConvTranspose", {"w": T}, {"strides": [3, 2], "pads": [0, 1, 2, 0], "output_padding": [1, 0]}),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "dilations": [2, 1]}),
    *(Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "output_shape": s}) for s in ([18, 16], [19, 17], [17, 15])),
    *(Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "auto_pad": auto}) for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "auto_pad": "SAME_UPPER", "output_shape": [18, 16]}),
    Case("ConvTranspose", {"w": random(4, 3, 2, 2)}, {"strides": [2, 2], "group": 2}),
    *(Case("MaxPool", {}, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": a}) for a in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    Case("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    Case("MaxPool", {}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    Case("MaxPool", {}, {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    Case("MaxPool", {}, {"kernel_shape": [3], "strides": [2]}, (4, 9), 12),
    *(Case("AveragePool", {}, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": a}) for a in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    *(Case("AveragePool", {}, {"kernel_shape": [3, 3], "pads": p, "count_include_pad": c})
      for p in ([1, 1, 1, 1], [0, 1, 1, 0]) for c in (0, 1)),
    *(Case("AveragePool", {}, {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": c, "pads": p})
      for c in (0, 1) for p in ([0, 0, 0, 0], [1, 1, 1, 1])),
    Case("AveragePool", {}, {"kernel_shape": [2, 2], "dilations": [2, 2]}, opset=19),
    Case("AveragePool", {}, {"kernel_shape": [2, 2]}, opset=7),
    Case("GlobalAveragePool"), Case("GlobalMaxPool"), Case("GlobalAveragePool", shape=(4, 9)),
    *(Case("Gemm", {"w": random(5, 6), "b": b}, {"transB": 1, **a}, (6,)) for b in (random(5), random(1, 5), random(1))
      for a in ({}, {"alpha": 0.5, "beta": 2.0})),
    Case("Gemm", {"w": random(6, 5), "b": random(5)}, {"alpha": 0.3}, (6,), 8),
    Case("Gemm", {"w": random(6, 5)}, {}, (6,)),
    Case("MatMul", {"w": random(6, 5)}, {}, (6,)), Case("MatMul", {"w": random(8, 5)}),
    *(Case("BatchNormalization", {n: abs(random(4, seed=i)) for i, n in enumerate("abcd")}, {"epsilon": e}, opset=o)
      for e, o in ((1e-5, 7), (1e-3, 9), (0.1, 14), (1e-5, 15))),
    Case("BatchNormalization", {n: abs(random(4, seed=i)) for i, n in enumerate("abcd")}, {}, (4,)),
    *(Case("Clip", {}, a, opset=6 + 2) for a in ({}, {"min": 0.0}, {"max": 0.5}, {"min": 0.0, "max": 6.0}, {"min": -1.0, "max": 0.3})),
    *(Case("Clip", i) for i in ({"low": 0.0}, {"low": None, "high": 0.5}, {"low": 0.0, "high": 6.0}, {"low": -1.0, "high": 0.3})),
    Case("Relu"), Case("LeakyRelu", {}, {"alpha": 0.2}), Case("PRelu", {"a": random(4, 1, 1)}), Case("PRelu", {"a": random(1)}),
    Case("Elu"), Case("HardSigmoid"), Case("HardSigmoid", {}, {"alpha": 1 / 6}), Case("Sigmoid"), Case("Tanh"), Case("Softplus"),
    Case("Neg"), Case("Abs"),
    *(Case(kind, {"c": random(4, 1, 1)}) for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")),
    *(Case("Softmax", {}, {"axis": axis}, opset=o) for axis, o in ((1, 11), (2, 12), (1, 13), (-1, 13))), Case("Softmax", opset=11),
    *(Case("Concat", {"c": random(1, 4, 9, 8)}, {"axis": axis}) for axis in (1, -1, -3)),
    *(Case("Split", {"s": np.array(s, INTS)}, {"axis": a}, outputs=2) for s, a in (([1, 3], 1), ([5, 4], 2), ([6, 2], -1))),
    Case("Split", {}, {"axis": 1, "split": [1, 3]}, opset=11, outputs=2), Case("Split", {}, {"axis": 1}, outputs=2),
    Case("Split", {}, {"axis": 2, "num_outputs": 2}, opset=18, outputs=2),
    Case("Split", {}, {"axis": 3, "num_outputs": 3}, opset=18, outputs=3),
    *(Case("Slice", dict(zip("abcd", (np.array(v, INTS) for v in s), strict=True))) for s in (
        ([1], [3], [1], [1]), ([-1], [-100], [3], [-1]), ([7], [1], [2], [-2]), ([0, -3], [2**62, -1], [2, 3], [2, 1]),
        ([100], [-(2**62)], [-1], [-3]))),
    Case("Slice", {}, {"starts": [1, 2], "ends": [3, -1], "axes": [1, 3]}, opset=9),
    *(Case("Reshape", {"s": np.array(s, INTS)}) for s in ([0, -1], [0, 4, -1], [-1, 4, 72], [0, 0, 72], [-1, 288], [0, 2, 2, 9, 8])),
    Case("Reshape", {"s": np.array([-1, 2, 2, 72], INTS)}, {"allowzero": 1}),
    *(Case("Flatten", {}, {"axis": a}, opset=o) for a, o in ((1, 8), (1, 13), (-3, 13))),
    Case("Squeeze", {"a": np.array([2], INTS)}, shape=(4, 1, 8)), Case("Squeeze", {"a": np.array([-1], INTS)}, shape=(4, 9, 1)),
    Case("Squeeze", {}, {"axes": [2]}, (4, 1, 8), 11), Case("Unsqueeze", {"a": np.array([-1, 2], INTS)}),
    Case("Unsqueeze", {}, {"axes": [1, 3]}, (4, 9), 11),
    Case("Transpose", {}, {"perm": [0, 2, 3, 1]}),
    Case("Pad", {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1], INTS)}),
    Case("Pad", {"p": np.array([0, 1, 1, 2, 0, 0, -2, 1], INTS), "v": np.float32(0.5)}),
    *(Case("Pad", {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1], INTS)}, {"mode": m}) for m in ("reflect", "edge")),
    Case("Pad", {"p": np.array([1, 2, 0, 1], INTS), "v": np.float32(0), "a": np.array([-1, 1], INTS)}, opset=18),
    Case("Pad", {}, {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 0.5}, opset=10),
    *(Case(kind, {}, {"axes": [2, 3], "keepdims": k}, opset=11) for kind in ("ReduceMean", "ReduceMax", "ReduceSum") for k in (0, 1)),
    *(Case(kind, {"a": np.array([-1, -2], INTS)}, {"keepdims": 0}, opset=18) for kind in ("ReduceMean", "ReduceMax", "ReduceSum")),
    Case("ReduceSum", {"a": np.array([1], INTS)}, opset=13), Case("ReduceMean", {}, {"noop_with_empty_axes": 1}, opset=18),
    *(Case("Resize", {"r": None, "s": np.array([1, 1, s, s], np.float32)}, {"mode": m, "coordinate_transformation_mode": c})
      for s in (2, 1.5) for m in ("linear",) for c in ("half_pixel", "pytorch_half_pixel", "align_corners")[: 3 if s == 2 else 2]),
    *(Case("Resize", {"r": None, "s": np.array([1, 1, s, s], np.float32)},
           {"mode": "nearest", "coordinate_transformation_mode": c, "nearest_mode": n})
      for s in (2, 1.5, 0.5) for c in ("half_pixel", "asymmetric", "align_corners")
      for n in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")),
    Case("Resize", {"r": None, "s": np.array([1, 1, 2, 2], np.float32)}, {"mode": "cubic", "cubic_coeff_a": -0.75}),
    Case("Resize", {"r": None, "s": None, "z": np.array([1, 4, 13, 11], INTS)}, {"mode": "linear"}),
    Case("Resize", {"r": None, "s": None, "z": np.array([13, 11], INTS)}, {"mode": "linear", "axes": [2, 3]}, opset=18),
    Case("Upsample", {"s": np.array([1, 1, 2, 3], np.float32)}, opset=9),
    Case("Upsample", {}, {"scales": [1.0, 1.0, 2.0, 2.0]}, opset=8),
    Case("DepthToSpace", {}, {"blocksize": 2}), Case("DepthToSpace", {}, {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", {}, {"blocksize": 2}, (4, 8, 6)),
    Case("Gather", {"i": np.array([3, 0, -2], INTS)}, {"axis": 1}), Case("Gather", {"i": np.array(2, INTS)}, {"axis": -1}),
    Case("Expand", {"s": np.array([1, 4, 9, 8], INTS)}, shape=(1, 9, 8)), Case("Tile", {"s": np.array([1, 2, 1, 3], INTS)}),
    Case("Identity"),
    Case("Dropout", {}, {"ratio": 0.3}, opset=10), Case("Dropout", {"r": np.float32(0.5)}),
    Case("Dropout", {"r": np.float32(0.5), "t": np.array(False)}),
    Case("Resize", {"s": np.array([1, 1, 2, 0.5], np.float32)}, opset=10),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operation_gives_what_onnxs_evaluator_gives(tmp_path: Path, case: Case) -> None:
    spec = case.write(tmp_path / "a.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told of what onnx's evaluator cannot do
        model = load_model(spec)
    held = evaluation_of(model)
    assert held is not None
    assert held.values == held.nodes >= 1
    assert not held.left_out
    x = random(3, *case.shape)
    if held.explicit:
        return  # the evaluator cannot run the file; it ran the node in another form
    wanted = of_onnx(spec, x)
    with torch.no_grad():
        found = model(torch.from_numpy(x)).numpy()
    assert found.shape == wanted.shape
    # float32 sums of n < 100 terms err by less than n * 2^-24 of their terms' sum, here below 100 times the largest
    np.testing.assert_allclose(found, wanted, rtol=0, atol=100 * 100 * 2**-24 * max(1.0, float(np.abs(wanted).max())))
