"""The integer network as a file of C99 and its header: for microcontrollers, and as the model that a
description of hardware is held against.

`NAME_run(codes, sums)` gives what `backends.reference.run` gives, integer for integer. Populations run one
after another, each neuron through all of its T steps: so leads need no waiting, a potential lives in a
variable, and the memory is that of the spikes that somebody has yet to read, T integers a neuron. A stream's
network keeps its state besides. Weights and constants are arrays, each of the narrowest integers that hold
it; what all spikes of a population are multiples of is a factor of its readers. The functions
(exporters.c_functions) are the same for all networks. Floats are known to `NAME_encode` alone, which rounds
an image's pixels as `FixedPointFormat.rounded`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut, SpikingGraph
from dnisnm_lava.ir.fixedpoint import STATE, FixedPointFormat
from dnisnm_lava.ir.integers import check_state, steps_of
from dnisnm_lava.system.files import refuse_existing, whole_file
from exporters import c_functions as functions
from exporters.c_plan import SENT, Plan, bytes_for, identifier, kind, placed, planned
from exporters.c_tables import Sheet, add_population, array_of, filled


@dataclass(frozen=True)
class Written:
    """The two files, and what a program with them takes. flash: bytes of the constant arrays; ram: bytes of
    the buffers and states; the program's code and its tables of a few words a projection come on top."""

    source: Path
    header: Path
    flash: int
    ram: int


def write(
    path: str | Path, graph: SpikingGraph, *, steps: int | None = None, overwrite: bool = False
) -> Written:
    """Write an integer graph for `steps` (default: the graph's) as NAME.c, which is `path`, and NAME.h beside
    it, each whole or not at all. What it defines begins with NAME, made into an identifier.

    OutOfRange for a float graph, a `path` that does not end in .c or that C cannot include, and where a
    current may reach 2**53. BadFile where one of the files exists and `overwrite` is false."""
    path = Path(path)
    if path.suffix != ".c":
        raise OutOfRange(f"{path}: C is written; give a name that ends in .c")
    if re.search(r'["\\?*\s]', path.stem):
        raise OutOfRange(f"{path}: C cannot include a file of this name; give one of letters and digits")
    if not graph.is_integer:
        raise OutOfRange(f"{path}: integers are written, and the graph holds floats; quantize it first")
    check_state(graph, "C")
    header = path.with_suffix(".h")
    for file in (path, header):
        refuse_existing(file, overwrite)
    made = program(graph, path.stem, steps)
    with (
        whole_file(path, overwrite=overwrite) as source,
        whole_file(header, overwrite=overwrite) as declared,
    ):
        source.write_bytes(made.source.encode())
        declared.write_bytes(made.header.encode())
    return Written(path, header, made.flash, made.ram)


@dataclass(frozen=True)
class Program:
    """Both texts, and bytes as of Written."""

    source: str
    header: str
    flash: int
    ram: int


def program(graph: SpikingGraph, name: str, steps: int | None = None) -> Program:
    """The two texts of an integer graph, whose header is called `name`.h."""
    plan = planned(graph, identifier(name, set()), steps_of(graph, steps))
    buffers, ram = placed(plan)
    sheet = Sheet(plan, buffers)
    for bytes_, count in sorted(ram.items()):
        sheet.memory(f"ram_{bytes_}", bytes_, count)
    sheet.ram += 8 * plan.steps  # z
    for p in graph:
        add_population(sheet, p)
    api = _api(sheet)
    head = _head(sheet)
    source = "\n".join(
        [
            f'{head}#include "{name}.h"',
            "",
            f"#define STEPS {plan.steps}",
            f"#define LARGEST INT32_C({STATE.limit}) /* of a potential */",
            "",
            functions.TYPES,
            functions.STATE,
            *sheet.memories,
            "",
            *_functions(sheet),
            *sheet.constants,
            *_tables(sheet),
            api,
        ]
    )
    return Program(source, _header(sheet, head), sheet.flash, sheet.ram)


# ---------------------------------------------------------------- the two texts


def _functions(sheet: Sheet) -> list[str]:
    """Those that the network needs, in an order in which each stands behind those that it calls."""
    graph = sheet.plan.graph
    neurons, pools, gates = (bool(graph.of(kind)) for kind in (SNM, MaxPool, Gate))
    ways = [_currents(name, *widths) for name, widths in sorted(sheet.ways.items())]
    return [
        text
        for text, needed in (
            (functions.LOAD, True),
            (functions.STORE, True),
            (functions.LISTS, True),
            (functions.LEAST, neurons),
            (functions.FLOORED, neurons or gates),
            (functions.SPREAD, True),
            (functions.INSIDE, True),
            ("\n".join(ways), True),
            (functions.DRIVEN, True),
            (functions.PREPARE, True),
            (functions.READOUT, True),
            (functions.SUMMED, neurons or gates),
            (functions.TOWARD, neurons or gates),
            (functions.NEURONS, neurons),
            (functions.TOTALS, pools or gates),
            (functions.POOL, pools),
            (functions.GATE, gates),
        )
        if needed
    ]


def _currents(name: str, weight: int, spike: int, sums: int) -> str:
    of = {"weight": kind(weight), "spike": kind(spike), "sum": kind(sums)}
    return functions.CONV.substitute(of, name=name)


def _tables(sheet: Sheet) -> Iterator[str]:
    for name in functions.TABLES:
        if name in sheet.tables:
            rows = "\n".join(sheet.tables[name])
            yield f"static const struct {STRUCTS[name]} {name}[] = {{\n{rows}\n}};\n"


STRUCTS = {name: name.removesuffix("s") for name in functions.TABLES} | {"all_neurons": "neurons"}


def _api(sheet: Sheet) -> str:
    plan, entry = sheet.plan, sheet.plan.graph.input
    limit = FixedPointFormat(entry.bits).limit
    code = bytes_for(0, limit)
    words = {"name": plan.prefix, "code": kind(code), "limit": limit}
    parts = [_scale(sheet, entry)]
    pixel = "i"
    if entry.order is not None:
        pixel = array_of(sheet.constant(f"{plan.name[entry.name]}_order", entry.order)) + "[i]"
    area = math.prod(entry.shape[1:])
    parts.append(functions.INPUT.substitute(words, pixel=pixel, area=area))
    if plan.graph.carry:
        width, start = sheet.buffers[entry.name, SENT]
        last = sheet.memory("last_image", code, math.prod(entry.shape))
        change = {"change": kind(width), "changes": f"ram_{width} + {start}", "last": last}
        parts += [
            "static int8_t begun;\nstatic int now;\n",
            functions.BEGIN_FRAME.substitute(words, **change),
        ]
    else:
        parts += ["static int now;\n", functions.BEGIN.substitute(words)]
    parts.append(functions.API.substitute(words, run=_run(plan)))
    return "\n".join(parts)


def _run(plan: Plan) -> str:
    return "frame" if plan.graph.carry else "run"


def _scale(sheet: Sheet, entry: Input) -> str:
    assert entry.scale is not None
    scale = np.broadcast_to(entry.scale.astype(np.float64), entry.shape[:1])
    sheet.flash += 8 * scale.size
    numbers = filled(", ".join(float(s).hex() for s in scale), 4)
    return f"static const double scale[{scale.size}] = {{\n{numbers}\n}};\n"


def _head(sheet: Sheet) -> str:
    plan, graph = sheet.plan, sheet.plan.graph
    what = "a frame of a stream" if graph.carry else "an image"
    lines = [
        f"{plan.prefix}: a spiking network in integers, {plan.steps} steps for {what}, written by",
        f"dnisnm_lava (exporters.c) from the network of digest {graph.digest()}.",
        f"Constants take {sheet.flash:,} bytes, buffers and states {sheet.ram:,}; code and tables, more.",
    ]
    return "/* " + "\n * ".join(lines) + "\n */\n"


def _header(sheet: Sheet, head: str) -> str:
    plan, graph, entry = sheet.plan, sheet.plan.graph, sheet.plan.graph.input
    numbers = {
        "STEPS": plan.steps,
        "CODES": math.prod(entry.shape),
        "SUMS": sheet.read_out,
        "POPULATIONS": len(graph.populations),
    }
    code = kind(bytes_for(0, FixedPointFormat(entry.bits).limit))
    said = "\n".join(
        f"    {plan.prefix}_{plan.name[p.name]} = {i},{_said(plan, p)}" for i, p in enumerate(graph)
    )
    counts = "\n".join(f"#define {plan.prefix}_{key} {value}" for key, value in numbers.items())
    return functions.HEADER.substitute(
        head=head,
        name=plan.prefix,
        guard=f"{plan.prefix}_H",
        numbers=counts,
        populations=said,
        code=code,
        shape=_shape(entry.image_shape),
        entry=functions.FRAMES.substitute(name=plan.prefix, code=code)
        if graph.carry
        else functions.IMAGES.substitute(name=plan.prefix, code=code),
        since=f"since {plan.prefix}_init" if graph.carry else "since the image began",
    )


def _shape(shape: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"


def _said(plan: Plan, p: Population) -> str:
    """A comment: shape, and of a read-out what its sums are worth."""
    text = _shape(p.shape)
    if isinstance(p, ReadOut):
        unit = None if p.unit is None or (p.unit != p.unit[0]).any() else float(p.unit[0])
        text += f", read out as {_shape(p.view or p.shape)}"
        text += "" if unit is None else f"; a sum is worth {unit!r} / {plan.steps}"
        text += f"; {p.function} along axis {p.axis} is left to do" if p.function else ""
    return f"    /* {text} */"
