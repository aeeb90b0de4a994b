"""ONNX files: each operation in each form gives what onnx's own evaluator gives, or is refused with its
node's name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dnisnm_lava as dn
from dnisnm_lava.data.models import load_model
from dnisnm_lava.errors import BadFile, UnsupportedModel
from dnisnm_lava.frontend import trace
from dnisnm_lava.ir import Activation

pytest.importorskip("onnx", reason="onnx is not installed")

import onnx
import onnx.shape_inference
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from dnisnm_lava.data.onnx import evaluation
from dnisnm_lava.data.onnx.conversion import evaluation_of

BATCH = "batch"


def made(
    path: Path,
    nodes: Sequence[Any],
    shape: Sequence[int | str],
    *,
    opset: int = 17,
    outputs: Sequence[str] = ("y",),
    **constants: Any,
) -> str:
    """A file of `nodes` from "x" of `shape`, with its batch, to `outputs`; float constants become float32."""
    arrays = {k: np.asarray(v) for k, v in constants.items()}
    arrays = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in arrays.items()}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(v, k) for k, v in arrays.items()],
    )
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
        held = [
            f"{key} {np.round(np.asarray(v, float), 1).tolist()}"
            for key, v in self.inputs.items()
            if v is not None and np.size(v) < 9
        ]
        return f"{self.kind} {self.opset}: {', '.join(held + given)}"

    def write(self, path: Path) -> str:
        outputs = ["y"] if self.outputs == 1 else [f"part{i}" for i in range(self.outputs)]
        names = ["x", *("" if v is None else k for k, v in self.inputs.items())]
        nodes = [helper.make_node(self.kind, names, outputs, name="it", **self.attributes)]
        if self.outputs > 1:
            nodes.append(
                helper.make_node(
                    "Concat", outputs[::-1], ["y"], axis=self.attributes.get("axis", 0), name="together"
                )
            )
        held = {k: v for k, v in self.inputs.items() if v is not None}
        return made(path, nodes, (BATCH, *self.shape), opset=self.opset, **held)


W, V, T = random(6, 4, 3, 3), random(4, 1, 3, 3), random(4, 6, 3, 3)
INTS = np.int64
CASES = [
    Case("Conv", {"w": W}),
    Case("Conv", {"w": W, "b": random(6)}, {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    *(
        Case("Conv", {"w": W}, {"auto_pad": auto, "strides": [2, 3]})
        for auto in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
    ),
    Case("Conv", {"w": V}, {"auto_pad": "SAME_UPPER", "group": 4, "dilations": [2, 1]}),
    Case("Conv", {"w": random(6, 4, 2, 4)}, {"auto_pad": "SAME_LOWER"}),
    Case("Conv", {"w": random(6, 4, 3)}, {"auto_pad": "SAME_UPPER", "strides": [2]}, (4, 10)),
    Case("Conv", {"w": W}, {"pads": [1, 1, 1, 1]}, opset=8),
    Case("ConvTranspose", {"w": T, "b": random(6)}, {"strides": [2, 2]}),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "pads": [1, 0, 0, 1]}),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    Case("ConvTranspose", {"w": T}, {"strides": [3, 2], "pads": [0, 1, 2, 0], "output_padding": [1, 0]}),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "dilations": [2, 1]}),
    *(
        Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "output_shape": s})
        for s in ([18, 16], [19, 17], [17, 15])
    ),
    *(
        Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "auto_pad": auto})
        for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    Case("ConvTranspose", {"w": T}, {"strides": [2, 2], "auto_pad": "SAME_UPPER", "output_shape": [18, 16]}),
    Case("ConvTranspose", {"w": random(4, 3, 2, 2)}, {"strides": [2, 2], "group": 2}),
    *(
        Case("MaxPool", {}, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": a})
        for a in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    Case("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}),
    Case("MaxPool", {}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    Case("MaxPool", {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    Case("MaxPool", {}, {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    Case("MaxPool", {}, {"kernel_shape": [3], "strides": [2]}, (4, 9), 12),
    *(
        Case("AveragePool", {}, {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": a})
        for a in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    *(
        Case("AveragePool", {}, {"kernel_shape": [3, 3], "pads": p, "count_include_pad": c})
        for p in ([1, 1, 1, 1], [0, 1, 1, 0])
        for c in (0, 1)
    ),
    *(
        Case(
            "AveragePool",
            {},
            {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": c, "pads": p},
        )
        for c in (0, 1)
        for p in ([0, 0, 0, 0], [1, 1, 1, 1])
    ),
    Case("AveragePool", {}, {"kernel_shape": [2, 2], "dilations": [2, 2]}, opset=19),
    Case("AveragePool", {}, {"kernel_shape": [2, 2]}, opset=7),
    Case("GlobalAveragePool"),
    Case("GlobalMaxPool"),
    Case("GlobalAveragePool", shape=(4, 9)),
    *(
        Case("Gemm", {"w": random(5, 6), "b": b}, {"transB": 1, **a}, (6,))
        for b in (random(5), random(1, 5), random(1))
        for a in ({}, {"alpha": 0.5, "beta": 2.0})
    ),
    Case("Gemm", {"w": random(6, 5), "b": random(5)}, {"alpha": 0.3}, (6,), 8),
    Case("Gemm", {"w": random(6, 5)}, {}, (6,)),
    Case("MatMul", {"w": random(6, 5)}, {}, (6,)),
    Case("MatMul", {"w": random(8, 5)}),
    *(
        Case(
            "BatchNormalization",
            {n: abs(random(4, seed=i)) for i, n in enumerate("abcd")},
            {"epsilon": e},
            opset=o,
        )
        for e, o in ((1e-5, 7), (1e-3, 9), (0.1, 14), (1e-5, 15))
    ),
    Case("BatchNormalization", {n: abs(random(4, seed=i)) for i, n in enumerate("abcd")}, {}, (4,)),
    *(
        Case("Clip", {}, a, opset=6 + 2)
        for a in ({}, {"min": 0.0}, {"max": 0.5}, {"min": 0.0, "max": 6.0}, {"min": -1.0, "max": 0.3})
    ),
    *(
        Case("Clip", i)
        for i in (
            {"low": 0.0},
            {"low": None, "high": 0.5},
            {"low": 0.0, "high": 6.0},
            {"low": -1.0, "high": 0.3},
        )
    ),
    Case("Relu"),
    Case("LeakyRelu", {}, {"alpha": 0.2}),
    Case("PRelu", {"a": random(4, 1, 1)}),
    Case("PRelu", {"a": random(1)}),
    Case("Elu"),
    Case("HardSigmoid"),
    Case("HardSigmoid", {}, {"alpha": 1 / 6}),
    Case("Sigmoid"),
    Case("Tanh"),
    Case("Softplus"),
    Case("Neg"),
    Case("Abs"),
    Case("Selu"),
    Case("Selu", {}, {"alpha": 1.2, "gamma": 0.9}),
    Case("Celu", {}, {"alpha": 0.5}),
    Case("ThresholdedRelu"),
    Case("ThresholdedRelu", {}, {"alpha": 0.3}),
    Case("Shrink"),
    Case("Shrink", {}, {"lambd": 0.4, "bias": 0.1}),
    Case("HardSwish"),
    Case("Softsign"),
    Case("Exp"),
    Case("Mish", opset=18),
    Case("Gelu", opset=20),
    Case("Gelu", {}, {"approximate": "tanh"}, opset=20),
    *(
        Case(kind, {"c": random(4, 1, 1)})
        for kind in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")
    ),
    *(Case("Softmax", {}, {"axis": axis}, opset=o) for axis, o in ((1, 11), (2, 12), (1, 13), (-1, 13))),
    Case("Softmax", opset=11),
    *(Case("Concat", {"c": random(1, 4, 9, 8)}, {"axis": axis}) for axis in (1, -1, -3)),
    *(
        Case("Split", {"s": np.array(s, INTS)}, {"axis": a}, outputs=2)
        for s, a in (([1, 3], 1), ([5, 4], 2), ([6, 2], -1))
    ),
    Case("Split", {}, {"axis": 1, "split": [1, 3]}, opset=11, outputs=2),
    Case("Split", {}, {"axis": 1}, outputs=2),
    Case("Split", {}, {"axis": 2, "num_outputs": 2}, opset=18, outputs=2),
    Case("Split", {}, {"axis": 3, "num_outputs": 3}, opset=18, outputs=3),
    *(
        Case("Slice", dict(zip("abcd", (np.array(v, INTS) for v in s), strict=True)))
        for s in (
            ([1], [3], [1], [1]),
            ([-1], [-100], [3], [-1]),
            ([7], [1], [2], [-2]),
            ([-1, 7], [-10, 0], [2, 3], [-2, -3]),
            ([0, -3], [2**62, -1], [2, 3], [2, 1]),
            ([100], [-(2**62)], [-1], [-3]),
        )
    ),
    Case("Slice", {}, {"starts": [1, 2], "ends": [3, -1], "axes": [1, 3]}, opset=9),
    *(
        Case("Reshape", {"s": np.array(s, INTS)})
        for s in ([0, -1], [0, 4, -1], [-1, 4, 72], [0, 0, 72], [-1, 288], [0, 2, 2, 9, 8])
    ),
    Case("Reshape", {"s": np.array([-1, 2, 2, 72], INTS)}, {"allowzero": 1}),
    *(Case("Flatten", {}, {"axis": a}, opset=o) for a, o in ((1, 8), (1, 13), (-3, 13))),
    Case("Squeeze", {"a": np.array([2], INTS)}, shape=(4, 1, 8)),
    Case("Squeeze", {"a": np.array([-1], INTS)}, shape=(4, 9, 1)),
    Case("Squeeze", {}, {"axes": [2]}, (4, 1, 8), 11),
    Case("Unsqueeze", {"a": np.array([-1, 2], INTS)}),
    Case("Unsqueeze", {}, {"axes": [1, 3]}, (4, 9), 11),
    Case("Transpose", {}, {"perm": [0, 2, 3, 1]}),
    Case("Pad", {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1], INTS)}),
    Case("Pad", {"p": np.array([0, 1, 1, 2, 0, 0, -2, 1], INTS), "v": np.float32(0.5)}),
    *(Case("Pad", {"p": np.array([0, 0, 1, 2, 0, 0, 0, 1], INTS)}, {"mode": m}) for m in ("reflect", "edge")),
    Case(
        "Pad", {"p": np.array([1, 2, 0, 1], INTS), "v": np.float32(0), "a": np.array([-1, 1], INTS)}, opset=18
    ),
    Case("Pad", {}, {"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 0.5}, opset=10),
    *(
        Case(kind, {}, {"axes": [2, 3], "keepdims": k}, opset=11)
        for kind in ("ReduceMean", "ReduceMax", "ReduceSum")
        for k in (0, 1)
    ),
    *(
        Case(kind, {"a": np.array([-1, -2], INTS)}, {"keepdims": 0}, opset=18)
        for kind in ("ReduceMean", "ReduceMax", "ReduceSum")
    ),
    Case("ReduceSum", {"a": np.array([1], INTS)}, opset=13),
    Case("ReduceMean", {}, {"noop_with_empty_axes": 1}, opset=18),
    *(
        Case(
            "Resize",
            {"r": None, "s": np.array([1, 1, s, s], np.float32)},
            {"mode": m, "coordinate_transformation_mode": c},
        )
        for s in (2, 1.5)
        for m in ("linear",)
        for c in ("half_pixel", "pytorch_half_pixel", "align_corners")[: 3 if s == 2 else 2]
    ),
    *(
        Case(
            "Resize",
            {"r": None, "s": np.array([1, 1, s, s], np.float32)},
            {"mode": "nearest", "coordinate_transformation_mode": c, "nearest_mode": n},
        )
        for s in (2, 1.5, 0.5)
        for c in ("half_pixel", "asymmetric", "align_corners")
        for n in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    ),
    *(
        Case(
            "Resize",
            {"r": None, "s": np.array([1, 1, *s], np.float32)},
            {"mode": "cubic", "coordinate_transformation_mode": c, "cubic_coeff_a": a, "exclude_outside": e},
        )
        for s in ((2, 2), (1.5, 0.5))
        for c in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        for a, e in ((-0.75, 0), (-0.75, 1), (-0.5, 0), (-0.5, 1))
    ),
    *(
        Case(
            "Resize",
            {"r": None, "s": np.array([1, 1, 1.25, 2], np.float32)},
            {"mode": m, "coordinate_transformation_mode": "half_pixel_symmetric"},
            opset=19,
        )
        for m in ("linear", "cubic")
    ),
    Case(
        "Resize",
        {"r": None, "s": None, "z": np.array([1, 4, 13, 5], INTS)},
        {"mode": "cubic", "coordinate_transformation_mode": "asymmetric"},
    ),
    Case(
        "Resize",
        {"r": np.zeros(8, np.float32), "s": np.array([1, 1, 2, 2], np.float32)},
        {"mode": "cubic", "coordinate_transformation_mode": "asymmetric"},
        opset=11,
    ),
    Case(
        "Resize",
        {"r": None, "s": np.array([1, 1, 2], np.float32)},
        {"mode": "cubic", "coordinate_transformation_mode": "asymmetric"},
        shape=(4, 9),
    ),
    Case("Resize", {"r": None, "s": None, "z": np.array([1, 4, 13, 11], INTS)}, {"mode": "linear"}),
    Case(
        "Resize",
        {"r": None, "s": None, "z": np.array([13, 11], INTS)},
        {"mode": "linear", "axes": [2, 3]},
        opset=18,
    ),
    *(
        Case(
            "Resize",
            {"r": None, "s": np.array([1, 1, *s], np.float32)},
            {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
        )
        for s in ((2, 2), (3, 1), (1.5, 2), (0.5, 0.25))
    ),
    Case(
        "Resize",
        {"r": None, "s": None, "z": np.array([1, 4, 13, 5], INTS)},
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
    ),
    Case(
        "Resize",
        {"r": None, "s": np.array([1, 1, 2], np.float32)},
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
        shape=(4, 9),
    ),
    Case("Resize", {"s": np.array([1, 1, 2, 3], np.float32)}, {"mode": "linear"}, opset=10),
    Case("Upsample", {"s": np.array([1, 1, 2, 2], np.float32)}, {"mode": "linear"}, opset=9),
    Case("Upsample", {"s": np.array([1, 1, 2, 3], np.float32)}, opset=9),
    Case("Upsample", {}, {"scales": [1.0, 1.0, 2.0, 2.0]}, opset=8),
    Case("DepthToSpace", {}, {"blocksize": 2}),
    Case("DepthToSpace", {}, {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", {}, {"blocksize": 2}, (4, 8, 6)),
    Case("Gather", {"i": np.array([3, 0, -2], INTS)}, {"axis": 1}),
    Case("Gather", {"i": np.array(2, INTS)}, {"axis": -1}),
    Case("Expand", {"s": np.array([1, 4, 9, 8], INTS)}, shape=(1, 9, 8)),
    Case("Tile", {"s": np.array([1, 2, 1, 3], INTS)}),
    Case("Identity"),
    Case("Dropout", {}, {"ratio": 0.3}, opset=10),
    Case("Dropout", {"r": np.float32(0.5)}),
    Case("Dropout", {"r": np.float32(0.5), "t": np.array(False)}),
    Case("Resize", {"s": np.array([1, 1, 2, 0.5], np.float32)}, opset=10),
]


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
        if case.kind == "Slice":
            trace.export(model, torch.from_numpy(x[:2]))  # refuses another network than forward computes
    assert found.shape == wanted.shape
    # float32 sums of n < 100 terms err by less than n * 2^-24 of their terms' sum, here below 100 times the
    # largest
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=100 * 100 * 2**-24 * max(1.0, float(np.abs(wanted).max()))
    )


# ---------------------------------------------------------------- networks, as people have them


def network(
    path: Path,
    body: Sequence[Any],
    shape: Sequence[int | str] = (BATCH, 3, 12, 12),
    opset: int = 13,
    **constants: Any,
) -> str:
    """x, `body` to "h" (8 channels), ReLU, global average, flatten, Gemm."""
    head = [
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "lw", "lb"], ["y"], transB=1, name="fc"),
    ]
    return made(path, [*body, *head], shape, opset=opset, lw=random(4, 8, seed=9), lb=random(4), **constants)


def conv(name: str, source: str, weight: str, output: str, **attributes: Any) -> Any:
    return helper.make_node("Conv", [source, weight], [output], name=name, **attributes)


def as_spikes_see_it(spec: str, x: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(dn.from_torch(load_model(spec, None, x.shape[1:]), x[0]).ann(x))


W3 = random(8, 3, 3, 3, seed=1)
BODIES = {
    "borders that SAME leaves to the reader": (
        [conv("c", "x", "w", "h", auto_pad="SAME_UPPER", strides=[2, 2])],
        13,
    ),
    "opset 8": ([conv("c", "x", "w", "h", pads=[1, 1, 1, 1])], 8),
    "dropout with its ratio as an input": (
        [conv("c", "x", "w", "d"), helper.make_node("Dropout", ["d", "ratio"], ["h"], name="drop")],
        13,
    ),
    "coordinates for a batch of one": (
        [helper.make_node("Concat", ["x", "grid"], ["g"], axis=1, name="cat"), conv("c", "g", "wide", "h")],
        17,
    ),
}


def with_borders(spec: str, pads: Sequence[int]) -> str:
    """The file with `pads` in place of auto_pad, which onnx's evaluator misread before 1.23."""
    model = onnx.load(spec)
    for node in model.graph.node:
        if any(a.name == "auto_pad" for a in node.attribute):
            kept = [a for a in node.attribute if a.name != "auto_pad"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("pads", list(pads))])
    onnx.save(model, spec)
    return spec


@pytest.mark.parametrize("what", BODIES)
def test_a_network_converts_to_what_onnx_gives(tmp_path: Path, what: str) -> None:
    body, opset = BODIES[what]
    constants = {"w": W3, "ratio": np.float32(0.5), "grid": random(1, 2, 12, 12), "wide": random(8, 5, 3, 3)}
    used = {name for node in body for name in node.input}
    spec = network(
        tmp_path / "a.onnx", body, opset=opset, **{k: v for k, v in constants.items() if k in used}
    )
    x = random(3, 3, 12, 12)
    found = as_spikes_see_it(spec, x)
    wanted = of_onnx(
        with_borders(spec, [0, 0, 1, 1]), x
    )  # SAME_UPPER: 6 outputs of stride 2 and kernel 3 reach 13 pixels
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=100 * 2**-24 * 1000
    )  # float32 sums of n < 100 terms below 1000


@pytest.mark.parametrize(("auto", "wanted"), [("NOTSET", (8, 24, 24)), ("SAME_UPPER", (8, 24, 24))])
def test_an_output_shape_is_kept(tmp_path: Path, auto: str, wanted: tuple[int, ...]) -> None:
    """onnx infers 24 x 24; without `output_shape` it would be 25 x 25."""
    up = helper.make_node(
        "ConvTranspose", ["c", "t"], ["h"], name="up", strides=[2, 2], output_shape=[24, 24], auto_pad=auto
    )
    body = [conv("c", "x", "w", "c", pads=[1, 1, 1, 1]), up]
    spec = network(tmp_path / "a.onnx", body, w=W3, t=random(8, 8, 3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = dn.from_torch(load_model(spec), random(3, 12, 12))
    assert wanted in [p.shape for p in graph.populations]


def test_what_onnxs_evaluator_cannot_compute_is_told(tmp_path: Path) -> None:
    up = helper.make_node(
        "ConvTranspose",
        ["x", "t"],
        ["h"],
        name="up",
        strides=[2, 2],
        output_shape=[24, 24],
        pads=[0, 0, 0, 0],
    )
    spec = network(tmp_path / "a.onnx", [up], t=random(3, 8, 3, 3))
    with pytest.warns(
        UserWarning,
        match=r"a\.onnx: up \(ConvTranspose\): compared in another form, since onnx's evaluator fails",
    ):
        load_model(spec)


@pytest.mark.parametrize("batch", [1, 8])
def test_the_batch_that_a_file_was_made_with_does_not_matter(tmp_path: Path, batch: int) -> None:
    """Sizes and constants that hold the batch: a view to (8, -1), a mask of 8 images."""
    nodes = [
        conv("c", "x", "w", "h"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Mul", ["r", "mask"], ["m"]),
        helper.make_node("Reshape", ["m", "sizes"], ["f"], name="view"),
        helper.make_node("MatMul", ["f", "lw"], ["y"], name="fc"),
    ]
    mask = np.broadcast_to(random(1, 8, 4, 4), (batch, 8, 4, 4))
    spec = made(
        tmp_path / "a.onnx",
        nodes,
        (batch, 3, 6, 6),
        w=W3,
        lw=random(128, 4),
        mask=np.array(mask),
        sizes=np.array([batch, -1], np.int64),
    )
    x = random(3, 3, 6, 6)
    model = onnx.load(spec)
    wanted = [
        ReferenceEvaluator(model).run(None, {"x": np.broadcast_to(image, (batch, 3, 6, 6))})[0][0]
        for image in x
    ]
    # float32 sums of 128 terms below 100
    np.testing.assert_allclose(
        as_spikes_see_it(spec, x), np.stack(wanted), rtol=0, atol=128 * 2**-24 * 128 * 100
    )


def test_a_channels_last_network_converts(tmp_path: Path) -> None:
    """As tf2onnx writes it: the image (H, W, C), a transposition before and behind each convolution."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        conv("c", "t", "w", "h", auto_pad="SAME_UPPER", strides=[2, 2]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Transpose", ["r"], ["l"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["l"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["m", "lw"], ["s"]),
        helper.make_node("Add", ["s", "b"], ["y"]),
    ]
    spec = made(tmp_path / "a.onnx", nodes, (BATCH, 6, 6, 3), opset=13, w=W3, lw=random(8, 4), b=random(4))
    x = random(3, 6, 6, 3)
    found = as_spikes_see_it(spec, x)
    wanted = of_onnx(with_borders(spec, [0, 0, 1, 1]), x)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=100 * 2**-24 * 1000)  # as above
    coverage = dn.inspect(load_model(spec, None, (6, 6, 3)), x[0])
    assert coverage.populations["Relay"] == 0
    assert coverage.graph_macs == coverage.macs
    assert all(row.line.startswith("layer ") for row in coverage.rows), coverage.rows


def test_functions_and_further_opset_domains_are_read(tmp_path: Path) -> None:
    """As newer exporters write: a function of the file's own, and domains that no node uses."""
    opsets = [
        helper.make_opsetid("", 17),
        helper.make_opsetid("mine", 1),
        helper.make_opsetid("ai.onnx.ml", 3),
    ]
    function = helper.make_function(
        "mine",
        "Block",
        ["a", "k"],
        ["z"],
        [conv("c", "a", "k", "q"), helper.make_node("Relu", ["q"], ["z"])],
        opsets[:1],
    )
    graph = helper.make_graph(
        [helper.make_node("Block", ["x", "w"], ["y"], domain="mine", name="block")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [BATCH, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [BATCH, 8, 4, 4])],
        [numpy_helper.from_array(W3, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8),
        str(tmp_path / "a.onnx"),
    )
    x = torch.from_numpy(random(2, 3, 6, 6))
    with torch.no_grad():
        found = load_model(str(tmp_path / "a.onnx"))(x)
    torch.testing.assert_close(found, torch.relu(torch.nn.functional.conv2d(x, torch.from_numpy(W3))))


@pytest.mark.parametrize("opset", [10, 13, 19])
def test_weights_that_are_kept_as_integers_are_read(tmp_path: Path, opset: int) -> None:
    """Of opset 18 and lower, onnx's own evaluator has no DequantizeLinear."""
    codes = np.random.default_rng(0).integers(-127, 128, (8, 3, 3, 3)).astype(np.int8)
    step, zero = (
        (np.float32(0.02), np.int8(3)) if opset < 13 else (abs(random(8)), np.arange(8, dtype=np.int8))
    )
    axis = {} if opset < 13 else {"axis": 0}
    nodes = [
        helper.make_node("DequantizeLinear", ["codes", "step", "zero"], ["w"], name="dequantize", **axis),
        conv("c", "x", "w", "y"),
    ]
    spec = made(tmp_path / "n.onnx", nodes, (BATCH, 3, 6, 6), opset=opset, codes=codes, step=step, zero=zero)
    x = random(2, 3, 6, 6)
    wide = [np.reshape(a, (-1, 1, 1, 1)).astype(np.float64) for a in (zero, step)]
    weight = torch.from_numpy((codes - wide[0]) * wide[1])
    wanted = torch.nn.functional.conv2d(torch.from_numpy(x).double(), weight)
    # the product of an integer and a float32 step is rounded to float32: 2^-24 of each of 27 terms
    np.testing.assert_allclose(
        next(iter(dn.from_torch(load_model(spec, None, (3, 6, 6)), x).outputs(x).values())),
        wanted,
        atol=1e-5 * float(wanted.abs().max()),
    )


def test_several_outputs_keep_their_order(tmp_path: Path) -> None:
    """Parts of one split among them, and a tensor that others read."""
    nodes = [
        conv("c", "x", "w", "h"),
        helper.make_node("Split", ["h", "s"], ["a", "b"], axis=1),
        helper.make_node("Relu", ["b"], ["r"]),
    ]
    spec = made(
        tmp_path / "a.onnx", nodes, (BATCH, 3, 6, 6), outputs=("r", "a"), w=W3, s=np.array([3, 5], np.int64)
    )
    with torch.no_grad():
        found = load_model(spec)(torch.zeros(2, 3, 6, 6))
    assert {name: tuple(t.shape) for name, t in found.items()} == {"r": (2, 5, 4, 4), "a": (2, 3, 4, 4)}
    analog = dn.from_torch(load_model(spec), torch.zeros(3, 6, 6))
    assert list(analog.output_shapes.items()) == [("r", (5, 4, 4)), ("a", (3, 4, 4))]


# ---------------------------------------------------------------- held against onnx


def test_a_node_that_means_something_else_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a translation wrong, the first node that shows it is told: in its values, and in its shape."""
    from dnisnm_lava.data.onnx.operators import OPERATORS

    body = [
        conv("first", "x", "w", "a"),
        helper.make_node("LeakyRelu", ["a"], ["h"], name="leak", alpha=0.25),
    ]
    spec = network(tmp_path / "a.onnx", body, w=W3)
    monkeypatch.setitem(OPERATORS, "LeakyRelu", lambda node: torch.nn.ReLU())
    with pytest.raises(
        UnsupportedModel,
        match=r"a\.onnx: its node leak \(LeakyRelu\) means something else here than in onnx: .* away from",
    ):
        load_model(spec)
    monkeypatch.setitem(OPERATORS, "Conv", lambda node: torch.nn.Conv2d(3, 8, 1))
    said = (
        r"its node first \(Conv\) .*onnx's evaluator gives \(1, 8, 10, 10\), this program \(1, 8, 12, "
        r"12\); export it without"
    )
    with pytest.raises(UnsupportedModel, match=said):
        load_model(spec)


def test_a_small_slip_in_a_constant_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An epsilon that is torch's default in place of the file's: a part in ten thousand."""
    from dnisnm_lava.data.onnx.operators import OPERATORS, batch_norm

    statistics = {n: abs(random(8, seed=i)) + 0.5 for i, n in enumerate("sbmv")}
    body = [
        conv("c", "x", "w", "a"),
        helper.make_node("BatchNormalization", ["a", *"sbmv"], ["h"], name="bn", epsilon=1e-4),
    ]
    spec = network(tmp_path / "a.onnx", body, opset=15, w=W3, **statistics)
    assert load_model(spec) is not None

    def slip(node: Any) -> torch.nn.Module:
        layer: Any = batch_norm(node)
        layer.eps = 1e-5
        return layer  # type: ignore[no-any-return]

    monkeypatch.setitem(OPERATORS, "BatchNormalization", slip)
    with pytest.raises(UnsupportedModel, match=r"its node bn \(BatchNormalization\)"):
        load_model(spec)


def test_images_that_change_each_other_are_noticed(tmp_path: Path) -> None:
    nodes = [
        conv("c", "x", "w", "h"),
        helper.make_node("ReduceMean", ["h"], ["m"], axes=[0], name="mean"),
        helper.make_node("Sub", ["h", "m"], ["y"]),
    ]
    with pytest.raises(
        UnsupportedModel, match=r"a\.onnx: what it gives for an image depends on the others of the batch"
    ):
        load_model(made(tmp_path / "a.onnx", nodes, (2, 3, 6, 6), w=W3))


def test_what_costs_much_is_compared_in_part_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dnisnm_lava.data.onnx import parts

    monkeypatch.setattr(parts, "LOOPED", 100)
    monkeypatch.setattr(parts, "PRODUCTS", 100)
    up = helper.make_node("ConvTranspose", ["b", "t"], ["h"], name="up", strides=[2, 2])
    body = [
        conv("c", "x", "w", "a"),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], name="max"),
        up,
    ]
    spec = network(tmp_path / "a.onnx", body, w=W3, t=random(8, 8, 3, 3))
    told: list[tuple[int, int]] = []
    held = evaluation_of(load_model(spec, progress=lambda done, of: told.append((done, of))))
    assert held is not None
    assert (held.nodes, held.values, held.in_part, held.images) == (7, 7, 3, 3)
    assert "3 of them on some channels" in held.sentence()
    assert told == [(i, 7) for i in range(1, 8)]


def test_a_large_network_is_held_on_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SMALL", 100)
    held = evaluation_of(load_model(network(tmp_path / "a.onnx", [conv("c", "x", "w", "h")], w=W3)))
    assert held is not None
    assert (held.values, held.images) == (5, 1)


# ---------------------------------------------------------------- refusals


def refusal(
    path: Path, nodes: Sequence[Any], shape: Sequence[int | str] = (BATCH, 3, 6, 6), **options: Any
) -> str:
    with pytest.raises(UnsupportedModel) as error:
        load_model(made(path, nodes, shape, **options))
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    return said


def test_all_refused_nodes_are_named_by_reason(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="dequantize"),
        conv("c", "d", "w", "h"),
        helper.make_node("Trilu", ["h"], ["y"], name="tri"),
    ]
    said = refusal(tmp_path / "a.onnx", nodes, w=W3, s=np.float32(0.02), z=np.uint8(128))
    assert "3 of its nodes have no meaning here" in said
    assert (
        "quantize (QuantizeLinear), dequantize (DequantizeLinear): it computes with integers of another "
        "quantization; export the float" in said
    )
    assert "tri (Trilu): it has no torch module here" in said
    assert "opset" not in said


def test_a_tail_is_refused_with_the_command_that_cuts_it_off(tmp_path: Path) -> None:
    nodes = [
        conv("c", "x", "w", "h"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "lw"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["soft"], axis=1),
        helper.make_node("TopK", ["soft", "k"], ["y", "i"], name="top"),
    ]
    path = tmp_path / "a.onnx"
    said = refusal(path, nodes, opset=13, w=W3, lw=random(8, 4), k=np.array([2], np.int64))
    assert "1 of its nodes has no meaning here. top (TopK): it chooses or counts" in said
    assert "cut the graph at soft: python -c" in said
    command = (
        said.partition('python -c "')[2].removesuffix('"').replace("cut.onnx", str(tmp_path / "cut.onnx"))
    )
    exec(command)
    assert load_model(str(tmp_path / "cut.onnx"))(torch.zeros(1, 3, 6, 6)).shape == (1, 4)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (
            helper.make_node("LSTM", ["h", "lw", "lr"], ["y"], name="it", hidden_size=2),
            "it (LSTM): a recurrent layer has no feed-forward",
        ),
        (
            helper.make_node("InstanceNormalization", ["h", "eight", "eight"], ["y"], name="it"),
            "it needs statistics of the image at hand",
        ),
        (
            helper.make_node("RandomNormalLike", ["h"], ["y"], name="it"),
            "it is random; export the model in eval mode",
        ),
        (
            helper.make_node(
                "BatchNormalization", ["h", *["eight"] * 4], ["y", "m", "v"], name="it", training_mode=1
            ),
            "in training mode",
        ),
        (
            helper.make_node("Dropout", ["h", "half", "yes"], ["y"], name="it"),
            "it is in training mode; export the model in eval mode",
        ),
        (
            helper.make_node("Cast", ["h"], ["y"], name="it", to=TensorProto.INT64),
            "it rounds what depends on the image",
        ),
        (
            helper.make_node("Fused", ["h"], ["y"], name="it", domain="com.microsoft"),
            "the domain com.microsoft, which only its own",
        ),
        (
            helper.make_node(
                "Resize",
                ["h", "roi", "scales"],
                ["y"],
                name="it",
                mode="cubic",
                coordinate_transformation_mode="tf_crop_and_resize",
            ),
            "there is no way here to resize (4, 4) to (8, 8)",
        ),
    ],
)
def test_a_refusal_names_the_node_the_reason_and_what_to_do(tmp_path: Path, node: Any, said: str) -> None:
    held = {
        "w": W3,
        "eight": np.ones(8),
        "half": np.float32(0.5),
        "yes": np.array(True),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "roi": np.array([0, 0, 0.2, 0.2, 1, 1, 0.8, 0.8], np.float32),
        "lw": random(1, 8, 16),
        "lr": random(1, 8, 2),
    }
    path = tmp_path / "a.onnx"
    graph = helper.make_graph(
        [conv("c", "x", "w", "h"), node],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in held.items() if k in {"w", *node.input}],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
    with pytest.raises(UnsupportedModel) as error:
        load_model(str(path))
    assert "it (" in str(error.value)
    assert said in str(error.value)


def test_control_flow_is_named(tmp_path: Path) -> None:
    branch = [
        helper.make_graph(
            [helper.make_node(kind, ["h"], ["z"])], kind, [], [helper.make_tensor_value_info("z", 1, None)]
        )
        for kind in ("Relu", "Neg")
    ]
    nodes = [
        conv("c", "x", "w", "h"),
        helper.make_node("ReduceSum", ["h"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["b"], to=TensorProto.BOOL, name="cast"),
        helper.make_node("If", ["b"], ["y"], name="choose", then_branch=branch[0], else_branch=branch[1]),
    ]
    said = refusal(tmp_path / "a.onnx", nodes, w=W3)
    assert "cast (Cast): it rounds" in said
    assert "choose (If): it is control flow; export with fixed shapes" in said


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_that_no_image_decides_is_taken(tmp_path: Path, taken: bool) -> None:
    """The condition follows from the image's shape; a branch reads a tensor from outside and weights of its
    own, and has a branch in it."""

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

    inner = [
        helper.make_graph([helper.make_node(kind, ["q"], [f"z{kind}"])], kind, [], [value(f"z{kind}")])
        for kind in ("Relu", "Neg")
    ]
    both = helper.make_node("If", ["yes"], ["n"], name="within", then_branch=inner[0], else_branch=inner[1])
    then = helper.make_graph(
        [conv("inside", "h", "v", "q", pads=[1, 1, 1, 1]), both],
        "then",
        [],
        [value("n")],
        [numpy_helper.from_array(random(8, 8, 3, 3, seed=5), "v")],
    )
    other = helper.make_graph([helper.make_node("Identity", ["h"], ["same"])], "else", [], [value("same")])
    nodes = [
        conv("c", "x", "w", "h", pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "two"], ["rows"]),
        helper.make_node("Equal", ["rows", "wanted"], ["b"]),
        helper.make_node("If", ["b"], ["h2"], name="choose", then_branch=then, else_branch=other),
        helper.make_node("Relu", ["h2"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    constants = {
        "two": np.array(2, INTS),
        "wanted": np.array(12 if taken else 13, INTS),
        "yes": np.array(True),
    }
    spec = made(tmp_path / "a.onnx", nodes, (BATCH, 3, 12, 12), opset=13, w=W3, **constants)
    model, x = load_model(spec), random(2, 3, 12, 12)
    with torch.no_grad():
        h = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(W3), padding=1)
        if taken:
            h = torch.relu(
                torch.nn.functional.conv2d(h, torch.from_numpy(random(8, 8, 3, 3, seed=5)), padding=1)
            )
        wanted = torch.relu(h).mean((2, 3)).numpy()
        found = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=1e-4
    )  # float32 sums of 27, 72 and 144 products below 30
    held = evaluation_of(model)
    assert held is not None
    assert held.values == held.nodes
    analog = dn.from_torch(model, x[0])
    np.testing.assert_allclose(analog.ann(x), wanted, rtol=0, atol=1e-4)


def test_an_upsampling_of_old_exports_converts(tmp_path: Path) -> None:
    """Asymmetric and linear: pixel i of the new map is at i / 2 of the old one. By hand, in the network
    itself."""
    up = helper.make_node("Upsample", ["q", "scales"], ["h"], name="up", mode="linear")
    spec = network(
        tmp_path / "a.onnx",
        [conv("c", "x", "w", "q", pads=[1, 1, 1, 1]), helper.make_node("Relu", ["q"], ["q2"]), up],
        opset=9,
        w=W3,
        scales=np.array([1, 1, 2, 2], np.float32),
    )
    x = random(2, 3, 12, 12)
    analog = dn.from_torch(load_model(spec), x[0])
    q = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(W3), padding=1).double().numpy()
    for axis in (2, 3):
        at = np.arange(24) / 2
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, 11), (at - low).reshape(-1, *(1,) * (3 - axis))
        q = np.take(q, low, axis) * (1 - share) + np.take(q, high, axis) * share
    wanted = np.maximum(q, 0).mean((2, 3)) @ random(4, 8, seed=9).T + random(4)
    np.testing.assert_allclose(analog.ann(x), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("batch", [1, BATCH])
def test_opset_6_is_brought_to_one_that_is_read(tmp_path: Path, batch: int | str) -> None:
    """Add broadcasts by an attribute there; by hand."""
    nodes = [
        conv("c", "x", "w", "q"),
        helper.make_node("Add", ["q", "b"], ["h"], name="add", broadcast=1, axis=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    b, x = random(8, seed=3), random(2, 3, 6, 6)
    spec = made(tmp_path / "a.onnx", nodes, (batch, 3, 6, 6), opset=6, w=W3, b=b)
    q = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(W3)) + torch.from_numpy(b).reshape(
        1, 8, 1, 1
    )
    with torch.no_grad():
        found = load_model(spec)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, torch.relu(q).mean((2, 3)).numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, (3,)), (2, (4,)), (3, (5,)), (2, (4, 5)), (0, (1, 3)), (-1, (5,))]
)
def test_operands_of_opset_6_lie_where_their_axis_says(
    tmp_path: Path, axis: int, shape: tuple[int, ...]
) -> None:
    """onnx's converter puts all missing axes behind; by hand, in front of it `axis` of them."""
    b, x = random(*shape, seed=3), random(2, 3, 4, 5)
    node = helper.make_node("Mul", ["x", "b"], ["y"], name="mul", broadcast=1, axis=axis)
    found = load_model(made(tmp_path / "a.onnx", [node], (1, 3, 4, 5), opset=6, b=b))(
        torch.from_numpy(x)
    ).numpy()
    np.testing.assert_array_equal(found, x * b.reshape(*shape, *(1,) * (4 - axis % 4 - len(shape))))


def test_what_of_opset_6_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """onnx's converter does not convert a map of free size."""
    nodes = [
        conv("c", "x", "w", "q"),
        helper.make_node("Add", ["q", "b"], ["y"], name="add", broadcast=1, axis=1),
    ]
    said = refusal(tmp_path / "b.onnx", nodes, (1, 3, "rows", 6), opset=6, w=W3, b=random(8))
    assert "of opset 6, which onnx's version_converter cannot bring to 8" in said
    assert said.endswith("export it anew, with opset 13 to 17")


def test_several_inputs_are_named(tmp_path: Path) -> None:
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in ("left", "right")]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])]
    graph = helper.make_graph([helper.make_node("Add", ["left", "right"], ["y"])], "net", inputs, outputs)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(tmp_path / "a.onnx"),
    )
    with pytest.raises(
        UnsupportedModel,
        match=r"takes 2 inputs \(left, right\); one image is needed: make the others constants",
    ):
        load_model(str(tmp_path / "a.onnx"))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (
            "../w.bin",
            r"the weights w lie in '\.\./w\.bin', outside the model's folder; put them beside it: refused",
        ),
        ("/etc/hostname", r"the weights w lie in '/etc/hostname', outside the model's folder"),
        ("link.bin", r"outside the model's folder"),
        (
            "missing.bin",
            r"the weights w lie in missing\.bin, which is not there; put that file beside the model",
        ),
    ],
)
def test_weights_are_read_from_the_models_folder_alone(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "w.bin").write_bytes(W3.tobytes())
    (tmp_path / "model/link.bin").symlink_to(tmp_path / "w.bin")
    model = onnx.load(network(tmp_path / "a.onnx", [conv("c", "x", "w", "h")], w=W3))
    weight = next(i for i in model.graph.initializer if i.name == "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=place)
    (tmp_path / "model/a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BadFile, match=said):
        load_model(str(tmp_path / "model/a.onnx"))


def test_weights_in_a_file_beside_are_read(tmp_path: Path) -> None:
    spec = network(tmp_path / "a.onnx", [conv("c", "x", "w", "h")], w=W3)
    onnx.save(
        onnx.load(spec),
        str(tmp_path / "b.onnx"),
        save_as_external_data=True,
        location="b.bin",
        size_threshold=0,
    )
    x = torch.from_numpy(random(2, 3, 12, 12))
    with torch.no_grad():
        assert torch.equal(load_model(str(tmp_path / "b.onnx"))(x), load_model(spec)(x))


def test_a_file_that_is_newer_than_onnx_says_so(tmp_path: Path) -> None:
    model = onnx.load(network(tmp_path / "a.onnx", [conv("c", "x", "w", "h")], w=W3))
    model.ir_version = 99
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        BadFile,
        match=r"it is newer than the onnx installed here: export it with opset \d+ or lower, or install "
        r"a newer",
    ):
        load_model(str(tmp_path / "a.onnx"))


@pytest.mark.parametrize("shape", [(2, 6, 5), (2, 9)])
def test_maps_are_sampled_between_their_pixels_by_a_matrix_for_each_axis(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """A cubic Resize of old exports costs no population: it is part of what reads the map."""
    scales = np.array([1, 1, *[2] * (len(shape) - 1)], np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node(
            "Resize",
            ["r", "", "s"],
            ["y"],
            mode="cubic",
            coordinate_transformation_mode="asymmetric",
            cubic_coeff_a=-0.5,
        ),
    ]
    spec = made(
        tmp_path / "a.onnx",
        nodes,
        (BATCH, *shape),
        opset=13,
        s=scales,
        w=random(2, 2, *[1] * (len(shape) - 1)),
    )
    x = random(3, *shape)
    analog = dn.from_torch(load_model(spec), x[0])
    assert [type(p).__name__ for p in analog] == ["Input", "Rectifier", "ReadOut"]
    np.testing.assert_allclose(
        analog.ann(x).reshape(3, -1), of_onnx(spec, x).reshape(3, -1), atol=1e-5
    )  # float32, of numbers up to 3


def chain(*nodes: tuple[str, list[str], str], **attributes: dict[str, Any]) -> list[Any]:
    """Nodes of (kind, inputs, output) between two convolutions; attributes by output."""
    inner = [helper.make_node(kind, i, [o], name=o, **attributes.get(o, {})) for kind, i, o in nodes]
    return [conv("first", "x", "w", "c"), *inner, conv("last", "f", "v", "y")]


MASKED = ("Mul", ["c", "tenth"], "d")
FUNCTIONS: dict[str, tuple[list[Any], list[str]]] = {
    "where": (
        chain(MASKED, ("Greater", ["c", "zero"], "m"), ("Where", ["m", "c", "d"], "f")),
        ["leaky_relu"],
    ),
    "where not": (
        chain(MASKED, ("LessOrEqual", ["c", "zero"], "m"), ("Where", ["m", "d", "c"], "f")),
        ["leaky_relu"],
    ),
    "max": (chain(MASKED, ("Max", ["c", "d"], "f")), ["leaky_relu"]),
    "mask": (
        chain(
            ("Less", ["c", "zero"], "m"),
            ("Not", ["m"], "n"),
            ("Cast", ["n"], "k"),
            ("Mul", ["c", "k"], "f"),
            k={"to": TensorProto.FLOAT},
        ),
        ["Rectifier"],
    ),
    "silu": (chain(("Sigmoid", ["c"], "s"), ("Mul", ["c", "s"], "f")), ["silu"]),
    "gelu": (
        chain(
            ("Div", ["c", "root"], "q"),
            ("Erf", ["q"], "e"),
            ("Add", ["e", "one"], "p"),
            ("Mul", ["c", "p"], "r"),
            ("Mul", ["r", "half"], "f"),
        ),
        ["gelu"],
    ),
    "prelu": (chain(("PRelu", ["c", "slopes"], "f")), ["leaky_relu"]),
    "gate": (
        chain(("GlobalAveragePool", ["c"], "g"), ("Sigmoid", ["g"], "s"), ("Mul", ["c", "s"], "f")),
        ["sigmoid", "Relay", "Product"],
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_populations_whatever_the_nodes_that_say_them(tmp_path: Path, name: str) -> None:
    """Against onnx's evaluator, which computes in float32: two sums of 3 and 4 products of at most 2^4, and a
    function, each operation within 2^-24 of it."""
    nodes, populations = FUNCTIONS[name]
    held = {"zero": 0.0, "tenth": 0.1, "one": 1.0, "half": 0.5, "root": 2**0.5}
    arrays = {k: np.array(v) for k, v in held.items()}
    slopes = np.array([0.1, -0.5, 1.0, 2.0]).reshape(4, 1, 1)
    weights = {"w": random(4, 3, 1, 1), "v": random(2, 4, 1, 1), "slopes": slopes}
    spec = made(tmp_path / "a.onnx", nodes, (BATCH, 3, 4, 4), **arrays, **weights)
    x = random(3, 3, 4, 4, seed=2)
    analog = dn.from_torch(load_model(spec), x[0])
    shown = [p.function.name if isinstance(p, Activation) else type(p).__name__ for p in analog][1:-1]
    assert shown == populations
    np.testing.assert_allclose(analog.ann(x), of_onnx(spec, x), rtol=0, atol=2**5 * 2**4 * 2.0**-24)
