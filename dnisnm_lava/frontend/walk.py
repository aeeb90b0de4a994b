"""One pass over the traced graph: each node's meaning, what it became, and what it costs."""

from __future__ import annotations

import contextlib
import operator
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dnisnm_lava.coverage import Coverage, Row
from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.frontend import expression as ex
from dnisnm_lava.frontend.expression import Blocked, Expression, Refusal
from dnisnm_lava.frontend.lowering import COMPOSE_LIMIT, Builder, relay_cost, remembered, view
from dnisnm_lava.frontend.moves import ALONG_CHANNELS, MOVES, move
from dnisnm_lava.frontend.operations import LAST, OPERATIONS, Call, remedy
from dnisnm_lava.frontend.trace import BATCH, check_weights, example_of, export, layer_of, line_of, name_of, tensors_of
from dnisnm_lava.ir import AnalogGraph, Input, MaxPool, ReadOut, Rectifier, Relay, sources

POPULATIONS = ("relu", "relu_", "relu6", "clamp", "clamp_", "clamp_min", "clamp_max", "hardtanh", "hardtanh_", "threshold", "max_pool1d",
               "max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool1d", "adaptive_max_pool2d")  # fmt: skip
MATRICES = {"convolution": 1, "conv1d": 1, "conv2d": 1, "linear": 1, "addmm": 2, "mm": 1, "matmul": 1,
            "conv_transpose1d": 1, "conv_transpose2d": 1}  # operation -> which argument is its weight  # fmt: skip
VIEWS = ("aten.view", "aten._unsafe_view", "aten.reshape", "aten.flatten")
MERGEABLE = (*VIEWS, "aten.addmm", "aten.mm", "aten.relu", "aten.relu_", "aten.hardtanh", "aten.clone", "aten.detach", "aten.alias")
SHAPES_ONLY = tuple(f"aten.{n}" for n in ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full"))


def from_torch(model: torch.nn.Module, example_input: Any) -> AnalogGraph:
    """The ANN as populations and projections, in float64, batch norm folded.

    example_input: one image (C, H, W) or a batch (N, C, H, W), features (F,) or (N, F), sequences (C, L) or
    (N, C, L) for a network of 1-D convolutions; only its shape matters. The model is traced in eval mode and left
    as it was. UnsupportedModel names the operation and the line of `forward` that has no exact meaning;
    OutOfRange tells of NaN or infinity in the weights. A UserWarning tells what was left out behind the last layer.
    """
    walk = _walked(model, example_input)
    for notice in walk.notices:
        warnings.warn(notice, UserWarning, stacklevel=3)
    return walk.build.graph()


def inspect(model: torch.nn.Module, example_input: Any) -> Coverage:
    """What each operation of the model becomes, with its line, shapes, parameters and multiplications; arguments
    and errors as from_torch."""
    walk = _walked(model, example_input)
    return _coverage(walk, type(model).__name__)


def _walked(model: torch.nn.Module, example_input: Any) -> _Walk:
    check_weights(model)
    example = example_of(model, example_input)
    walk = _Walk(export(model, example), tuple(example.shape[1:]))
    walk.run()
    return walk


class _Walk:
    """`value` holds what each node means, until its last reader has had it."""

    def __init__(self, program: Any, input_shape: tuple[int, ...]) -> None:
        self.nodes = list(program.graph_module.graph.nodes)
        self.outputs = set(program.graph_signature.user_outputs)
        self.build = Builder((input_shape[0], 1, input_shape[1]) if len(input_shape) == 2 else input_shape)
        self.value: dict[Any, Any] = {}
        self.parameter: dict[Any, str] = {}
        self.left = {n: len(n.users) for n in self.nodes}
        self.readers: dict[Any, frozenset[Any]] = {}
        self.notes: list[_Note] = []
        self.unread = set(program.graph_signature.inputs_to_parameters.values())
        self.notices: list[str] = []
        named, tensors = tensors_of(program)
        for node in self.nodes:
            if node.op == "placeholder":
                name = named.get(node.name)
                if name is None:
                    first = self.build.populations[0]
                    assert isinstance(first, Input)
                    self.value[node] = view(Expression.of(first.name, first.shape), input_shape)
                else:
                    self.value[node], self.parameter[node] = tensors[name], name

    def run(self) -> None:
        for node in self.nodes:
            if node.op == "call_function":
                self.value[node] = self._settled(node, self._meaning(node))
                self._free(node)
            elif node.op == "get_attr":
                raise UnsupportedModel(
                    f"{node.target}: a branch or a loop that depends on the input (torch.cond and its like) has no meaning in spikes; "
                    "make forward free of data-dependent control flow"
                )
            elif node.op == "output":
                self._read_outs(node)
        self.value.clear()

    def _free(self, node: Any) -> None:
        for source in node.all_input_nodes:
            self.left[source] -= 1
            if self.left[source] == 0:
                self.value.pop(source, None)

    # ------------------------------------------------------------ one node

    def _meaning(self, node: Any) -> Any:
        args, kwargs = self._filled(node.args), self._filled(node.kwargs)
        if node.target is operator.getitem:
            return self._item(node, args)
        if not _has_expression((args, kwargs)):
            return self._constant(node, args, kwargs)
        if name_of(node) in SHAPES_ONLY:
            return self._constant(node, *_replaced((args, kwargs), iter([torch.zeros(node.args[0].meta["val"].shape)])))
        name, before = name_of(node), len(self.build.populations)
        try:
            value = self._applied(node, name, args, kwargs)
        except Refusal as reason:
            raise self._refused(node, str(reason)) from None
        except Blocked:
            raise self._refused(node, "its input is a view of maps that no channels, rows and columns say; keep maps as maps") from None
        _check_shape(node, value)
        makes = name.removeprefix("aten.") in POPULATIONS
        made = tuple(p.name for p in self.build.populations[before:] if not isinstance(p, Relay)) if makes else None
        self.notes.append(_Note(node, made, self._parameters(node)))
        return value if makes else remembered(value, node.name)

    def _applied(self, node: Any, name: str, args: Any, kwargs: Any) -> Any:
        if name not in MERGEABLE and any(e.merged for e in _expressions((args, kwargs))):
            raise Refusal("it works on images that a view joined with the batch; keep the batch axis first and apart")
        if name in MOVES:
            return self._moved(node, name, args, kwargs)
        call = Call(node, name, args, kwargs, self.build, self._label(node))
        if name in LAST and self._leads_out(node):
            self.notices.append(f"{name} at {line_of(node)} was left out: behind the last layer it does not change the class")
            return LAST[name](call)
        if name not in OPERATIONS:
            raise Refusal(remedy(name))
        return OPERATIONS[name](call)

    def _moved(self, node: Any, name: str, args: Any, kwargs: Any) -> Any:
        if name in VIEWS:
            return _viewed(args[0], node.meta["val"].shape)
        if name in ("aten.cat", "aten.stack"):
            args = ([_as_expression(a) for a in args[0]], *args[1:])
        parts = list(_expressions((args, kwargs)))
        if len(parts) == 1 and name == "aten.slice" and _shapes(node) == [parts[0].shape]:
            return parts[0]

        def run(tensors: list[torch.Tensor]) -> Any:
            feed = iter(tensors)
            a, k = _replaced(args, feed), _replaced(kwargs, feed)
            return node.target(*a, **k)

        short = name.removeprefix("aten.")
        axis = f"{short}@{_axis(short, args, kwargs, len(parts[0].shape) + 1)}" if short in ALONG_CHANNELS else ""
        return move(parts, run, axis)

    def _item(self, node: Any, args: Any) -> Any:
        values, index = args
        if not isinstance(values, list | tuple):
            return values[index]
        if values[index] is None and node.users:
            raise self._refused(node, "only the first result of the operation before it has a meaning here")
        return values[index]

    def _constant(self, node: Any, args: Any, kwargs: Any) -> Any:
        first = next((a for a in node.all_input_nodes if a in self.parameter), None)
        if first is not None:
            self.parameter[node] = self.parameter[first]
        with torch.no_grad():
            return node.target(*args, **kwargs)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return self.value[value]
        if isinstance(value, list | tuple):
            return type(value)(self._filled(v) for v in value) if type(value) in (list, tuple) else [self._filled(v) for v in value]
        return {k: self._filled(v) for k, v in value.items()} if isinstance(value, dict) else value

    def _refused(self, node: Any, reason: str) -> UnsupportedModel:
        return UnsupportedModel(f"{node.target} at {line_of(node)}{layer_of(node)}: {reason}")

    def _label(self, node: Any) -> str:
        """The layer that owns the node's weights, else the node's own name."""
        owner = next((self.parameter[a] for a in node.all_input_nodes if a in self.parameter), f"{node.name}.weight")
        return owner.rsplit(".", 1)[0]

    def _parameters(self, node: Any) -> int:
        """Trained parameters that this node is the first to read."""
        read = {self.parameter[a]: self.value[a] for a in node.all_input_nodes if a in self.parameter}
        new = {name: tensor for name, tensor in read.items() if name in self.unread}
        self.unread.difference_update(new)
        return sum(tensor.numel() for tensor in new.values() if isinstance(tensor, torch.Tensor))

    def _leads_out(self, node: Any) -> bool:
        return all(u.op == "output" or (name_of(u) in MOVES and self._leads_out(u)) for u in node.users)

    def _read_outs(self, node: Any) -> None:
        for output in node.args[0]:
            name = getattr(output, "name", None)
            if name is not None and name not in self.outputs:
                continue  # a buffer that the model writes to
            e = self.value.get(output)
            if not isinstance(e, Expression):
                raise UnsupportedModel(f"forward returns {output}, which does not depend on the input; return tensors computed from it")
            try:
                self.build.read_out(e)
            except (Refusal, Blocked) as reason:
                raise UnsupportedModel(f"output {name} at {line_of(output)}: {str(reason) or 'its layout is not that of maps'}") from None

    # ------------------------------------------------------------ compose, or relay

    def _settled(self, node: Any, value: Any) -> Any:
        """A linear tensor that several read: itself, or a two-sided population, whichever costs less."""
        if not isinstance(value, Expression) or len(node.users) < 2 or not (value.is_composite or len(value.terms) > 1):
            return value
        composed, alone = np.sum([self._reading(value, reader) for reader in self._readers(node)], axis=0)
        if composed <= COMPOSE_LIMIT * (relay_cost(value) + alone):
            return value
        with contextlib.suppress(Refusal):  # a layout that no population has: its readers compose
            return self.build.relay(value, strip=True)
        return value

    def _readers(self, node: Any) -> frozenset[Any]:
        """The matrices, convolutions and populations that read a tensor, through what costs nothing."""
        if node not in self.readers:
            found: set[Any] = set()
            for user in node.users:
                short = name_of(user).removeprefix("aten.")
                if user.op == "output" or short in MATRICES or short in POPULATIONS:
                    found.add(user)
                else:
                    found |= self._readers(user)
            self.readers[node] = frozenset(found)
        return self.readers[node]

    def _reading(self, e: Expression, reader: Any) -> tuple[float, float]:
        """Multiplications of one reader of e: composed with what e is, and of e as a population."""
        size = float(np.prod(e.shape))
        short = "" if reader.op == "output" else name_of(reader).removeprefix("aten.")
        if short not in MATRICES:
            return float(sum(t.cost if t.linear is not None else size * t.layout.share for t in e.terms)), size
        weight, out = reader.args[MATRICES[short]].meta["val"].shape, reader.meta["val"].shape
        if short in ("addmm", "mm", "matmul"):
            weight = weight[::-1]
        positions = float(np.prod(out[2:])) if len(weight) > 2 else float(np.prod(out[1:-1]))
        alone = float(np.prod(weight)) * positions * min(1.0, e.shape[0] / max(1, weight[1]) if len(weight) > 2 else 1.0)
        composed = 0.0
        for t in e.terms:
            if t.linear is None:
                composed += alone * t.layout.share
            elif len(weight) == 2:
                composed += weight[0] * float(np.prod(t.read)) * positions
            else:
                kernel = float(np.prod(weight[2:]))
                if t.linear.is_conv:
                    kernel *= float(np.prod(t.linear.weight.shape[2:]))
                composed += weight[0] * len(t.channels) * kernel * positions
        return composed, alone


def _as_expression(value: Any) -> Expression:
    """A constant among the parts of a concatenation."""
    if isinstance(value, Expression):
        return value
    a = value.detach().cpu().double().numpy()
    if a.shape[0] != BATCH or (a != a[:1]).any():
        raise Refusal("it joins feature maps with a constant that differs between the images of a batch")
    return Expression((), ex.compact(a[0]), a.shape[1:])


def _viewed(e: Expression, shape: Any) -> Expression:
    """e as a view of `shape`, with a batch axis or one that the batch is merged with."""
    if shape[0] == BATCH:
        return replace(view(e, tuple(shape[1:])), merged=False)
    if shape[0] % BATCH:
        raise Refusal(f"it views images as {tuple(shape)} and mixes them; keep the batch axis first and apart")
    return replace(view(e, (shape[0] // BATCH, *shape[1:])), merged=True)


def _has_expression(value: Any) -> bool:
    return next(_expressions(value), None) is not None


def _expressions(value: Any) -> Any:
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _expressions(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from _expressions(v)


def _replaced(value: Any, feed: Any) -> Any:
    """The same arguments with a tensor of `feed` in place of each Expression."""
    if isinstance(value, Expression):
        return next(feed)
    if isinstance(value, list | tuple):
        return type(value)(_replaced(v, feed) for v in value)
    return {k: _replaced(v, feed) for k, v in value.items()} if isinstance(value, dict) else value


def _axis(name: str, args: Any, kwargs: Any, rank: int) -> int:
    position = 2 if name in ("split", "split_with_sizes", "chunk", "tensor_split") else 1
    axis = args[position] if len(args) > position else kwargs.get("dim", 0)
    return axis % rank if isinstance(axis, int) else -1


def _shapes(node: Any) -> list[tuple[int, ...] | None]:
    value = node.meta.get("val")
    return [None if v is None else tuple(v.shape[1:]) for v in (value if isinstance(value, list | tuple) else [value])]


def _check_shape(node: Any, value: Any) -> None:
    """What was understood has the shape that torch says."""
    got = [v.shape if isinstance(v, Expression) else None for v in (value if isinstance(value, list | tuple) else [value])]
    for mine, true in zip(got, _shapes(node), strict=False):
        assert mine is None or true is None or mine[-len(true) :] == true, f"{node.target}: understood as {mine}, is {true}"


# ---------------------------------------------------------------- coverage


@dataclass(frozen=True)
class _Note:
    node: Any
    made: tuple[str, ...] | None  # populations; None for an operation that makes none
    parameters: int


def _coverage(walk: _Walk, model: str) -> Coverage:
    graph = walk.build.graph()
    kept = {p.name for p in graph}
    relays = {p.name for p in graph.of(Relay)}
    rows = tuple(_row(walk, note, kept, relays) for note in walk.notes)
    kinds = (Input, Rectifier, Relay, MaxPool, ReadOut)
    projections = [(q, graph[q.source].shape) for p in graph if isinstance(p, Rectifier | Relay | ReadOut) for q in p.projections]
    depth: dict[str, int] = {}
    for p in graph:
        depth[p.name] = max((1 + depth[s] for s in sources(p)), default=0)
    return Coverage(
        model, rows, {k.__name__: len(graph.of(k)) for k in kinds}, len(projections),
        neurons=sum(int(np.prod(p.shape)) for p in graph if not isinstance(p, Input)),
        parameters=sum(r.parameters for r in rows), macs=sum(r.macs for r in rows),
        graph_macs=sum(q.macs(shape) for q, shape in projections), depth=max(depth.values()), notices=tuple(walk.notices),
    )  # fmt: skip


def _row(walk: _Walk, note: _Note, kept: set[str], relays: set[str]) -> Row:
    node = note.node
    name = name_of(node)
    short = name.removeprefix("aten.")
    places = [p for p in walk.build.became.get(node.name, []) if p in kept]
    shown = ", ".join(f"{p} (two-sided relay)" if p in relays else p for p in dict.fromkeys(places))
    dropped = name in LAST
    if dropped:
        became = "left out: behind the last layer"
    elif note.made is not None:
        became = "population " + (", ".join(n for n in note.made if n in kept) or "of its input, which it leaves as it is")
    elif not shown:
        became = "nothing: no output reads it"
    elif short in MATRICES:
        became = f"projection into {shown}"
    else:
        became = f"part of the projection into {shown}"
    inputs = tuple(
        tuple(a.meta["val"].shape[1:]) for a in node.all_input_nodes if hasattr(a.meta.get("val"), "shape") and a not in walk.parameter
    )
    output = next((s for s in _shapes(node) if s is not None), ())
    macs = 0
    if short in MATRICES:
        weight = node.args[MATRICES[short]].meta["val"]
        positions = output if "transpose" not in short and not (short == "convolution" and node.args[6]) else (0, *inputs[0])
        macs = int(weight.numel() * np.prod(positions[1:] if weight.ndim > 2 else positions[:-1], dtype=np.int64))
    return Row(name, walk._label(node), line_of(node), became, "dropped" if dropped else "exact", inputs, output, note.parameters, macs)
