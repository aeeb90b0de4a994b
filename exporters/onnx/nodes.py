"""Nodes of an ONNX graph, one after the other: constants stored once, loops over time, the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.errors import BackendMissing, OutOfRange
from dnisnm_lava.ir import Shape, narrowed
from dnisnm_lava.system import extras
from dnisnm_lava.system.files import write_whole

OPSET = 17  # the least that has all of them is 15 (Shape of some axes); runtimes of 2022 and later know 17
IR_VERSION = 8  # that of opset 17: newer packages would write their own, which older runtimes refuse
LARGEST_FILE = (1 << 31) - (1 << 24)  # bytes of constants; protobuf ends at 2**31
LARGEST_SMALL = (1 << 31) - 1
FEW = 64  # numbers that may take 8 bytes each
FRONT = np.array([0])  # the axis of time, of sequences (T, N, ...)

Size = tuple[int | str, ...]
Given = tuple[str, Shape]  # a tensor, and its shape behind N
Step = Callable[["Nodes", list[str], list[str]], tuple[list[str], list[str]]]


class Nodes:
    """The nodes of a graph of the file `path`, or of the body of a loop `within` another, whose tensors it
    sees. names: those of inputs and outputs, which no tensor between them may have."""

    def __init__(self, path: Path, names: Iterable[str] = (), within: Nodes | None = None) -> None:
        self.path = path
        self.onnx: Any = _onnx() if within is None else within.onnx
        self.root: Nodes = self if within is None else within.root
        self.bytes = 0  # of constants, in all
        self.made: list[Any] = []
        self.known: dict[Any, Any] = {}  # what was made of a tensor already
        self.constants: dict[bytes, Any] = {} if within is None else within.constants
        self._names: set[str] = set(names) if within is None else within._names

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The tensor that a new node gives."""
        return self.gives(self.unused(op), op, *inputs, **attributes)

    def gives(self, name: str, op: str, *inputs: str, **attributes: Any) -> str:
        """The same, under a name that is given."""
        self.made.append(self.onnx.helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(self, values: Any) -> str:
        """A tensor of the file, int64 of integers with a sign; of equal ones, the same. OutOfRange where the
        file would hold too much."""
        array = np.asarray(values)
        return self._stored(array.astype(np.int64) if array.dtype.kind == "i" else array)

    def numbers(self, values: np.ndarray) -> str:
        """A constant (C, ...) in int64, once along axes along which its values are the same, one number where
        all are."""
        array = narrowed(values.astype(np.int64))
        return self.table(array if (array != array.flat[0]).any() else array.flat[0])

    def table(self, values: np.ndarray) -> str:
        """A constant in int64, many of whose numbers take as few bytes in the file as hold them."""
        array = np.asarray(values, np.int64)
        code = np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
        if array.size < FEW or code.itemsize == array.itemsize:
            return self.constant(array)
        return self._widened(array.astype(code), self.onnx.TensorProto.INT64)

    def floats(self, codes: np.ndarray) -> str:
        """int8 constants as float32, which take a byte each in the file."""
        return self._widened(np.ascontiguousarray(codes), self.onnx.TensorProto.FLOAT)

    def shaped(self, x: str, *shape: int) -> str:
        """x in another shape, of which one size may be -1."""
        return self("Reshape", x, self.constant(np.array(shape)))

    def number(self, x: str) -> str:
        """x in 64 bits."""
        return self("Cast", x, to=self.onnx.TensorProto.INT64)

    def times(self, x: str, values: np.ndarray | int) -> str:
        """x times constants; x itself where all of them are 1."""
        return x if np.all(np.equal(values, 1)) else self("Mul", x, self.numbers(np.asarray(values)))

    def smaller(self, a: str, b: str, largest: int) -> str:
        """The smaller of both, int64, neither beyond `largest` either way. Min, Max and Clip of onnxruntime
        err on integers of more than 32 bits (Eigen takes the low halves of equal high ones for numbers with a
        sign; seen in 1.23): they are for smaller ones and for floats here, and Sign is for none."""
        return self("Min", a, b) if largest <= LARGEST_SMALL else self("Where", self("Less", a, b), a, b)

    def within(self, x: str, least: int, most: int) -> str:
        """x, int64, and `least` or `most` beyond them. In float64: below 2**53 it is exact, and further off
        on the same side."""
        wide = self("Cast", x, to=self.onnx.TensorProto.DOUBLE)
        return self.number(self("Clip", wide, self.constant(float(least)), self.constant(float(most))))

    def unused(self, op: str) -> str:
        """A name that no other tensor has."""
        name = f"{op} {len(self._names)}"
        while name in self._names:
            name += "'"
        self._names.add(name)
        return name

    def _widened(self, array: np.ndarray, to: int) -> str:
        """A constant in a wider type than the file has it in; cast once, outside of loops."""
        short, known = self._stored(array), self.root.known
        if (key := (to, short)) not in known:
            known[key] = self.root("Cast", short, to=to)
        return known[key]

    def _stored(self, array: np.ndarray) -> str:
        key = f"{array.dtype.str}{array.shape}".encode() + hashlib.sha256(array.tobytes()).digest()
        if key not in self.constants:
            self.root.bytes += array.nbytes
            if self.root.bytes > LARGEST_FILE:
                raise OutOfRange(
                    f"{self.path}: its constants take more than {LARGEST_FILE / 1e9:.1f} GB, and an ONNX "
                    f"file of one piece holds 2 GB; write the network with exporters.netx"
                )
            self.constants[key] = self.onnx.numpy_helper.from_array(array, self.unused("constant"))
        return self.constants[key].name


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise BackendMissing(extras.missing("onnx", "onnx")) from error
    return onnx


def over_time(
    g: Nodes, steps: int, states: Sequence[Given], sequences: Sequence[Given], shape: Shape, step: Step
) -> tuple[list[str], list[str]]:
    """States (N, ...) behind the last step, and what each step gives, (T, N, *shape). sequences: (T, N, ...),
    of which a step takes one each, and in front of them its number, counted from 0. One step needs no
    loop."""
    if steps == 1:
        front = g.constant(FRONT)
        now = [g.constant(np.array(0)), *(g("Squeeze", tensor, front) for tensor, _ in sequences)]
        after, given = step(g, [tensor for tensor, _ in states], now)
        return after, [g("Unsqueeze", a, front) for a in given]
    inner = Nodes(g.path, within=g)
    kept, now = ([inner.unused("state") for _ in states], [inner.unused("now") for _ in ("t", *sequences)])
    after, given = step(inner, kept, now)
    results = [inner("Identity", a) for a in (*after, *given)]
    sizes = [size for _, size in states]
    took = [
        _declared(g, now[0], ()),
        *(_declared(g, n, ("N", *size)) for n, (_, size) in zip(now[1:], sequences, strict=True)),
    ]
    gave = [
        _declared(g, n, ("N", *size))
        for n, size in zip(results, (*sizes, *[shape] * len(given)), strict=True)
    ]
    began = [_declared(g, n, ("N", *size)) for n, size in zip(kept, sizes, strict=True)]
    body = g.onnx.helper.make_graph(inner.made, "step", [*began, *took], gave)
    outputs = [g.unused("Scan") for _ in results]
    inputs = [
        *(tensor for tensor, _ in states),
        g.constant(np.arange(steps)),
        *(tensor for tensor, _ in sequences),
    ]
    g.made.append(g.onnx.helper.make_node("Scan", inputs, outputs, body=body, num_scan_inputs=len(took)))
    return outputs[: len(states)], outputs[len(states) :]


def _declared(g: Nodes, name: str, shape: Size, kind: str = "INT64") -> Any:
    return g.onnx.helper.make_tensor_value_info(name, getattr(g.onnx.TensorProto, kind), shape)


def write_model(
    g: Nodes,
    inputs: Sequence[tuple[str, Size, str]],
    outputs: Sequence[tuple[str, Size]],
    told: Mapping[str, str],
    overwrite: bool,
) -> None:
    """The file, checked, whole or not at all. inputs: (name, shape, type); outputs: (name, shape), int64.
    told: its metadata."""
    helper = g.onnx.helper
    graph = helper.make_graph(
        g.made,
        "network",
        [_declared(g, *each) for each in inputs],
        [_declared(g, *each) for each in outputs],
        list(g.constants.values()),
    )
    model = helper.make_model(
        graph,
        producer_name="dnisnm_lava",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, told)
    g.onnx.checker.check_model(model, full_check=True)
    write_whole(g.path, model.SerializeToString(deterministic=True), overwrite=overwrite)
