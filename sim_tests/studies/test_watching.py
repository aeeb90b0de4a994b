"""A stream beside its references: counts, energies, agreement, and what is summed up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from graphs import ResidualPoolNet, images, randomized

import dnisnm_lava as dn
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.measures import Fit, Share
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.streams import rows as kept
from dnisnm_lava.studies.streams.dials import dials
from dnisnm_lava.studies.streams.references import frame_wise
from dnisnm_lava.studies.streams.summary import summary
from dnisnm_lava.studies.streams.watching import Watched

VALUES = dn.References(measure="values")


@pytest.fixture(scope="module")
def nets() -> Networks:
    x = images(24, (2, 6, 6), 0)
    return dn.build(randomized(ResidualPoolNet(), 0), x, replace(dn.BEST, correct=(), threshold="max"))


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """A picture of which one column changes from frame to frame; the last two are equal."""
    frames = np.repeat(images(1, (2, 6, 6), 5), 6, axis=0)
    for i, frame in enumerate(frames[:-1]):
        frame[..., i] *= -1
    frames[-1] = frames[-2]
    return frames


def test_a_frame_alone_is_priced_as_an_image_is(nets: Networks, clip: np.ndarray) -> None:
    """The first frame of a stream is that image, and so are its counts and its energies, in every view."""
    found = next(dn.watch(nets, clip))
    image = dn.energy(nets.integer, clip[:1])
    assert found.alone is not None
    assert found.alone.energy.arithmetic == pytest.approx(image.quantized.snn)
    assert found.alone.energy.chip == pytest.approx(image.chip.total)
    assert found.alone.energy.paper == pytest.approx(image.paper.energy_snn["arriving"])
    assert found.alone.skipped.arithmetic == pytest.approx(image.quantized.ann_skipping)
    assert found.alone.skipping.operations == found.alone.work.operations == found.work.operations
    assert found.work.spikes == found.alone.work.spikes == found.followed.spikes


def test_the_ann_is_priced_as_an_image_is(nets: Networks, clip: np.ndarray) -> None:
    watching = dn.watch(nets, clip)
    image = dn.energy(nets.integer, clip[:1])
    assert watching.bill.multiplications == image.paper.operations_ann
    assert watching.alone is not None
    assert watching.alone.bill.ann.arithmetic == pytest.approx(image.quantized.ann)
    assert watching.alone.bill.ann.paper == pytest.approx(image.paper.energy_ann)


def test_a_stream_says_what_the_frames_alone_say_and_sends_less(nets: Networks, clip: np.ndarray) -> None:
    found = list(dn.watch(nets, clip))
    for frame, image in zip(found, clip, strict=True):
        alone = next(dn.stream(nets, image[None]))
        assert frame.alone is not None
        assert frame.alone.said == alone.prediction == frame.followed.prediction
        assert frame.met["alone"].value == 1
    assert found[0].followed.fresh
    assert not any(f.followed.fresh for f in found[1:])
    assert found[-1].work.operations == found[-1].work.spikes == found[-1].work.moved == 0
    assert all(f.work.operations < f.alone.work.operations for f in found[1:] if f.alone)


def test_references_that_are_not_asked_for_are_not_run(nets: Networks, clip: np.ndarray) -> None:
    found = list(dn.watch(nets, clip, beside=None))
    assert [f.alone for f in found] == [None] * 6
    assert [f.met for f in found] == [{}] * 6
    followed = [f.logits for f in dn.stream(nets, clip)]
    np.testing.assert_array_equal([f.followed.logits for f in found], followed)
    without = next(dn.watch(nets.integer, clip))
    assert set(without.met) == {"alone"}
    assert set(next(dn.watch(nets.integer, clip, beside=dn.References(nets.analog))).met) == {"alone", "ann"}


def test_a_streams_network_alone_has_the_frame_alone_beside_it(nets: Networks, clip: np.ndarray) -> None:
    """Whatever its hysteresis, the reference is that of h = 0: the images' integers."""
    graph = dn.streaming(nets.integer, hysteresis=0.5)
    assert not frame_wise(graph).carry
    mine, theirs = next(dn.watch(graph, clip)), next(dn.watch(nets, clip))
    assert mine.alone is not None
    assert theirs.alone is not None
    assert mine.alone.work == theirs.alone.work
    with pytest.raises(OutOfRange, match="its own steps, hysteresis and levels hold"):
        dn.watch(graph, clip, hysteresis=1.0)
    with pytest.raises(OutOfRange, match="holds floats"):
        dn.watch(nets.spiking, clip)


def kept_rows(watching: Iterator[Watched]) -> list[kept.Row]:
    return [kept.row(frame, None) for frame in watching]


def test_rows_go_through_json_and_back(nets: Networks, clip: np.ndarray) -> None:
    for row in kept_rows(dn.watch(nets, clip[:3], beside=VALUES)):
        assert kept.read(json.loads(json.dumps(kept.told(row)))) == row


def test_a_summary_is_the_mean_of_its_rows(nets: Networks, clip: np.ndarray) -> None:
    watching = dn.watch(nets, clip, hysteresis=1.0)
    rows = kept_rows(watching)
    found = summary(rows, dials(watching.graph), watching.measure, watching.bill.multiplications)
    assert found.frames == 6
    assert found.dials.hysteresis == 1
    assert found.dials.resolution == found.dials.at_once == (31, 31)
    assert found.operations["stream"] == pytest.approx(np.mean([r.operations["stream"] for r in rows]))
    assert found.ratio("alone") == pytest.approx(found.operations["stream"] / found.operations["alone"])
    assert found.fresh == 1
    assert found.settled == pytest.approx(np.mean([r.operations["stream"] for r in rows[1:]]))
    score = found.agreement["alone"]
    assert isinstance(score, Share)
    assert score.correct == sum(r.answers["stream"] == r.answers["alone"] for r in rows)
    assert found.disagreeing["alone"] == 6 - score.correct
    assert (found.saturations, found.inexact, found.first_inexact) == (0, 0, None)


def test_values_have_their_error(nets: Networks, clip: np.ndarray) -> None:
    watching = dn.watch(nets, clip, beside=VALUES)
    rows = kept_rows(watching)
    found = summary(rows, dials(watching.graph), watching.measure, watching.bill.multiplications)
    score = found.agreement["ann"]
    assert isinstance(score, Fit)
    said, wanted = (np.array([r.answers[who] for r in rows]) for who in ("stream", "ann"))
    assert score.rmse == pytest.approx(np.sqrt(np.mean(np.square(said - wanted))))
    assert rows[0].agreement["ann"] == pytest.approx(np.sqrt(np.mean(np.square(said[0] - wanted[0]))))
    still = kept_rows(dn.watch(nets, clip[-2:], beside=VALUES))
    of_still = summary(still, dials(watching.graph), watching.measure, watching.bill.multiplications)
    assert of_still.agreement["ann"] is None


def test_steps_of_a_frame_are_those_of_the_reference(nets: Networks, clip: np.ndarray) -> None:
    frame = next(dn.watch(nets, clip, steps=2))
    image = dn.energy(nets.integer, clip[:1], steps=2)
    assert frame.alone is not None
    assert frame.alone.energy.arithmetic == pytest.approx(image.quantized.snn)
    assert frame.alone.skipped.arithmetic == pytest.approx(image.quantized.ann_skipping)
