"""What became of a model's operations, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.frontend.coverage import Coverage, Row

if TYPE_CHECKING:
    pass
from dnisnm_lava.views.comparison import short

HOW = ("exact", "approximated", "dropped", "refused")


def coverage_json(coverage: Coverage) -> dict[str, Any]:
    """Every row, and the totals."""
    rows = [_row_json(r) for r in coverage.rows]
    counts = {how: coverage.count(how) for how in HOW}
    others = {f.name: getattr(coverage, f.name) for f in fields(coverage)}
    return {
        **others,
        "rows": rows,
        "operations": counts,
        "populations": dict(coverage.populations),
        "notices": list(coverage.notices),
    }


def _row_json(row: Row) -> dict[str, Any]:
    facts = {key: value for key, value in asdict(row).items() if key != "called"}
    return {**facts, "inputs": [list(shape) for shape in row.inputs], "output": list(row.output)}


def coverage_table(coverage: Coverage) -> RenderableType:
    """One row an operation, then the totals, then the notices; where operations are refused, these alone.
    Readable from 100 columns on."""
    if coverage.refused:
        return _refused_table(coverage)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("operation", "layer", "line", "became", "shapes"):
        table.add_column(heading, overflow="fold")
    for heading in ("weights", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in coverage.rows:
        table.add_row(*_coverage_row(row))
    hows = ", ".join(f"{coverage.count(how):,} {how}" for how in HOW[:-1])
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in coverage.populations.items())
    lines = Text(
        f"{len(coverage.rows):,} operations: {hows}\n"
        f"{sum(coverage.populations.values()):,} populations: {kinds}; {coverage.neurons:,} neurons\n"
        f"{_become(coverage.populations)}\n"
        f"{coverage.projections:,} projections; the longest path has {coverage.depth:,} synapses\n"
        f"{coverage.parameters:,} parameters; {coverage.macs:,} MACs an image, {coverage.graph_macs:,} "
        f"in the projections"
    )
    parts: list[RenderableType] = [table, lines]
    if coverage.notices:
        parts += ["", Text("\n".join(f"notice: {notice}" for notice in coverage.notices))]
    return Panel(Group(*parts), title=Text(coverage.model), box=box.ROUNDED, expand=False)


def _become(populations: Mapping[str, int]) -> str:
    """What kinds of the ANN's populations are in a spiking network."""
    told = "a Rectifier (ReLU) and a Relay (linear) become SNM neurons"
    if populations.get("Activation"):
        told += ", an Activation (another function) those that send a curve of their sum"
    return told + (", a Product a Gate" if populations.get("Product") else "")


def _refused_table(coverage: Coverage) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("refused", "layer", "line", "reason", "what now"):
        table.add_column(heading, overflow="fold")
    for row in coverage.refused:
        table.add_row(*map(Text, (row.shown, row.name, place(row.line), row.reason, row.remedy)))
    lines = Text(f"{refused_sentence(coverage)}; the others convert, or depend on these")
    return Panel(Group(table, lines), title=Text(coverage.model), box=box.ROUNDED, expand=False)


def refused_sentence(coverage: Coverage) -> str:
    """How many operations are refused; nothing where none is."""
    count = len(coverage.refused)
    return (
        f"{count:,} operation{'s' * (count > 1)} of {len(coverage.rows):,} cannot be converted"
        if count
        else ""
    )


def _coverage_row(row: Row) -> list[Text]:
    became = f"{row.how}: {row.became}" if row.became else row.how
    shapes = ", ".join(_size(shape) for shape in row.inputs) + f" -> {_size(row.output)}"
    cells = [row.shown, row.name, place(row.line), became, shapes, short(row.parameters), short(row.macs)]
    return [Text(cell) for cell in cells]  # code may hold [brackets], which are markup in a plain string


def place(line: str) -> str:
    """`/some/where/model.py:12 `code`` without the folders, and without what torch.fx writes behind the
    code."""
    file, quote, code = line.partition("`")
    return file.rsplit("/", 1)[-1] + (f"{quote}{code.partition(';')[0].rstrip('`')}`" if quote else "")


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"
