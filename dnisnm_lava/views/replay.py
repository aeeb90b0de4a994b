"""What SANA-FE says of a network's spikes on its chip: a table for people, a dictionary for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dnisnm_lava.studies.costs.replay import Replay
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
    """What an image takes there, of all cores and of the busiest; then what it does not say."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"SANA-FE {found.version}, an image")
    table.add_column("", justify="right")
    for name, value in _rows(found):
        table.add_row(Text(name), Text(value))
    notes = [f"not carried: {what}" for what in found.not_carried]
    return Group(table, Text("\n".join([*notes, *(f"assumed: {what}" for what in found.assumed), SAID])))


BEHIND = ("joules", "seconds", "spikes", "operations", "messages", "updates")  # numbers that add up


def frames_json(found: FrameReplay) -> dict[str, Any]:
    """Both replays, and what a frame behind the first takes; joules and seconds."""
    behind = {name: found.behind(name) for name in BEHIND}
    return {
        "first": replay_json(found.first),
        "all": replay_json(found.all),
        "behind": {**behind, "by": found.joules_behind()},
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
        of = "energy" if name == "total" else f"  {name}"
        table.add_row(of, joules(1e12 * value), joules(1e12 * behind[name]))
    table.add_row("time", seconds(first.total.seconds), seconds(found.behind("seconds")))
    for what in ("spikes", "operations", "messages"):
        table.add_row(TOLD[what], f"{getattr(first.total, what):,}", f"{found.behind(what):,.0f}")
    table.add_row("cores, chips", f"{found.all.cores:,}, {found.all.chips}", "")
    notes = [f"not carried: {what}" for what in found.all.not_carried]
    return Group(table, Text("\n".join([*notes, *(f"assumed: {what}" for what in found.all.assumed), SAID])))


TOLD = {
    "spikes": "firings, the image's with them",
    "operations": "synaptic operations",
    "messages": "messages",
}


def _rows(found: Replay) -> list[tuple[str, str]]:
    total, n = found.total, found.images
    link = f"{total.link.source} to {total.link.target}: {total.link.messages / n:,.0f} messages"
    parts = (
        (f"  {name}", joules(1e12 * value / n)) for name, value in found.joules.items() if name != "total"
    )
    return [
        ("energy", joules(1e12 * found.joules_an_image)),
        *parts,
        (f"time, {len(found.each) / n:,.0f} steps of the chip", seconds(found.seconds_an_image)),
        ("busiest core", f"{total.core.core}, {total.core.population}: {seconds(total.core.seconds / n)}"),
        ("heaviest link", link),
        ("firings, the image's with them", f"{total.spikes / n:,.0f}"),
        ("synaptic operations", f"{total.operations / n:,.0f}"),
        ("messages", f"{total.messages / n:,.0f}"),
        ("updates", f"{total.updates / n:,.0f}"),
        ("cores, chips", f"{found.cores:,}, {found.chips}"),
    ]
