"""Drawings as elements of the page: text is escaped, colours come from the page's style by class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10

from markupsafe import Markup, escape

NEWLINE = "\n"  # which XML would read as a blank in an attribute
LETTER = 6.1  # units of a drawing: the width of a letter of 11, at most but for rows of capitals


def element(name: str, *children: object, **attributes: object) -> Markup:
    """`class_` is class, and an underscore a hyphen; what is None is left out. Children are text, escaped, or
    elements."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{str(escape(_told(value))).replace(NEWLINE, "&#10;")}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(str(escape(child)) for child in children)
    return Markup(f"<{name}{told}>{inside}</{name}>")  # all of it is escaped above


def _told(value: object) -> object:
    """Coordinates to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def drawing(width: float, height: float, alt: str, *children: object) -> Markup:
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=alt,
        class_="drawn",
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str, **more: object) -> Markup:
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=kind, **more)


def text(x: float, y: float, told: object, kind: str = "", **more: object) -> Markup:
    return element("text", told, x=float(x), y=float(y), class_=kind or None, **more)


def rect(x: float, y: float, width: float, height: float, kind: str, **more: object) -> Markup:
    return element(
        "rect", x=float(x), y=float(y), width=float(width), height=float(height), class_=kind, **more
    )


def path(points: Iterable[tuple[float, float]], kind: str, *, closed: bool = False) -> Markup:
    told = "L".join(f"{x:.2f} {y:.2f}" for x, y in points)
    return element("path", d=f"M{told}{'Z' if closed else ''}", class_=kind)


def marker(shape: str, x: float, y: float, kind: str, size: float = 3.5, **more: object) -> Markup:
    """`circle`, `square` or `diamond`."""
    if shape == "circle":
        return element("circle", cx=float(x), cy=float(y), r=size, class_=kind, **more)
    if shape == "square":
        return rect(x - size, y - size, 2 * size, 2 * size, kind, **more)
    corners = ((x, y - size), (x + size, y), (x, y + size), (x - size, y))
    told = "L".join(f"{a:.2f} {b:.2f}" for a, b in corners)
    return element("path", d=f"M{told}Z", class_=kind, **more)


# ---------------------------------------------------------------- scales


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high]: at most so many, one at least."""
    if high <= low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    return [step * i for i in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def number(value: float, step: float = 0.0) -> str:
    """A tick: 1.2k, 0.05, 97.5; as many places as `step`, the distance of two ticks, has."""
    if abs(value) < step / 1000:
        return "0"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    places = max(0, -floor(log10(step) + 1e-9)) if step > 0 else 2
    return f"{value:,.{min(places, 6)}f}"


def tick_names(values: Sequence[float]) -> list[str]:
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) / 10 or 1.0
    return [number(value, step) for value in values]


def width_of(told: str) -> float:
    return LETTER * len(told)


def shortened(name: str, most: int) -> str:
    """Its end, which tells layers apart."""
    return name if len(name) <= most else "…" + name[1 - most :]
