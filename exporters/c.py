"""The integer network as a file of C99 and its header: for microcontrollers, and as the model that a description of
hardware is held against.

`NAME_run(codes, sums)` gives what `backends.reference.run` gives, integer for integer. Populations run one after
another, each neuron through all of its T steps: so leads need no waiting, a potential lives in a variable, and the
memory is that of the spikes that somebody has yet to read, T integers a neuron. A stream's network keeps its state
besides. Weights and constants are arrays, each of the narrowest integers that hold it; what all spikes of a
population are multiples of is a factor of its readers. The functions (exporters.c_functions) are the same for all
networks. Floats are known to `NAME_encode` alone, which rounds an image's pixels as `FixedPointFormat.rounded`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window, require_exact
from dnisnm_lava.ir.dynamics import band_of, lower_threshold
from dnisnm_lava.ir.fixedpoint import STATE, FixedPointFormat
from dnisnm_lava.ir.integers import check_state, largest_spikes, steps_of
from dnisnm_lava.ir.populations import sources
from dnisnm_lava.ir.values import Shape, narrowed
from dnisnm_lava.system.files import refuse_existing, whole_file
from exporters import c_functions as functions

LARGEST_CONSTANT = (1 << 31) - 1  # of a threshold and an initial potential
COLUMNS = 108
TIED = "\0"  # a space at which no line ends


@dataclass(frozen=True)
class Written:
    """The two files, and what a program with them takes. flash: bytes of the constant arrays; ram: bytes of the
    buffers and states; the program's code and its tables of a few words a projection come on top."""

    source: Path
    header: Path
    flash: int
    ram: int


def write(
    path: str | Path, graph: SpikingGraph, *, steps: int | None = None, overwrite: bool = False
) -> Written:
    """Write an integer graph for `steps` (default: the graph's) as NAME.c, which is `path`, and NAME.h beside it,
    each whole or not at all. Functions begin with NAME, made into an identifier.

    OutOfRange for a float graph, a `path` that does not end in .c, and where a current may reach 2**53. BadFile
    where one of the files exists and `overwrite` is false."""
    path = Path(path)
    if path.suffix != ".c":
        raise OutOfRange(f"{path}: C is written; give a name that ends in .c")
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
        source.write_text(made.source)
        declared.write_text(made.header)
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
    plan = _plan(graph, identifier(name, set()), steps_of(graph, steps))
    buffers, ram = _placed(plan)
    sheet = _Sheet(plan, buffers)
    for bytes_, count in sorted(ram.items()):
        sheet.memory(f"ram_{bytes_}", bytes_, count)
    sheet.ram += 8 * plan.steps  # z
    for p in graph:
        _population(sheet, p)
    api = _api(sheet)
    head = _head(sheet)
    source = "\n".join(
        [
            f"{head}#include \"{name}.h\"",
            "",
            f"enum {{ STEPS = {plan.steps}, LARGEST = {STATE.limit} }};",
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


# ---------------------------------------------------------------- names, widths


def identifier(name: str, taken: set[str]) -> str:
    """`name` as a name of C that is not among those taken, and is among them from now on."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "network"
    plain = f"n_{plain}" if plain[0].isdigit() else plain
    made = next(m for m in (plain, *(f"{plain}_{i}" for i in range(2, len(taken) + 3))) if m not in taken)
    taken.add(made)
    return made


def bytes_for(least: int, largest: int) -> int:
    """Bytes of the narrowest of C's integers that hold both."""
    return next(b for b in (1, 2, 4, 8) if -(1 << 8 * b - 1) <= least and largest < 1 << 8 * b - 1)


def bytes_of(array: np.ndarray) -> int:
    return bytes_for(int(array.min(initial=0)), int(array.max(initial=0)))


def kind(bytes_: int) -> str:
    return f"int{8 * bytes_}_t"


def as_map(shape: Shape) -> tuple[int, int, int]:
    """(channels, height, width) of the same elements in the same order."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (shape[0], 1, math.prod(shape[1:]))


# ---------------------------------------------------------------- what is known before anything is written


@dataclass(frozen=True)
class _Plan:
    """sent: the largest spike of each population, in what one integer of its trace is worth; worth: that. held: the
    most that the sums of its spikes can be, likewise (0: no bound). name: as an identifier."""

    graph: SpikingGraph
    prefix: str
    steps: int
    sent: dict[str, int]
    worth: dict[str, int]
    held: dict[str, int]
    name: dict[str, str]

    def number(self, name: str) -> int:
        return self.graph.populations.index(self.graph[name])


def _plan(graph: SpikingGraph, prefix: str, steps: int) -> _Plan:
    largest = largest_spikes(graph)
    worth: dict[str, int] = {}
    held: dict[str, int] = {}
    for p in graph:
        if isinstance(p, SNM | Gate):
            worth[p.name] = math.gcd(*(int(n) for n in np.unique(p.payload))) or 1
            most = p.most or (0 if graph.carry else steps * p.levels)
            held[p.name] = most * int(p.payload.max()) // worth[p.name]
        elif isinstance(p, MaxPool):
            worth[p.name], held[p.name] = worth[p.source], held[p.source]
        elif isinstance(p, Input):
            worth[p.name], held[p.name] = 1, steps * FixedPointFormat(p.bits).limit
        if isinstance(p, SNM | ReadOut):
            require_exact(sum(q.bound(largest[q.source]) for q in p.projections), p.name)
        if isinstance(p, SNM):
            _check_constants(p)
    taken = {*WORDS, *(n.removeprefix(f"{prefix}_") for n in functions.NAMES if n.startswith(f"{prefix}_"))}
    return _Plan(
        graph,
        prefix,
        steps,
        {name: largest[name] // worth[name] for name in largest},
        worth,
        held,
        {p.name: identifier(p.name, taken) for p in graph},
    )


WORDS = ("begin", "next", "sent", "run", "frame", "init", "encode", "saturated")
WORDS += ("STEPS", "CODES", "SUMS", "POPULATIONS", "H")


def _check_constants(p: SNM) -> None:
    for key in ("vth", "v_init"):
        largest = int(np.abs(getattr(p, key).astype(np.int64)).max())
        if largest > LARGEST_CONSTANT:
            raise OutOfRange(
                f"{p.name}: its {key} reaches {largest}, and C's neurons count in 32 bits; quantize it anew"
            )


# ---------------------------------------------------------------- memory of spikes


@dataclass(frozen=True)
class _Buffer:
    """`count` integers of so many bytes, from where they are made to where they are read last."""

    bytes: int
    count: int
    first: int
    last: int


Key = tuple[str, int]  # (population, its projection whose pooled source it is, or SENT)
SENT = -1


def _buffers(plan: _Plan) -> dict[Key, _Buffer]:
    found: dict[Key, _Buffer] = {}
    graph = plan.graph
    last = {s: i for i, p in enumerate(graph) for s in sources(p)}
    for i, p in enumerate(graph):
        neurons = math.prod(p.shape)
        if isinstance(p, SNM | Gate | MaxPool) or (isinstance(p, Input) and graph.carry):
            count = neurons * (1 if isinstance(p, Input) else plan.steps)
            width = bytes_for(0, plan.sent[p.name])
            found[p.name, SENT] = _Buffer(width, count, i, last.get(p.name, i))
        for j, q in enumerate(p.projections if isinstance(p, SNM | ReadOut) else ()):
            if q.spatial is not None:
                count = math.prod(q.read_shape(graph[q.source].shape)) * _distinct(plan, q.source)
                found[p.name, j] = _Buffer(bytes_for(0, plan.sent[q.source] * _gain(q)), count, i, i)
    return found


def _placed(plan: _Plan) -> tuple[dict[Key, tuple[int, int]], dict[int, int]]:
    """{buffer: (its width, where it begins)}, and how many integers of each width there are: the largest first, each
    as low as those allow that are needed while it is."""
    buffers = _buffers(plan)
    placed: dict[Key, tuple[int, int]] = {}
    needed: dict[int, int] = {}
    for key, b in sorted(buffers.items(), key=lambda item: -item[1].count):
        beside = [(placed[k][1], buffers[k]) for k in placed if _meet(buffers[k], b)]
        start = 0
        for at, other in sorted(beside, key=lambda pair: pair[0]):
            if at - start >= b.count:
                break
            start = max(start, at + other.count)
        placed[key] = (b.bytes, start)
        needed[b.bytes] = max(needed.get(b.bytes, 0), start + b.count)
    return placed, needed


def _meet(a: _Buffer, b: _Buffer) -> bool:
    return a.bytes == b.bytes and a.first <= b.last and b.first <= a.last


def _distinct(plan: _Plan, source: str) -> int:
    """Steps that are kept of what a population sends: one of the image's, which are all the same."""
    return 1 if isinstance(plan.graph[source], Input) else plan.steps


def _gain(q: Projection) -> int:
    """The most that rows and columns add up to, of integers that do not exceed 1."""
    if q.sum_pool is not None:
        return math.prod(q.sum_pool.kernel)
    return 1 if q.resample is None else int(q.resample.gain)


# ---------------------------------------------------------------- arrays and tables


class _Sheet:
    """The file as it grows: constant arrays, memory, and the rows of each table."""

    def __init__(self, plan: _Plan, buffers: dict[Key, tuple[int, int]]) -> None:
        self.plan, self.buffers = plan, buffers
        self.flash = self.ram = self.read_out = 0
        self.constants: list[str] = []
        self.memories: list[str] = []
        self.tables: dict[str, list[str]] = {}
        self.same: dict[tuple[int, bytes], str] = {}
        self.ways: dict[str, tuple[int, int, int]] = {}
        self.taken = {*functions.NAMES, *(f"{plan.prefix}_{n}" for n in (*WORDS, *plan.name.values()))}

    def constant(self, name: str, array: np.ndarray) -> str:
        """A list of these integers, as C initializes one; arrays of the same are one."""
        width = bytes_of(array)
        said = hashlib.sha256(array.astype(f"<i{width}").tobytes()).digest()
        if (width, said) in self.same:
            return self.same[width, said]
        name = identifier(name, self.taken)
        self.same[width, said] = f"{{{name}, {width}}}"
        self.flash += width * array.size
        self.constants.append(f"static const {kind(width)} {name}[{array.size}] = {{\n{_numbers(array)}}};\n")
        return f"{{{name}, {width}}}"

    def memory(self, name: str, width: int, count: int) -> str:
        """So many integers that change, and the name of them."""
        name = identifier(name, self.taken)
        self.ram += width * count
        self.memories.append(f"static {kind(width)} {name}[{count}];")
        return name

    def row(self, table: str, what: str, fields: dict[str, object]) -> str:
        """A row of `table`, of the fields that are not 0, and where it lies."""
        rows = self.tables.setdefault(table, [])
        text = ", ".join(f".{key}{TIED}={TIED}{value}" for key, value in fields.items() if value not in (0, ""))
        rows.append(f"    /* {len(rows)}: {what} */\n{_filled(f'{{{text}}},', 4)}")
        return f"{table} + {len(rows) - 1}"

    def trace(self, name: str, projection: int = SENT) -> str:
        """What a population sends, or, of a projection's buffer, its pooled source."""
        plan, p = self.plan, self.plan.graph[name]
        if projection == SENT:
            if isinstance(p, Input):
                return f"{{0, {bytes_for(0, plan.sent[name])}, 0}}"
            step = math.prod(p.shape)
        else:
            assert isinstance(p, SNM | ReadOut)
            q = p.projections[projection]
            source = plan.graph[q.source]
            step = 0 if isinstance(source, Input) else math.prod(q.read_shape(source.shape))
        width, start = self.buffers[name, projection]
        return f"{{ram_{width} + {start}, {width}, {step}}}"

    def each(self, name: str, array: np.ndarray, shape: Shape) -> str:
        """A number of each neuron, those that neurons share once; nothing where all are 0."""
        full = narrowed(np.broadcast_to(array, shape).reshape(as_map(shape)))
        full = full[:1] if (full == full[:1]).all() else full
        if not full.any():
            return ""
        _, height, width = full.shape
        apart = [n if full.shape[i] > 1 else 0 for i, n in enumerate((height * width, width, 1))]
        return f"{{{self.constant(name, full)}, {', '.join(map(str, apart))}}}"

    def kept(self, name: str, held: int, count: int) -> tuple[str, int]:
        """The state of a stream, of integers that do not exceed `held` (0: no bound), and its width."""
        width = bytes_for(0, held) if held else 8
        return self.memory(name, width, count), width


def _numbers(array: np.ndarray) -> str:
    return _filled(", ".join(map(str, array.reshape(-1).tolist())), 4) + "\n"


def _filled(text: str, indent: int) -> str:
    """The words of `text` in lines."""
    lines, line = [], " " * (indent - 1)
    for word in text.split(" "):
        if len(line) + len(word) >= COLUMNS:
            lines.append(line)
            line = " " * (indent - 1)
        line += f" {word}"
    return "\n".join([*lines, line]).replace(TIED, " ")


# ---------------------------------------------------------------- populations


def _population(sheet: _Sheet, p: Population) -> None:
    plan = sheet.plan
    fields: dict[str, object] = {}
    if isinstance(p, SNM):
        fields = {"run": "neurons", "self": _neurons(sheet, p)}
    elif isinstance(p, ReadOut):
        fields = {"run": "readout", "self": _readout(sheet, p)}
    elif isinstance(p, MaxPool):
        fields = {"run": "pool", "self": _pool(sheet, p)}
    elif isinstance(p, Gate):
        fields = {"run": "gate", "self": _gate(sheet, p)}
    fields["sent"] = "" if isinstance(p, ReadOut) else sheet.trace(p.name)
    fields |= dict(zip(("channels", "height", "width"), as_map(p.shape), strict=True))
    fields["worth"] = plan.worth.get(p.name, 1)
    sheet.row("populations", plan.name[p.name], fields)


def _driven(sheet: _Sheet, p: SNM | ReadOut) -> str:
    name = sheet.plan.name[p.name]
    rows = [_projection(sheet, p, j, q) for j, q in enumerate(p.projections)]
    bias = sheet.each(f"{name}_bias", p.bias, p.shape)
    return f"{{{rows[0]}, {len(rows)}, {bias or '{{0, 0}, 0, 0, 0}'}}}"


def _readout(sheet: _Sheet, p: ReadOut) -> str:
    name, neurons = sheet.plan.name[p.name], math.prod(p.shape)
    fields: dict[str, object] = {"driven": _driven(sheet, p), "first": sheet.read_out}
    if sheet.plan.graph.carry:
        fields["v"] = sheet.memory(f"{name}_v", 4, neurons)
    sheet.read_out += neurons
    return sheet.row("readouts", name, fields)


def _neurons(sheet: _Sheet, p: SNM) -> str:
    name = sheet.plan.name[p.name]
    fields: dict[str, object] = {"driven": _driven(sheet, p), "dials": _dials(p), "lead": p.lead}
    band = band_of(p.vth, p.band)
    each = {"vth": p.vth, "payload": p.payload // sheet.plan.worth[p.name], "start": p.v_init}
    if p.curve is None:
        each["lower"] = lower_threshold(p.vth, p.down)
    else:
        lists = {key: getattr(p.curve, f"{key}s") for key in ("knot", "slope", "offset")}
        curve = {"rows": p.curve.rows, "knots": p.curve.knots.shape[1]}
        made = {key: sheet.constant(f"{name}_{key}s", a) for key, a in lists.items() if a.size}
        fields["curve"] = sheet.row("curves", name, {**curve, **made})
    if band is not None:
        each["band"] = band
    fields |= {key: sheet.each(f"{name}_{key}", a, p.shape) for key, a in each.items()}
    if sheet.plan.graph.carry:
        fields["v"] = sheet.memory(f"{name}_v", 4, math.prod(p.shape))
        fields["m"], fields["m_bytes"] = sheet.kept(f"{name}_m", p.most, math.prod(p.shape))
    return sheet.row("all_neurons", name, fields)


def _dials(p: SNM | Gate) -> str:
    return f"{{{p.levels}, {p.most}, {int(p.two_sided)}}}"


def _pool(sheet: _Sheet, p: MaxPool) -> str:
    plan, name, source = sheet.plan, sheet.plan.name[p.name], sheet.plan.graph[p.source]
    fields: dict[str, object] = {"from": sheet.trace(p.source), **_placing(p.window)}
    fields |= {"height": source.shape[1], "width": source.shape[2]}
    if plan.graph.carry:
        fields["totals"] = _totals(sheet, f"{name}_totals", p.source, source.shape)
        fields["best"] = _totals(sheet, f"{name}_best", p.source, p.shape)
    return sheet.row("pools", name, fields)


def _gate(sheet: _Sheet, p: Gate) -> str:
    plan, name, by = sheet.plan, sheet.plan.name[p.name], as_map(sheet.plan.graph[p.gate].shape)
    apart = [n if by[i] > 1 else 0 for i, n in enumerate((by[1] * by[2], by[2], 1))]
    fields: dict[str, object] = {
        "from": sheet.trace(p.source),
        "by": sheet.trace(p.gate),
        "position": f"{{{{0, 0}}, {', '.join(map(str, apart))}}}",
        "gates": math.prod(by),
        "worth": plan.worth[p.source] * plan.worth[p.gate],
        "dials": _dials(p),
    }
    band = band_of(p.vth, p.band)
    gain = p.gain.reshape(-1, *(1,) * (len(p.shape) - 1))
    each = {"vth": p.vth, "payload": p.payload // plan.worth[p.name], "gain": gain}
    each |= {} if band is None else {"band": band}
    fields |= {key: sheet.each(f"{name}_{key}", a, p.shape) for key, a in each.items()}
    if plan.graph.carry:
        fields["a"] = _totals(sheet, f"{name}_a", p.source, p.shape)
        fields["b"] = _totals(sheet, f"{name}_b", p.gate, by)
        fields["m"], fields["m_bytes"] = sheet.kept(f"{name}_m", p.most, math.prod(p.shape))
    return sheet.row("gates", name, fields)


def _totals(sheet: _Sheet, name: str, source: str, shape: Shape) -> str:
    memory, width = sheet.kept(name, sheet.plan.held[source], math.prod(shape))
    return f"{{{memory}, {width}}}"


def _placing(w: Window) -> dict[str, object]:
    keys = ("kernel", "stride", "dilation")
    pairs = {f"{key}_{axis}": getattr(w, key)[i] for key in keys for i, axis in enumerate("yx")}
    return {**pairs, "top": w.padding[0][0], "left": w.padding[1][0]}


# ---------------------------------------------------------------- projections


def _projection(sheet: _Sheet, p: SNM | ReadOut, j: int, q: Projection) -> str:
    plan, source = sheet.plan, sheet.plan.graph[q.source]
    name = f"{plan.name[p.name]}_{j}"
    read = q.read_shape(source.shape)
    largest = plan.sent[q.source] * _gain(q)
    width = bytes_for(0, largest)
    fields: dict[str, object] = {}
    trace = sheet.trace(q.source)
    if q.spatial is not None:
        fields["spread"] = _spread(sheet, name, p, j, q)
        trace = sheet.trace(p.name, j)
    elif q.source_channels is not None:
        fields["channel"] = sheet.constant(f"{name}_channels", q.source_channels)
    weight = sheet.constant(f"{name}_weight", q.weight)
    array, bytes_ = weight.strip("{}").split(", ")
    sums = int(np.abs(q.weight.astype(np.int64)).reshape(len(q.weight), -1).sum(axis=1).max()) * largest
    way = f"currents_{bytes_}_{width}_{bytes_for(0, max(sums, 1 << 30))}"
    sheet.ways[way] = (int(bytes_), width, bytes_for(0, max(sums, 1 << 30)))
    given, block = _given(p, q)
    fields |= {
        "add": way,
        "read": trace,
        "weight": array,
        "factor": plan.worth[q.source] << q.exponent,
        "given": "" if given is None else sheet.constant(f"{name}_given", given),
        "block": block,
        **_geometry(q, read),
    }
    return sheet.row("projections", f"{plan.name[p.name]} from {plan.name[q.source]}", fields)


def _geometry(q: Projection, read: Shape) -> dict[str, object]:
    """Of the convolution; a dense layer is one whose kernel is as large as what it reads, a vector a row."""
    if q.is_conv:
        window, (channels, height, width) = q.window, as_map(read)
        given = window.output_size((height, width))
    else:
        row = len(read) == 1 and q.source_channels is None
        channels, height, width = (1, 1, read[0]) if row else as_map(read)
        window, given = Window((height, width), (1, 1)), (1, 1)
    sizes = {"height": height, "width": width, "given_height": given[0], "given_width": given[1]}
    return {
        "inputs": channels // q.groups,
        "rows_of_group": len(q.weight) // q.groups,
        **sizes,
        **_placing(window),
    }


def _given(p: SNM | ReadOut, q: Projection) -> tuple[np.ndarray | None, int]:
    """For blocks of so many neurons, which block of what the weights give (-1: none); None: its own."""
    if q.target_order is not None:
        return _inverse(q.target_order, math.prod(q.target_shape)), 1
    if q.target_channels is not None:
        return _inverse(q.target_channels, q.targets), math.prod(p.shape[1:])
    return None, 1


def _inverse(places: np.ndarray, count: int) -> np.ndarray:
    found = np.full(count, -1, np.int64)
    found[places] = np.arange(len(places))
    return found


def _spread(sheet: _Sheet, name: str, p: SNM | ReadOut, j: int, q: Projection) -> str:
    plan, source = sheet.plan, sheet.plan.graph[q.source]
    channels, height, width = as_map(q.read_shape(source.shape))
    if q.resample is not None:
        rows, columns = q.resample.rows, q.resample.cols
    else:
        assert q.sum_pool is not None
        rows, columns = (_taken(q.sum_pool, axis, source.shape[1 + axis]) for axis in (0, 1))
    (first_row, row_weight), (first_column, column_weight) = _bands(rows), _bands(columns)
    fields: dict[str, object] = {"from": sheet.trace(q.source), "into": sheet.trace(p.name, j)}
    if q.source_channels is not None:
        fields["channel"] = sheet.constant(f"{name}_channels", q.source_channels)
    lists = {"first_row": first_row, "row_weight": row_weight}
    lists |= {"first_column": first_column, "column_weight": column_weight}
    fields |= {"channels": channels, "height": height, "width": width}
    fields |= {"source_height": source.shape[1], "source_width": source.shape[2]}
    fields |= {"tall": row_weight.shape[1], "wide": column_weight.shape[1]}
    fields |= {key: sheet.constant(f"{name}_{key}", a) for key, a in lists.items()}
    return sheet.row("spreads", f"{plan.name[q.source]} for {plan.name[p.name]}", fields)


def _taken(w: Window, axis: int, size: int) -> np.ndarray:
    """(outputs, size) how often each output of a sum-pool takes a row or a column."""
    outputs = w.output_size((size, size))[axis]
    found = np.zeros((outputs, size), np.int64)
    for i in range(outputs):
        at = i * w.stride[axis] - w.padding[axis][0] + np.arange(w.kernel[axis]) * w.dilation[axis]
        found[i, at[(at >= 0) & (at < size)]] = 1
    return found


def _bands(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) where the part of each row begins that holds all but zeros, and (rows, its length) that part."""
    some = [np.flatnonzero(row) for row in matrix]
    wide = max((int(at[-1] - at[0]) + 1 for at in some if at.size), default=1)
    first = np.array([min(int(at[0]), matrix.shape[1] - wide) if at.size else 0 for at in some])
    return first, np.stack([row[at : at + wide] for row, at in zip(matrix, first, strict=True)])


# ---------------------------------------------------------------- the two texts


def _functions(sheet: _Sheet) -> list[str]:
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


def _tables(sheet: _Sheet) -> Iterable[str]:
    for name in functions.TABLES:
        if name in sheet.tables:
            rows = "\n".join(sheet.tables[name])
            yield f"static const struct {STRUCTS[name]} {name}[] = {{\n{rows}\n}};\n"


STRUCTS = {name: name.removesuffix("s") for name in functions.TABLES} | {"all_neurons": "neurons"}


def _api(sheet: _Sheet) -> str:
    plan, entry = sheet.plan, sheet.plan.graph.input
    limit = FixedPointFormat(entry.bits).limit
    code = bytes_for(0, limit)
    words = {"name": plan.prefix, "code": kind(code), "limit": limit}
    parts = [_scale(sheet, entry)]
    pixel = "i"
    if entry.order is not None:
        pixel = sheet.constant(f"{plan.name[entry.name]}_order", entry.order).strip("{}").split(", ")[0] + "[i]"
    area = math.prod(entry.shape[1:])
    parts.append(functions.INPUT.substitute(words, pixel=pixel, area=area))
    if plan.graph.carry:
        width, start = sheet.buffers[entry.name, SENT]
        last = sheet.memory("last_image", code, math.prod(entry.shape))
        change = {"change": kind(width), "changes": f"ram_{width} + {start}", "last": last}
        parts += ["static int8_t begun;\nstatic int now;\n", functions.BEGIN_FRAME.substitute(words, **change)]
    else:
        parts += ["static int now;\n", functions.BEGIN.substitute(words)]
    parts.append(functions.API.substitute(words, run=_run(plan)))
    return "\n".join(parts)


def _run(plan: _Plan) -> str:
    return "frame" if plan.graph.carry else "run"


def _scale(sheet: _Sheet, entry: Input) -> str:
    assert entry.scale is not None
    scale = np.broadcast_to(entry.scale.astype(np.float64), entry.shape[:1])
    sheet.flash += 8 * scale.size
    numbers = _filled(", ".join(float(s).hex() for s in scale), 4)
    return f"static const double scale[{scale.size}] = {{\n{numbers}\n}};\n"


def _head(sheet: _Sheet) -> str:
    plan, graph = sheet.plan, sheet.plan.graph
    what = "a frame of a stream" if graph.carry else "an image"
    lines = [
        f"{plan.prefix}: a spiking network in integers, {plan.steps} steps for {what}, written by dnisnm_lava",
        f"(exporters.c) from the network of digest {graph.digest()}.",
        f"Constants take {sheet.flash:,} bytes, buffers and states {sheet.ram:,} bytes; code and tables come on top.",
    ]
    return "/* " + "\n * ".join(lines) + "\n */\n"


def _header(sheet: _Sheet, head: str) -> str:
    plan, graph, entry = sheet.plan, sheet.plan.graph, sheet.plan.graph.input
    numbers = {
        "STEPS": plan.steps,
        "CODES": math.prod(entry.shape),
        "SUMS": sheet.read_out,
        "POPULATIONS": len(graph.populations),
    }
    code = kind(bytes_for(0, FixedPointFormat(entry.bits).limit))
    said = "\n".join(f"    {plan.prefix}_{plan.name[p.name]} = {i},{_said(plan, p)}" for i, p in enumerate(graph))
    counts = "\n".join(f"    {plan.prefix}_{key} = {value}," for key, value in numbers.items())
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


def _said(plan: _Plan, p: Population) -> str:
    """A comment: shape, and of a read-out what its sums are worth."""
    text = _shape(p.shape)
    if isinstance(p, ReadOut):
        unit = None if p.unit is None or (p.unit != p.unit[0]).any() else float(p.unit[0])
        text += f", read out as {_shape(p.view or p.shape)}"
        text += "" if unit is None else f"; a sum is worth {unit!r} / {plan.steps}"
        text += f"; {p.function} along axis {p.axis} is left to do" if p.function else ""
    return f"    /* {text} */"
