"""What a page is made of: tables, pictures, and numbers in words. Values, which the templates lay out."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class At:
    """A text that follows the chosen T: `key` of the texts of each T."""

    key: str


@dataclass(frozen=True)
class Column:
    """numeric: right-aligned, and sorted as a number. help: what it is, for who does not know."""

    name: str
    numeric: bool = True
    help: str = ""


Cell = str | At


@dataclass(frozen=True)
class Table:
    """id: of the HTML element. Rows of as many cells as there are columns; the first names its row."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def breadth(self) -> str:
        """How much room it takes, where a column of words takes twice that of a number: `narrow`, `middle` or
        `wide`, of which the page makes blocks where that room is not there."""
        taken = sum(1 if column.numeric else 2 for column in self.columns)
        return "narrow" if taken <= 5 else "middle" if taken <= 8 else "wide"


@dataclass(frozen=True)
class Picture:
    """A drawing with its title. caption: what to know of it. table: the same numbers; None where another
    table of the page has them."""

    id: str
    title: str
    drawing: Markup
    caption: str
    table: Table | None = None


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def span(low: float, high: float) -> str:
    """An interval of shares."""
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def count(number: float) -> str:
    return f"{number:,.0f}"


def digits(number: float) -> str:
    """Three of them, never as a power of ten: 1,230, 12.3, 0.0123."""
    if not number:
        return "0"
    places = max(0, 2 - len(str(int(abs(number)))) + 1) if abs(number) >= 1 else 4
    return f"{number:,.{places}f}"


def size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "1"


def capitalized(told: str) -> str:
    """The first letter alone."""
    return told[:1].upper() + told[1:]
