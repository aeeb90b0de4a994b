"""What is written behind an option, as a value; ValueError where it is not understood."""

from __future__ import annotations


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _bytes(text: str) -> int:
    unit = {"k": 10, "m": 20, "g": 30, "t": 40}.get(text[-1:].lower())
    size = float(text if unit is None else text[:-1]) * (1 << (unit or 0))
    if not 1 <= size < 1 << 60:
        raise ValueError
    return int(size)


def _by_name(text: str) -> int | dict[str, int]:
    """`2`, or `conv1=0,layer1=2` for some populations."""
    if "=" not in text:
        return int(text)
    return {name: int(steps) for name, steps in (part.rsplit("=", 1) for part in text.split(","))}


def _range(text: str) -> tuple[int, ...]:
    """`2-8`, or `2,4,8`."""
    first, dash, last = text.partition("-")
    found = tuple(range(int(first), int(last) + 1)) if dash else _sizes(text)
    if not found:
        raise ValueError
    return found


def _accuracy(text: str) -> float:
    """A share of 1 from `0.926`, `92.6` or `92.6%`; above 1, numbers are percent."""
    number = float(text.removesuffix("%"))
    share = number / 100 if number > 1 or text.endswith("%") else number
    if not 0 < share <= 1:
        raise ValueError
    return share


def _words(text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _at_once(text: str) -> tuple[int | None, ...]:
    """`all,4`."""
    return tuple(None if part == "all" else int(part) for part in text.split(","))
