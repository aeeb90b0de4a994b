"""Alarms for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from dnisnm_lava.evaluation.sanity import Alarm


def alarms_told(alarms: Iterable[Alarm]) -> RenderableType:
    """In red, each with a line below it; nothing where there are none."""
    return Group(*(Text(f"{alarm.sentence}\n", style="bold red") for alarm in alarms))
