"""What became of each operation, in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnisnm_lava.frontend.coverage import Coverage, Row
from dnisnm_lava.frontend.refusals import Refused
from dnisnm_lava.frontend.table import Kind, is_kind, named, operation_of, weight_of
from dnisnm_lava.frontend.trace import BATCH, line_of, name_of
from dnisnm_lava.ir import (
    Activation,
    AnalogGraph,
    Input,
    MaxPool,
    Population,
    Product,
    ReadOut,
    Rectifier,
    Relay,
    Shape,
    Smooth,
    sources,
)


@dataclass(frozen=True)
class Note:
    """What the walk noted of a node. inputs: shapes of those that depend on the image. made: the populations
    that it is; None for an operation that makes none. refused: why it has no meaning, where it has none.
    part: is it one of several operations that are one function together?"""

    node: Any
    label: str
    inputs: tuple[Shape, ...]
    made: tuple[str, ...] | None
    parameters: int
    refused: Refused | None = None
    part: bool = False


def coverage_of(
    model: str,
    graph: AnalogGraph | None,
    built: Sequence[Population],
    notes: Sequence[Note],
    became: Mapping[str, list[str]],
    notices: Sequence[str],
) -> Coverage:
    """graph: of what was built, or None where an operation was refused. became: {node: populations whose
    projections hold it}."""
    kept = {p.name: p for p in (built if graph is None else graph)}
    rows = tuple(_row(note, kept, became.get(note.node.name, [])) for note in notes)
    if graph is None:
        parameters, macs = sum(r.parameters for r in rows), sum(r.macs for r in rows)
        return Coverage(model, rows, {}, 0, 0, parameters, macs, 0, 0, tuple(notices))
    kinds = (Input, Rectifier, Relay, Activation, Product, MaxPool, ReadOut)
    projections = [
        (q, graph[q.source].shape)
        for p in graph
        if isinstance(p, Rectifier | Relay | Activation | ReadOut)
        for q in p.projections
    ]
    depth: dict[str, int] = {}
    for p in graph:
        depth[p.name] = max((1 + depth[s] for s in sources(p)), default=0)
    return Coverage(
        model,
        rows,
        {k.__name__: len(graph.of(k)) for k in kinds},
        len(projections),
        neurons=sum(int(np.prod(p.shape)) for p in graph if not isinstance(p, Input)),
        parameters=sum(r.parameters for r in rows),
        macs=sum(r.macs for r in rows),
        graph_macs=sum(q.macs(shape) for q, shape in projections),
        depth=max(depth.values()),
        notices=tuple(notices),
    )


def _row(note: Note, kept: Mapping[str, Population], places: Sequence[str]) -> Row:
    node = note.node
    value = node.meta.get("val")
    first = value[0] if isinstance(value, list | tuple) else value
    output = tuple(first.shape[1:]) if hasattr(first, "shape") else ()
    if note.refused is not None:
        reason, _, now = note.refused.reason.partition("; ")
        operation, line = note.refused.packet, note.refused.line
        return Row(
            operation,
            note.label,
            line,
            "",
            "refused",
            note.inputs,
            output,
            note.parameters,
            0,
            reason,
            now,
            _called(operation),
        )
    how, became = _how(note, kept, places), _became(note, kept, places)
    name = name_of(node)
    macs = _macs(node)
    return Row(
        name,
        note.label,
        line_of(node),
        became,
        how,
        note.inputs,
        output,
        note.parameters,
        macs,
        called=_called(name),
    )


def _called(name: str) -> str:
    found = named(name)
    return "" if found is None else found.shown


def _is_left_out(note: Note) -> bool:
    return is_kind(note.node, Kind.LAST) and note.made is None and not note.part


def _how(note: Note, kept: Mapping[str, Population], places: Sequence[str]) -> str:
    """`approximated`: by a curve that calibration chooses."""
    if _is_left_out(note):
        return "dropped"
    own = [kept[n] for n in (places if note.part else note.made or ()) if n in kept]
    smooth = any(isinstance(p, Activation) and isinstance(p.function, Smooth) for p in own)
    return "approximated" if smooth else "exact"


def _became(note: Note, kept: Mapping[str, Population], places: Sequence[str]) -> str:
    shown = ", ".join(
        f"{p} (two-sided relay)" if isinstance(kept[p], Relay) else p
        for p in dict.fromkeys(places)
        if p in kept
    )
    if _is_left_out(note):
        return "left out: behind the last layer"
    if note.part and shown:
        return f"part of the function of {shown}"
    if note.made is not None:
        return "population " + (
            ", ".join(n for n in note.made if n in kept) or "of its input, which it leaves as it is"
        )
    if not shown:
        return "nothing: no output reads it"
    return (
        f"projection into {shown}"
        if weight_of(note.node) is not None
        else f"part of the projection into {shown}"
    )


def _macs(node: Any) -> int:
    """Multiplications of one image: each weight once for each position, of the output or, transposed, of the
    input."""
    known = operation_of(node)
    if known is None or known.weight is None:
        return 0
    weight = node.args[known.weight].meta["val"]
    if "transpose" in known.name or (known.name == "convolution" and node.args[6]):
        return int(weight.numel() * node.args[0].meta["val"].numel() // (BATCH * weight.shape[0]))
    outputs = weight.shape[1 if known.turned else 0]
    return int(weight.numel() * node.meta["val"].numel() // (BATCH * outputs))
