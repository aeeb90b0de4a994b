"""One pass over the traced graph: each node's meaning, what it became, and what it costs."""

from __future__ import annotations

import contextlib
import math
import operator
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.fx.node import map_aggregate

from dnisnm_lava.data.forward import check_arguments, refuse_other_inputs
from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.frontend import activations, layers, moves, neutral, rectifiers, spatial, writes  # noqa: F401, they fill the table
from dnisnm_lava.frontend.call import Call
from dnisnm_lava.frontend.coverage import Coverage
from dnisnm_lava.frontend.expression import Blocked, Expression, Refusal, TooLarge
from dnisnm_lava.frontend.fusion import Fused, Fusion
from dnisnm_lava.frontend.lowering import Builder
from dnisnm_lava.frontend.moves import as_images, move
from dnisnm_lava.frontend.nodes import (
    axis_of,
    check_shape,
    expressions_in,
    has_expression,
    has_opaque,
    is_padding,
    is_passing,
    is_reshaping,
    replaced,
    shapes_of,
    sizes_of,
)
from dnisnm_lava.frontend.outputs import names_of
from dnisnm_lava.frontend.refusals import (
    MERGED,
    WHOLE,
    Opaque,
    Refused,
    is_unknown,
    refused,
    sentence,
    unknown,
    whole_layer,
)
from dnisnm_lava.frontend.rows import Note, coverage_of
from dnisnm_lava.frontend.sharing import Readers, relaying_pays
from dnisnm_lava.frontend.soundness import check_model
from dnisnm_lava.frontend.table import Kind, Operation, is_kind, operation_of, remedy
from dnisnm_lava.frontend.tensors import padded, remembered, view
from dnisnm_lava.frontend.trace import BATCH, example_of, export, line_of, name_of, tensors_of
from dnisnm_lava.ir import AnalogGraph, Product, Relay
from dnisnm_lava.ir.functions import ALONG_AN_AXIS

BRANCH = (
    "a branch or a loop that depends on the input (torch.cond and its like) has no meaning in spikes; "
    "make forward free of data-dependent control flow"
)


@dataclass(frozen=True)
class Traced:
    """A model as a graph, and what became of each of its operations. analog: None where an operation is
    refused; sentence: why."""

    analog: AnalogGraph | None
    coverage: Coverage
    sentence: str = ""

    @property
    def graph(self) -> AnalogGraph:
        """UnsupportedModel where an operation is refused."""
        if self.analog is None:
            raise UnsupportedModel(self.sentence)
        return self.analog


def trace(model: torch.nn.Module, example_input: Any) -> Traced:
    """Graph and coverage at once, in float64, batch norm folded.

    example_input: one image (C, H, W) or a batch (N, C, H, W), features (F,) or (N, F), sequences (C, L) or
    (N, C, L) for a network of 1-D convolutions; only its shape matters. The model is traced in eval mode and
    left as it was. What has no exact meaning is among the rows of the coverage, with operation, line and
    remedy, and its graph raises UnsupportedModel; OutOfRange tells of NaN or infinity in the weights.
    """
    walk = _walked(model, example_input)
    graph = None if walk.refused else walk.build.graph()
    coverage = coverage_of(
        type(model).__name__, graph, walk.build.populations, walk.notes, walk.build.became, walk.notices
    )
    return Traced(graph, coverage, sentence(walk.refused) if walk.refused else "")


def from_torch(model: torch.nn.Module, example_input: Any) -> AnalogGraph:
    """The graph of `trace`. UnsupportedModel where an operation is refused; a UserWarning tells what was left
    out behind the last layer."""
    traced = trace(model, example_input)
    graph = traced.graph
    for notice in traced.coverage.notices:
        warnings.warn(notice, UserWarning, stacklevel=3)
    return graph


def inspect(model: torch.nn.Module, example_input: Any) -> Coverage:
    """The coverage of `trace`: all operations that would be refused are among the rows, with reason and
    remedy; errors are those of a model that cannot be traced at all."""
    return trace(model, example_input).coverage


def _walked(model: torch.nn.Module, example_input: Any) -> _Walk:
    check_model(model)
    check_arguments(model)
    example = example_of(model, example_input)
    try:
        program = export(model, example)
    except UnsupportedModel:
        refuse_other_inputs(model, example)
        raise
    labels: dict[str, np.ndarray] = {}
    while True:
        walk = _Walk(program, tuple(example.shape[1:]), labels)
        walk.run()
        final = walk.refused and not walk.blocked  # no order of neurons gives an operation a meaning
        if final or len(walk.build.next_labels) == len(labels):
            return walk
        labels = walk.build.next_labels  # once more, with neurons labelled as their readers see them


class _Walk:
    """`value` holds what each node means, until its last reader has had it."""

    def __init__(self, program: Any, input_shape: tuple[int, ...], labels: Mapping[str, np.ndarray]) -> None:
        self.nodes = list(program.graph_module.graph.nodes)
        self.outputs = set(program.graph_signature.user_outputs)
        self.names = names_of(program)
        self.build = Builder(
            (input_shape[0], 1, input_shape[1]) if len(input_shape) == 2 else input_shape, labels, self.names
        )
        self.value: dict[Any, Any] = {}
        self.parameter: dict[Any, str] = {}
        self.left = {n: len(n.users) for n in self.nodes}
        self.readers: dict[Any, Readers] = {}
        self.notes: list[Note] = []
        self.unread = set(program.graph_signature.inputs_to_parameters.values())
        self.notices: list[str] = []
        self.functions: dict[Any, tuple[str, int]] = {}  # left out behind the last layer
        self.refused: list[Refused] = []
        self.blocked = False  # by a layout, which another order of neurons may have no need of
        self.whole: set[tuple[str, str]] = set()  # layers that were refused as one
        named, tensors = tensors_of(program)
        for node in self.nodes:
            if node.op == "placeholder":
                name = named.get(node.name)
                if name is None:
                    self.value[node] = view(self.build.image, input_shape)
                else:
                    self.value[node], self.parameter[node] = tensors[name], name
        self.fusion = Fusion(self.nodes, {n: v for n, v in self.value.items() if n in self.parameter})
        self.bases = {fused.base: self.value.get(fused.base) for fused in self.fusion.ends.values()}

    def run(self) -> None:
        for node in self.nodes:
            if node.op == "call_function":
                self.value[node] = self._settled(node, self._understood(node))
                self._keep(node)
                self._free(node)
            elif node.op == "get_attr":
                self.value[node] = Opaque()
                self._refuse(node, node.target, BRANCH)
            elif node.op == "output":
                self._read_outs(node)
        self.value.clear()

    def _keep(self, node: Any) -> None:
        """What functions of several operations begin at is needed at their ends."""
        if node in self.bases:
            self.bases[node] = self.value[node]

    def _free(self, node: Any) -> None:
        for source in node.all_input_nodes:
            self.left[source] -= 1
            if self.left[source] == 0:
                self.value.pop(source, None)

    def _settled(self, node: Any, value: Any) -> Any:
        """A linear tensor that several read as a population, where that pays."""
        if isinstance(value, Expression) and relaying_pays(node, value, self.readers, self.fusion):
            with contextlib.suppress(Refusal):  # a layout that no population has: its readers compose
                return self.build.relay(value, strip=True)
        return value

    # ------------------------------------------------------------ what is refused

    def _understood(self, node: Any) -> Any:
        """What the node means; where it is refused, or depends on what is, a tensor of which nothing is
        known."""
        inputs = [self.value.get(a) for a in node.all_input_nodes]
        layer = whole_layer(node) if has_expression(inputs) or has_opaque(inputs) else None
        try:
            if layer is not None:
                return self._layer(node, layer)
            if has_opaque(inputs) and node.target is not operator.getitem:
                return self._of_opaque(node)
            return self._meaning(node)
        except TooLarge as reason:
            self.blocked = True
            if not is_unknown(expressions_in(inputs)):
                self._refuse(node, node.target, str(reason))
        except Blocked:
            self.blocked = True
            if not is_unknown(expressions_in(inputs)):
                self._refuse(
                    node,
                    node.target,
                    "its input is a view of maps that no channels, rows and columns say; keep maps as maps",
                )
        except Refusal as reason:
            if not node.users or not all(
                whole_layer(user) for user in node.users
            ):  # else what matters is the layer that reads it
                self._refuse(
                    node, node.args[0].target if node.target is operator.getitem else node.target, str(reason)
                )
        return unknown(node)

    def _layer(self, node: Any, layer: tuple[str, str]) -> Any:
        """One refusal for all operations of a layer that torch takes apart."""
        path, kind = layer
        if layer not in self.whole:
            self.whole.add(layer)
            self._refuse(node, kind, WHOLE[kind], path)
        return unknown(node)

    def _of_opaque(self, node: Any) -> Any:
        """Behind what was refused, only what is refused whatever it reads."""
        known = operation_of(node)
        if known is None or (known.kind is Kind.LAST and known.inside is None):
            self._refuse(node, node.target, remedy(name_of(node)))
        return unknown(node)

    def _refuse(self, node: Any, operation: Any, reason: str, label: str = "") -> None:
        self.refused.append(refused(node, operation, reason))
        shapes = tuple(
            shapes_of(a)[0] or () for a in node.all_input_nodes if has_expression(self.value.get(a))
        )
        self.notes.append(
            Note(node, label or self._label(node), shapes, None, self._parameters(node), self.refused[-1])
        )

    # ------------------------------------------------------------ one node

    def _meaning(self, node: Any) -> Any:
        args, kwargs = self._filled(node.args), self._filled(node.kwargs)
        if node.target is operator.getitem:
            return self._item(node, args)
        if not has_expression((args, kwargs)):
            return self._constant(node, args, kwargs)
        if is_kind(node, Kind.SHAPE):
            return self._constant(
                node, *replaced((args, kwargs), iter([torch.zeros(node.args[0].meta["val"].shape)]))
            )
        if node in self.fusion.part_of:  # its base, handed on to the end of the function that it is a part of
            self._note(node, None)
            return next(expressions_in((args, kwargs)))
        name, before = name_of(node), len(self.build.populations)
        fused = self.fusion.ends.get(node)
        value = self._applied(node, name, args, kwargs) if fused is None else self._ended(node, fused)
        check_shape(node, value)
        makes = self._makes(node) or any(isinstance(p, Product) for p in self.build.populations[before:])
        made = (
            tuple(p.name for p in self.build.populations[before:] if not isinstance(p, Relay))
            if makes
            else None
        )
        self._note(node, made)
        return value if makes else remembered(value, node.name)

    def _makes(self, node: Any) -> bool:
        """Is it a population by itself?"""
        inside = is_kind(node, Kind.LAST) and node not in self.functions
        return node in self.fusion.ends or inside or is_kind(node, Kind.POPULATION)

    def _note(self, node: Any, made: tuple[str, ...] | None) -> None:
        inputs = tuple(shapes_of(a)[0] or () for a in node.all_input_nodes if has_expression(self.value[a]))
        part = node in self.fusion.part_of
        self.notes.append(Note(node, self._label(node), inputs, made, self._parameters(node), part=part))

    def _ended(self, node: Any, fused: Fused) -> Expression:
        """The function of its base that several operations are together."""
        e = self.bases[fused.base]
        if not isinstance(e, Expression):
            raise Refusal("it works on what is no feature map; keep the batch axis first and apart")
        e = replace(e, nodes=e.nodes | {n.name for n in (*fused.inside, node)})
        call = Call(node, name_of(node), (e,), {}, self.build, self._label(node))
        return activations.fused(call, fused)

    def _applied(self, node: Any, name: str, args: Any, kwargs: Any) -> Any:
        known = operation_of(node)
        if not (known and known.merges) and any(e.merged for e in expressions_in((args, kwargs))):
            raise Refusal(MERGED)
        if known is None:
            raise Refusal(remedy(name))
        if known.kind is Kind.MOVE:
            return self._moved(node, known, args, kwargs)
        call = Call(node, name, args, kwargs, self.build, self._label(node))
        if known.kind is not Kind.LAST:
            assert known.meaning is not None
            return known.meaning(call)
        assert known.meaning is not None
        leads_out = self._leads_out(node, known.function in ALONG_AN_AXIS)
        function = known.meaning(call) if leads_out else None
        if function is None:
            if known.inside is None:
                raise Refusal(remedy(name))
            return known.inside(call)
        self.functions[node] = function
        self.notices.append(
            f"{name} at {line_of(node)} was left out: behind the last layer it does not change the "
            f"class; values have it applied"
        )
        return (call.expression(), None) if "forward" in name else call.expression()

    def _moved(self, node: Any, known: Operation, args: Any, kwargs: Any) -> Any:
        if known.views:
            return _viewed(args[0], node.meta["val"].shape)
        if known.name in ("cat", "stack"):
            args = ([as_images(a) for a in args[0]], *args[1:])
        parts = list(expressions_in((args, kwargs)))
        if known.value is not None:
            args, kwargs, value = self._without_value(node, known.value, args, kwargs)
        else:
            value = 0.0
        if len(parts) == 1 and known.name == "slice" and shapes_of(node) == [parts[0].shape]:
            return parts[0]

        def run(tensors: list[torch.Tensor]) -> Any:
            feed = iter(tensors)
            a, k = replaced(args, feed), replaced(kwargs, feed)
            return node.target(*a, **k)

        axis = None if known.axis is None else axis_of(known.axis, args, kwargs, len(parts[0].shape) + 1)
        moved = move(parts, run, axis)
        return (
            moved
            if value == 0
            else padded(moved, value, run([torch.ones(BATCH, *parts[0].shape)])[0].numpy())
        )

    def _without_value(self, node: Any, place: int, args: Any, kwargs: Any) -> tuple[Any, Any, float]:
        """The arguments of a constant pad with zero for its value, and the value, which is the argument at
        `place`."""
        value = args[place] if len(args) > place else kwargs.get("value", 0)
        args, kwargs = (*args[:place], *args[place + 1 :]), {k: v for k, v in kwargs.items() if k != "value"}
        if value is None or value == 0:
            return args, kwargs, 0.0
        reach = min((min(u.args[1]) for u in node.users if "max_pool" in name_of(u)), default=0)
        pools = (
            all("max_pool" in name_of(u) for u in node.users) and max(args[1]) < reach
        )  # each window sees a pixel
        if value < 0 and pools and self.build.is_nonnegative(args[0]):
            return args, kwargs, 0.0  # no maximum of what is never negative changes
        if not math.isfinite(value):
            raise Refusal(f"it pads with {value}; give max_pool2d its padding, which never wins a maximum")
        return args, kwargs, float(value)

    def _item(self, node: Any, args: Any) -> Any:
        values, index = args
        if not isinstance(values, list | tuple):
            return values[index]
        if values[index] is None and node.users:
            raise Refusal("only the first result of the operation before it has a meaning here")
        return values[index]

    def _constant(self, node: Any, args: Any, kwargs: Any) -> Any:
        """What does not depend on the input: computed in float64, as what is folded into it later is."""
        if not is_kind(node, Kind.MOVE):
            args, kwargs = _wide(args), _wide(kwargs)
        first = next((a for a in node.all_input_nodes if a in self.parameter), None)
        if first is not None:
            self.parameter[node] = self.parameter[first]
        try:
            with torch.no_grad():
                made = node.target(*args, **kwargs)
            return torch.zeros_like(made) if "empty" in name_of(node) else made  # whatever memory held
        except Exception as error:  # whatever the model's own operation raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Refusal(f"it failed ({reason}); check the input's shape, and that forward runs") from error

    def _filled(self, value: Any) -> Any:
        return map_aggregate(value, lambda v: self.value[v] if isinstance(v, torch.fx.Node) else v)

    def _label(self, node: Any) -> str:
        """The layer that owns the node's weights, else the node's own name."""
        owner = next(
            (self.parameter[a] for a in node.all_input_nodes if a in self.parameter), f"{node.name}.weight"
        )
        return owner.rsplit(".", 1)[0]

    def _parameters(self, node: Any) -> int:
        """Trained parameters that this node is the first to read."""
        read = {self.parameter[a]: self.value[a] for a in node.all_input_nodes if a in self.parameter}
        new = {name: tensor for name, tensor in read.items() if name in self.unread}
        self.unread.difference_update(new)
        return sum(tensor.numel() for tensor in new.values() if isinstance(tensor, torch.Tensor))

    def _leads_out(self, node: Any, along: bool) -> bool:
        """Does only the output read it, through moves alone; along an axis, with axes of length one more or
        less?"""

        def hands_on(user: Any) -> bool:
            if along:
                return is_reshaping(user) and sizes_of(user) == sizes_of(node)
            return is_passing(user) and not is_padding(user) and user.all_input_nodes == [node]

        return all(hands_on(u) and self._leads_out(u, along) for u in node.users if u.op != "output")

    def _function(self, output: Any, shape: tuple[int, ...]) -> tuple[str, int]:
        """(function, axis of the output of `shape`) that was left out on the way to it."""
        node = output
        while node not in self.functions and is_passing(node) and len(node.all_input_nodes) == 1:
            node = node.all_input_nodes[0]
        name, axis = self.functions.get(node, ("", 0))
        if name not in ALONG_AN_AXIS or node is output:
            return name, axis
        return name, next(
            i for i, n in enumerate(shape) if n > 1
        )  # it is the first axis longer than 1, before and behind

    def _read_outs(self, node: Any) -> None:
        written = len(node.args[0]) - len(self.names)  # buffers that the model writes to stand first
        for output, named in zip(node.args[0], [""] * written + self.names, strict=True):
            name = getattr(output, "name", None)
            if output is None or (name is not None and name not in self.outputs):
                continue  # nothing, or a buffer that the model writes to
            e = self.value.get(output)
            if isinstance(e, Opaque):
                continue
            try:
                if not isinstance(e, Expression):
                    raise Refusal(
                        f"forward returns {output}, which does not depend on the input; return tensors "
                        f"computed from it"
                    )
                self.build.read_out(e, *self._function(output, e.shape), named)
            except (Refusal, Blocked) as reason:
                self.blocked |= isinstance(reason, Blocked | TooLarge)
                if not (isinstance(e, Expression) and is_unknown([e])):
                    self._refuse_output(
                        node, output, str(reason) or "its layout is not that of maps; keep maps as maps"
                    )

    def _refuse_output(self, node: Any, output: Any, reason: str) -> None:
        known = isinstance(output, torch.fx.Node)
        self.refused.append(refused(output if known else node, f"output {output}", reason))
        self.notes.append(Note(output if known else node, str(output), (), None, 0, self.refused[-1]))


def _viewed(e: Expression, shape: Any) -> Expression:
    """e as a view of `shape`: with a batch axis, or one that the batch is merged with, behind an axis of
    length one or first."""
    if len(shape) == 3 and shape[0] == 1 and shape[1] % BATCH == 0:  # as einsum writes products with a matrix
        return replace(view(e, (shape[1] // BATCH, shape[2])), merged=True)
    if shape[0] == BATCH:
        return replace(view(e, tuple(shape[1:])), merged=False)
    if shape[0] % BATCH:
        raise Refusal(
            f"it views images as {tuple(shape)} and mixes them; keep the batch axis first and apart"
        )
    return replace(view(e, (shape[0] // BATCH, *shape[1:])), merged=True)


def _wide(value: Any) -> Any:
    return map_aggregate(
        value, lambda v: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
    )
