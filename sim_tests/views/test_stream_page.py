"""The page of a stream: what it tells, that it stays small, and that names in it are text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dnisnm_lava.studies.streams.activity import COLUMNS
from dnisnm_lava.studies.streams.rows import Answer

pytest.importorskip("jinja2", reason="jinja2 is not installed: the page of a stream was not tested")

from stream_pages import EVIL, ROW, activity_of, follow, frames, page, rows_of

from dnisnm_lava.views.page import stream_page, stream_pictures, stream_points

LIMIT = 300_000  # bytes, without thumbnails


def json_of(text: str, name: str) -> Any:
    found = re.search(rf'id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_it_tells_verdict_dials_frames_and_populations() -> None:
    text = page(rows_of([0, 0, 1, 1, 0]), classes=("ant", "bee"))
    assert "0.250 of the frame-wise operations, 0.100 of the ANN&#39;s." in text
    lead = re.findall(r'<p class="lead" id="verdict">(.)', text)
    assert lead == [lead[0].upper()]
    assert "µJ" in text or "nJ" in text or "pJ" in text
    assert " uJ" not in text
    assert "T = 1 a frame, R = 31 levels, K = 31 at once, h = 0.5" in text
    assert re.findall(r'data-frame="(\d+)"', text) == ["0", "2", "4"]
    assert "2 changes of the stream&#39;s class" in text or "2 changes of the stream's class" in text
    assert text.count("before: ant") == text.count("before: bee") == 1
    assert re.findall(r"<li title=\"(.*?)\"", text) == ["image", "conv", "fc"] * 2
    told = json_of(text, "points")
    assert told["answers"]["stream"] == [0, 0, 1, 1, 0]
    assert told["classes"] == {"0": "ant", "1": "bee"}
    assert told["operations"] == {"stream": [100] * 5, "alone": [400] * 5, "skipping": [300] * 5}
    assert (told["fresh"], told["inexact"], told["width"], told["kind"]) == ([0], [], 1, "class")
    assert "plotly" not in text.lower()


def test_names_are_text() -> None:
    text = page(rows_of([0, 1]), classes=(EVIL, EVIL), title=EVIL, names=(EVIL, f"conv{EVIL}", "fc"))
    assert "<script>window" not in text
    assert "<img src=x" not in text
    assert text.count("</script>") == 3
    assert json_of(text, "points")["classes"]["0"] == EVIL[:39] + "…"


@pytest.mark.parametrize(
    "said", [[i % 900 for i in range(20_000)], [[i + 0.123456] * 8 for i in range(3000)]]
)
def test_it_stays_small_however_long_the_stream(said: list[Answer]) -> None:
    names = tuple(f"layer{i}.with.a.long.name.of.some.block.conv" for i in range(400))
    rows = rows_of(said)
    found, active = follow(rows, tuple(f"class {i}" for i in range(900))), activity_of(500, names)
    noise = np.random.default_rng(0).integers(0, 1_000_000, (len(active.sent), len(names)))
    active.sent = active.delivered = noise.tolist()
    text = stream_page.render(found, active, frames(30)).decode()
    shots = re.findall(r'class="shot".*?src="(.*?)"', text)
    assert len(shots) <= stream_pictures.MOST_THUMBNAILS
    assert all(len(shot) < 20_000 for shot in shots)
    assert len(text) - sum(map(len, shots)) <= LIMIT
    assert len(json_of(text, "points")["spikes"]["stream"]) <= stream_points.MOST_POINTS


def test_points_of_a_long_stream_are_means_and_the_worst() -> None:
    rows = rows_of([i // 3 for i in range(2500)])
    rows[4] = replace(rows[4], operations={**ROW.operations, "stream": 400}, exact=False)
    rows[4] = replace(rows[4], agreement={"alone": 0.0, "ann": 1.0})
    told = stream_points.points(follow(rows))
    assert told["width"] == 3
    assert told["operations"]["stream"][:3] == [100, 200, 100]
    assert told["agreement"]["alone"][:3] == [1, 0, 1]
    assert told["answers"]["stream"][:3] == [0, 1, 2]
    assert told["inexact"] == [1]
    assert told["classes"]["1"] == "class 1"


def test_values_have_no_classes_and_few_pictures() -> None:
    rows = rows_of([[0.5, float(i)] for i in range(30)])
    assert len(stream_pictures.changes(rows)) == stream_pictures.FEW
    text = page(rows)
    assert "Some of the frames" in text
    assert json_of(text, "points")["answers"]["stream"][3] == "0.5, 3"


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((200, 100, 3), "jpeg"), ((2, 6, 6), "png"), ((300, 300), "jpeg"), ((40,), "png"), ((3, 32, 32), "png")],
)
def test_any_frame_becomes_a_small_picture(shape: tuple[int, ...], kind: str) -> None:
    frame = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (made,) = stream_pictures.thumbnails(iter([frame]), rows_of([0]))
    assert made.uri.startswith(f"data:image/{kind};base64,")
    assert len(made.uri) < 12_000


def test_pictures_are_spread_over_many_changes_and_no_more_is_read() -> None:
    read = []

    def source() -> Iterator[np.ndarray]:
        for i in range(1000):
            read.append(i)
            yield np.full((4, 4, 3), i % 256, np.uint8)

    rows = rows_of([min(i, 500) for i in range(1000)])
    made = stream_pictures.thumbnails(source(), rows)
    positions = [t.position for t in made]
    assert (len(made), positions[0], positions[-1], len(read)) == (24, 0, 500, 501)
    assert positions == sorted(set(positions))


def test_activity_has_few_columns_and_keeps_every_count() -> None:
    for count in (1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + 1, 1003):
        found = activity_of(count)
        assert len(found.sent) == len(found.delivered) == -(-count // found.width) <= COLUMNS
        assert found.totals()["conv"] == {
            "neurons": 4,
            "spikes": sum(i % 7 for i in range(count)),
            "operations": sum(2 * (i % 11) for i in range(count)),
        }
        assert found.sent[0][0] == sum(i % 7 for i in range(min(count, found.width)))
    with pytest.raises(ValueError, match="populations"):
        found.add(([1], [1]))
