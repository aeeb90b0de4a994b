"""A page of a stream that nobody followed, for what reads it and for what opens it in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dnisnm_lava.studies.streams.activity import Activity
from dnisnm_lava.studies.streams.bills import Energy
from dnisnm_lava.studies.streams.dials import Dials
from dnisnm_lava.studies.streams.rows import Answer, Row
from dnisnm_lava.studies.streams.summary import summary
from dnisnm_lava.views import streams
from dnisnm_lava.views.page import stream_page
from dnisnm_lava.views.page.stream_points import Follow

EVIL = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\"'&amp;{{ 7*7 }}"
ROW = Row(
    0,
    True,
    {"stream": 0, "alone": 0, "ann": 1},
    {"stream": 10, "alone": 40},
    {"stream": 100, "alone": 400, "skipping": 300},
    {"stream": Energy(1.0, 2.0, 3.0), "ann": Energy(1.0, 2.0, None)},
    0,
    0,
    True,
    {"read": 0.0, "stream": 0.5},
    {"alone": 1.0, "ann": 0.0},
)
PROVENANCE = {"digests": {"integer": "0" * 64}, "versions": {"dnisnm-lava": "0"}, "command_line": EVIL}


def rows_of(said: list[Answer]) -> list[Row]:
    return [
        replace(ROW, frame=i, fresh=i == 0, answers={**ROW.answers, "stream": answer})
        for i, answer in enumerate(said)
    ]


def activity_of(frames: int, names: tuple[str, ...] = ("image", "conv", "fc")) -> Activity:
    found = Activity(names, (4,) * len(names))
    for i in range(frames):
        found.add(([i % 7] * len(names), [i % 11 * (j + 1) for j in range(len(names))]))
    return found


def follow(rows: list[Row], classes: tuple[str, ...] = (), title: str = "a network on a clip") -> Follow:
    found = summary(rows, Dials(1, 0.5, (31, 31), (31, 31)), None, 1000)
    return Follow(title, rows, found, streams.stream_json(found, PROVENANCE), classes)


def frames(count: int, side: int = 200) -> Iterator[np.ndarray]:
    yield from np.random.default_rng(0).integers(0, 256, (min(count, 30), side, side, 3), np.uint8)


def page(rows: list[Row], **options: Any) -> str:
    names = options.pop("names", ("image", "conv", "fc"))
    return stream_page.render(follow(rows, **options), activity_of(len(rows), names), frames(30)).decode()
