"""The arrays, memory and tables of a program in C (exporters.c), as text."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, Projection, ReadOut
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.dynamics import band_of, lower_threshold
from dnisnm_lava.ir.values import Shape, narrowed
from exporters.c_functions import NAMES
from exporters.c_plan import (
    COUNTS,
    SENT,
    WORDS,
    Key,
    Plan,
    as_map,
    bytes_for,
    bytes_of,
    gain,
    identifier,
    kind,
)

COLUMNS = 108
TIED = "\0"  # a space at which no line ends

# ---------------------------------------------------------------- arrays and tables


class Sheet:
    """The file as it grows: constant arrays, memory, and the rows of each table."""

    def __init__(self, plan: Plan, buffers: dict[Key, tuple[int, int]]) -> None:
        self.plan, self.buffers = plan, buffers
        self.flash = self.ram = self.read_out = 0
        self.constants: list[str] = []
        self.memories: list[str] = []
        self.tables: dict[str, list[str]] = {}
        self.same: dict[tuple[int, bytes], str] = {}
        self.ways: dict[str, tuple[int, int, int]] = {}
        self.taken = {*NAMES, *(f"{plan.prefix}_{n}" for n in (*WORDS, *COUNTS, *plan.name.values()))}

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
        text = ", ".join(
            f".{key}{TIED}={TIED}{value}" for key, value in fields.items() if value not in (0, "")
        )
        rows.append(f"    /* {len(rows)}: {what} */\n{filled(f'{{{text}}},', 4)}")
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


def array_of(initializer: str) -> str:
    """The array's name, of what `Sheet.constant` gives."""
    return initializer.strip("{").split(",")[0]


def _numbers(array: np.ndarray) -> str:
    return filled(", ".join(map(str, array.reshape(-1).tolist())), 4) + "\n"


def filled(text: str, indent: int) -> str:
    """The words of `text` in lines."""
    lines, line = [], " " * (indent - 1)
    for word in text.split(" "):
        if len(line) + len(word) >= COLUMNS:
            lines.append(line)
            line = " " * (indent - 1)
        line += f" {word}"
    return "\n".join([*lines, line]).replace(TIED, " ")


# ---------------------------------------------------------------- populations


def add_population(sheet: Sheet, p: Population) -> None:
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


def _driven(sheet: Sheet, p: SNM | ReadOut) -> str:
    name = sheet.plan.name[p.name]
    rows = [_projection(sheet, p, j, q) for j, q in enumerate(p.projections)]
    bias = sheet.each(f"{name}_bias", p.bias, p.shape)
    return f"{{{rows[0]}, {len(rows)}, {bias or '{{0, 0}, 0, 0, 0}'}}}"


def _readout(sheet: Sheet, p: ReadOut) -> str:
    name, neurons = sheet.plan.name[p.name], math.prod(p.shape)
    fields: dict[str, object] = {"driven": _driven(sheet, p), "first": sheet.read_out}
    if sheet.plan.graph.carry:
        fields["v"] = sheet.memory(f"{name}_v", 4, neurons)
    sheet.read_out += neurons
    return sheet.row("readouts", name, fields)


def _neurons(sheet: Sheet, p: SNM) -> str:
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


def _pool(sheet: Sheet, p: MaxPool) -> str:
    plan, name, source = sheet.plan, sheet.plan.name[p.name], sheet.plan.graph[p.source]
    fields: dict[str, object] = {"from": sheet.trace(p.source), **_placing(p.window)}
    fields |= {"height": source.shape[1], "width": source.shape[2]}
    if plan.graph.carry:
        fields["totals"] = _totals(sheet, f"{name}_totals", p.source, source.shape)
        fields["best"] = _totals(sheet, f"{name}_best", p.source, p.shape)
    return sheet.row("pools", name, fields)


def _gate(sheet: Sheet, p: Gate) -> str:
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
    gains = p.gain.reshape(-1, *(1,) * (len(p.shape) - 1))
    each = {"vth": p.vth, "payload": p.payload // plan.worth[p.name], "gain": gains}
    each |= {} if band is None else {"band": band}
    fields |= {key: sheet.each(f"{name}_{key}", a, p.shape) for key, a in each.items()}
    if plan.graph.carry:
        fields["a"] = _totals(sheet, f"{name}_a", p.source, p.shape)
        fields["b"] = _totals(sheet, f"{name}_b", p.gate, by)
        fields["m"], fields["m_bytes"] = sheet.kept(f"{name}_m", p.most, math.prod(p.shape))
    return sheet.row("gates", name, fields)


def _totals(sheet: Sheet, name: str, source: str, shape: Shape) -> str:
    memory, width = sheet.kept(name, sheet.plan.held[source], math.prod(shape))
    return f"{{{memory}, {width}}}"


def _placing(w: Window) -> dict[str, object]:
    keys = ("kernel", "stride", "dilation")
    pairs = {f"{key}_{axis}": getattr(w, key)[i] for key in keys for i, axis in enumerate("yx")}
    return {**pairs, "top": w.padding[0][0], "left": w.padding[1][0]}


# ---------------------------------------------------------------- projections


def _projection(sheet: Sheet, p: SNM | ReadOut, j: int, q: Projection) -> str:
    plan, source = sheet.plan, sheet.plan.graph[q.source]
    name = f"{plan.name[p.name]}_{j}"
    read = q.read_shape(source.shape)
    largest = plan.sent[q.source] * gain(q)
    width = bytes_for(0, largest)
    fields: dict[str, object] = {}
    trace = sheet.trace(q.source)
    if q.spatial is not None:
        fields["spread"] = _spread(sheet, name, p, j, q)
        trace = sheet.trace(p.name, j)
    elif q.source_channels is not None:
        fields["channel"] = sheet.constant(f"{name}_channels", q.source_channels)
    weight = sheet.constant(f"{name}_weight", q.weight)
    sums = int(np.abs(q.weight.astype(np.int64)).reshape(len(q.weight), -1).sum(axis=1).max()) * largest
    widths = bytes_of(q.weight), width, bytes_for(0, max(sums, 1 << 30))
    way = "currents_" + "_".join(map(str, widths))
    sheet.ways[way] = widths
    given, block = _given(p, q)
    fields |= {
        "add": way,
        "read": trace,
        "weight": array_of(weight),
        "factor": plan.worth[q.source] << q.exponent,
        "given": "" if given is None else sheet.constant(f"{name}_given", given),
        "block": block,
        **_geometry(q, read),
    }
    return sheet.row("projections", f"{plan.name[p.name]} from {plan.name[q.source]}", fields)


def _geometry(q: Projection, read: Shape) -> dict[str, object]:
    """The geometry of the convolution; a dense layer is one whose kernel is as large as what it reads, a
    vector a row."""
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


def _spread(sheet: Sheet, name: str, p: SNM | ReadOut, j: int, q: Projection) -> str:
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
    """(rows,) where the part of each row begins that holds all but zeros, and (rows, its length) that
    part."""
    some = [np.flatnonzero(row) for row in matrix]
    wide = max((int(at[-1] - at[0]) + 1 for at in some if at.size), default=1)
    first = np.array([min(int(at[0]), matrix.shape[1] - wide) if at.size else 0 for at in some])
    return first, np.stack([row[at : at + wide] for row, at in zip(matrix, first, strict=True)])
