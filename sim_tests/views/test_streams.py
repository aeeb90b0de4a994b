"""What people are shown of a watched stream."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from graphs import images, small

import dnisnm_lava as dn
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.studies.streams.bills import Energy
from dnisnm_lava.studies.streams.dials import Dials, dials
from dnisnm_lava.studies.streams.rows import Row, row
from dnisnm_lava.studies.streams.summary import Summary, summary
from dnisnm_lava.views import streams
from dnisnm_lava.views.clip import annotated, picture

ROW = Row(
    0,
    True,
    {"stream": 2, "alone": 2, "ann": 1},
    {"stream": 10, "alone": 40},
    {"stream": 100, "alone": 400, "skipping": 400},
    {"stream": Energy(1.0, 2.0, 3.0), "ann": Energy(1.0, 2.0, None)},
    0,
    0,
    True,
    {"read": 0.0, "stream": 0.5},
)


def rows(count: int) -> list[Row]:
    return [replace(ROW, frame=i, fresh=i == 0) for i in range(count)]


def found(of: list[Row]) -> Summary:
    return summary(of, Dials(1, 0.5, (31, 31), (7, 31), 5), None, 1000)


def test_a_table_of_rows_has_a_cell_for_each_that_was_found() -> None:
    read = list(csv.DictReader(streams.frames_csv(rows(3)).decode().splitlines()))
    assert [r["frame"] for r in read] == ["0", "1", "2"]
    assert [r["fresh"] for r in read] == ["1", "0", "0"]
    assert read[0]["operations_skipping"] == "400"
    assert read[0]["chip_stream"] == "3.0"
    assert "chip_ann" not in read[0]


def test_dials_and_verdict_are_lines() -> None:
    of = found(rows(3))
    assert streams.dials_told(of.dials) == (
        "T = 1 a frame, R = 31 levels, K = 7-31 at once, h = 0.5, begun anew every 5 frames"
    )
    assert streams.verdict(of) == "0.250 of the frame-wise operations, 0.100 of the ANN's"
    alone = [replace(r, operations={"stream": 100}) for r in rows(1)]
    assert streams.verdict(found(alone)) == "1 frame, 2 a second; 0.100 of the ANN's operations"


def test_a_saturation_is_told_with_its_remedy() -> None:
    of = rows(4)
    of[2:] = [replace(of[2], exact=False, saturations=3), replace(of[3], exact=False)]
    told = streams.saturated(found(of))
    assert told.startswith("3 states were clipped to 24 bits, first in frame 2: sums of 2 frames")
    assert told.endswith("--refresh N begins anew every N frames")


def test_the_picture_of_values_and_of_classes_is_drawn() -> None:
    graph, _ = small(levels=15, down=0.0, steps=1)
    for measure in ("classes", "values"):
        watching = dn.watch(graph, images(3, (2, 6, 6), 0), beside=dn.References(measure=measure))
        of = [row(frame, None) for frame in watching]
        told = summary(of, dials(watching.graph), watching.measure, watching.bill.multiplications)
        assert streams.stream_picture(of, told, "a title").startswith(b"\x89PNG")
        assert streams.stream_json(told, {})["agreement"]["alone"]["value"] == 1


@pytest.mark.parametrize(
    ("shape", "dtype", "size"),
    [
        ((5, 4, 3), np.uint8, (4, 5)),
        ((3, 5, 4), np.float32, (4, 5)),
        ((2, 5, 4), np.int32, (4, 5)),
        ((5, 4), np.uint8, (4, 5)),
        ((5, 4, 1), np.uint8, (4, 5)),
    ],
)
def test_any_frame_becomes_a_picture(shape: tuple[int, ...], dtype: type, size: tuple[int, int]) -> None:
    assert picture(np.ones(shape, dtype)).size == size


def test_frames_stand_beside_what_was_said_of_them() -> None:
    shown = list(annotated(np.zeros((3, 200, 100, 3), np.uint8), rows(3), ("a", "b", "c")))
    assert [frame.shape for frame in shown] == [(200, 340, 3)] * 3
    assert (shown[2][:, :100] == 0).all()
    assert shown[2][:, 100:].any()


def test_a_streams_network_is_no_one_of_images() -> None:
    graph, x = small(steps=1)
    with pytest.raises(OutOfRange, match="count of operations: the network is a stream's"):
        dn.energy(dn.streaming(graph), x)
