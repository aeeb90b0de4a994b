"""The dials of a stream, in a line."""

from __future__ import annotations

from dnisnm_lava.studies.streams.dials import Dials


def dials_told(dials: Dials) -> str:
    """T, R, K and h, in a line."""
    refresh = f", begun anew every {dials.refresh} frames" if dials.refresh else ""
    return (
        f"T = {dials.steps} a frame, R = {_span(dials.resolution)} levels, K = {_span(dials.at_once)} at "
        f"once, h = {dials.hysteresis:g}{refresh}"
    )


def _span(numbers: tuple[int, int]) -> str:
    least, most = numbers
    return str(most) if least == most else f"{least}-{most}"
