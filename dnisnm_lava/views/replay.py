"""What SANA-FE says of a network's spikes on its chip: a table for people, a dictionary for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.costs.replay import Cores, Replay
from dnisnm_lava.studies.costs.replayed_frames import FrameReplay
from dnisnm_lava.views.costs import joules
from dnisnm_lava.views.runtime import seconds

SAID = (
    "by SANA-FE, its preset of Loihi 1, which its authors hold within 12 % of a board's energy and 25 % of "
    "its time (IEEE TCAD 44(8), 2025); static power is not in it"
)


def replay_json(found: Replay) -> dict[str, Any]:
    """Every field; joules and seconds."""
    return {
        **asdict(found),
        "joules_an_image": found.joules_an_image,
        "seconds_an_image": found.seconds_an_image,
        "chips": found.chips,
        "said": SAID,
    }


def replay_table(found: Replay) -> RenderableType:
    """What an image takes there, of all cores and of the fullest; then what it does not say."""
    table, n, link = Table(box=box.SIMPLE_HEAD, pad_edge=False), found.images, found.total.link
    table.add_column(f"SANA-FE {found.version}, an image")
    table.add_column("", justify="right")
    for name, value in found.joules.items():
        table.add_row(_energy(name), joules(1e12 * value / n))
    for name, told in _rows(lambda what: getattr(found.total, what) / n, found.of_cores.an_image(n)):
        table.add_row(name, Text(told))
    table.add_row("heaviest link", f"{link.source} to {link.target}: {link.messages / n:,.0f} messages")
    table.add_row("steps of the chip", f"{len(found.each) / n:,.0f}")
    table.add_row("cores, chips", f"{found.cores:,}, {found.chips}")
    return Group(table, _notes(found))


BEHIND = ("joules", "seconds", "spikes", "operations", "messages", "updates")  # numbers that add up


def frames_json(found: FrameReplay) -> dict[str, Any]:
    """Both replays, and what a frame behind the first takes; joules and seconds."""
    behind = {name: found.behind(name) for name in BEHIND}
    of_cores = asdict(found.cores_behind())
    return {
        "first": replay_json(found.first),
        "all": replay_json(found.all),
        "behind": {**behind, "by": found.joules_behind(), "of_cores": of_cores},
        "said": SAID,
    }


def frames_table(found: FrameReplay) -> RenderableType:
    """The first frame beside those behind it; then what is not said."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"SANA-FE {found.all.version}")
    for heading in ("the first frame", f"a frame behind it (of {found.all.images - 1})"):
        table.add_column(heading, justify="right")
    behind, first = found.joules_behind(), found.first
    for name, value in first.joules.items():
        table.add_row(_energy(name), joules(1e12 * value), joules(1e12 * behind[name]))
    of_first = _rows(lambda what: getattr(first.total, what), first.of_cores)
    for (name, one), (_, other) in zip(of_first, _rows(found.behind, found.cores_behind()), strict=True):
        table.add_row(name, Text(one), Text(other))
    table.add_row("cores, chips", f"{found.all.cores:,}, {found.all.chips}", "")
    return Group(table, _notes(found.all))


TOLD = {
    "seconds": "time",
    "spikes": "firings, the image's with them",
    "operations": "synaptic operations",
    "messages": "messages",
    "updates": "updates of neurons",
}


def _rows(of_all: Callable[[str], float], cores: Cores) -> Iterator[tuple[str, str]]:
    """A total, then the core that has most of it."""
    for what, told in TOLD.items():
        number = seconds if what == "seconds" else "{:,.0f}".format
        core, population, most = cores.fullest(what)
        yield told, number(of_all(what))
        yield "  of the fullest core", f"{core}, {population}: {number(most)}"


def _energy(name: str) -> str:
    return "energy" if name == "total" else f"  {name}"


def _notes(found: Replay) -> Text:
    notes = [f"not carried: {what}" for what in found.not_carried]
    return Text("\n".join([*notes, *(f"assumed: {what}" for what in found.assumed), SAID]))
