"""Tables on a narrow terminal: whole names and numbers, in parts below one another, where Rich would cut
them."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Column, Table

BORDERS = 4  # of a panel, with its padding
NAME, TEXT = (
    12,
    8,
)  # letters a line that a column of folded text needs: the first, which names the rows; another


def fitted(shown: RenderableType, console: Console, width: int) -> RenderableType:
    """The same, with each table that needs more than `width` in parts; every part begins with the first
    column."""
    if isinstance(shown, Table):
        parts = list(_parts(shown, console, width))
        return shown if len(parts) == 1 else Group(*parts)
    if isinstance(shown, Panel):
        panel = copy(shown)
        panel.renderable = fitted(shown.renderable, console, width - BORDERS)
        return panel
    if isinstance(shown, Group):
        return Group(*(fitted(part, console, width) for part in shown.renderables), fit=shown.fit)
    return shown


def _parts(table: Table, console: Console, width: int) -> Iterator[Table]:
    _, right, _, left = table.padding
    least = [_least(column, console, TEXT if i else NAME) for i, column in enumerate(table.columns)]
    needed = [
        letters + left + right + 1 for letters in least
    ]  # and the line on its right; one more is on the left of all
    chosen = [0]
    for i in range(1, len(least)):
        if len(chosen) > 1 and 1 + sum(needed[j] for j in [*chosen, i]) > width:
            yield _part(table, chosen, least)
            chosen = [0]
        chosen.append(i)
    yield table if len(chosen) == len(least) else _part(table, chosen, least)


def _least(column: Column, console: Console, folded: int) -> int:
    """Letters that keep words and numbers whole; folded text is whole in a few."""
    sizes = [
        Measurement.get(console, console.options.update(width=10_000), cell)
        for cell in (column.header, *column.cells)
    ]
    if column.no_wrap:
        return max(size.maximum for size in sizes)
    least = max(size.minimum for size in sizes)
    return min(least, folded) if column.overflow == "fold" else least


def _part(table: Table, chosen: list[int], least: list[int]) -> Table:
    """What is not folded takes its least, so that it leaves the rest to what is."""
    part = copy(table)
    columns = [table.columns[i] for i in chosen]
    widths = [c.width if c.overflow == "fold" else least[i] for i, c in zip(chosen, columns, strict=True)]
    part.columns = [
        replace(c, _index=j, width=w) for j, (c, w) in enumerate(zip(columns, widths, strict=True))
    ]
    part.title = table.title if chosen[1] == 1 else None
    return part
