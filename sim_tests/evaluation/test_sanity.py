"""Alarms: an ANN that guesses, one below what is expected, integers that lose what the float SNN has; and
none where all is well."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import ResidualPoolNet, images, randomized

import dnisnm_lava as dn
from dnisnm_lava import cli, measures
from dnisnm_lava.cli.values import _accuracy
from dnisnm_lava.data import datasets
from dnisnm_lava.data.files.preparation import Preparation
from dnisnm_lava.evaluation import comparison, sanity, tallies, weak_spots
from dnisnm_lava.ir import ReadOut, SpikingGraph
from dnisnm_lava.measures import chosen
from dnisnm_lava.measures.answers import answers

EVEN = [10] * 10


# ---------------------------------------------------------------- chance


@pytest.mark.parametrize(
    ("by_class", "guess"),
    [
        ([50, 50], 0.5),
        ([4, 2, 0, 1, 0, 0, 0, 0, 0, 1], 0.1),  # one of ten classes has 4 of 8 images once in 20
        ([6, 1, 0, 1, 0, 0, 0, 0, 0, 0], 0.75),  # and 6 once in 4,000
        ([3, 2, 1, 1, 1, 0, 0, 0, 0, 0], 0.1),
        ([900, 100], 0.9),
        (EVEN, 0.1),
    ],
)
def test_chance_is_the_best_constant_guess_where_classes_are_uneven(
    by_class: list[int], guess: float
) -> None:
    assert sanity.chance(by_class) == pytest.approx(guess)


@pytest.mark.parametrize(
    ("right", "count", "guess", "raised"),
    [
        (11, 100, 0.1, True),
        (0, 100, 0.1, True),
        (19, 100, 0.1, True),  # 0.1 + 3 * 0.03 = 0.19
        (20, 100, 0.1, True),  # as much or more once in 500: within three standard errors, exactly
        (21, 100, 0.1, False),  # once in 1,200
        (60, 100, 0.1, False),
        (1100, 10_000, 0.1, True),
        (1400, 10_000, 0.1, True),  # an untrained network is not quite blind: kappa is 0.04
        (2000, 10_000, 0.1, False),
        (1, 4, 0.1, False),
        (10, 16, 0.1, False),
        (2, 8, 0.1, False),
        (55, 100, 0.5, True),
        (66, 100, 0.5, False),
        (0, 40, 0.1, True),
        (0, 40, 0.5, True),  # below the guess: few images tell that
        (0, 10, 0.1, True),
        (1, 10, 0.1, False),  # a network halfway to all would have so few once in 200
        (0, 8, 0.1, False),
        (8, 24, 1 / 3, False),  # once in 1,160
        (7, 24, 1 / 3, True),
        (0, 4, 0.5, False),
        (500, 1000, 0.5, True),
        (900, 1000, 0.9, True),
        (980, 1000, 0.9, False),
        (90, 100, 0.9, False),
        (60, 60, 1.0, False),
    ],
)
def test_an_alarm_is_raised_at_chance_where_so_many_images_can_tell(
    right: int, count: int, guess: float, raised: bool
) -> None:
    assert sanity.is_at_chance(right, count, guess) is raised


def test_what_is_expected_is_missed_by_more_than_its_standard_error() -> None:
    assert not sanity.is_below(891, 1000, 0.9)  # the error of 0.9 on 1,000 images is 0.0095
    assert sanity.is_below(890, 1000, 0.9)
    (alarm,) = sanity.set_up(500, [100] * 10, "images", 0.9)
    assert alarm.kind == "expectation"
    assert "500 of 1,000 images (50.0 %), where 90.0 % are expected" in alarm.sentence
    assert sanity.set_up(500, [100] * 10, "images") == sanity.set_up(950, [100] * 10, "images", 0.9) == ()


def scores(said: np.ndarray, count: int) -> np.ndarray:
    return np.eye(count)[said]


def test_classes_in_another_order_are_told_as_that() -> None:
    labels = np.arange(500) % 10
    (alarm,) = sanity.of_answers(answers(scores((labels + 1) % 10, 10), labels), "images")
    assert (
        "0 of 500 images (0.0 %), where a guess gets 10.0 %; most likely the labels are off by 1, or the "
        "classes stand in another order: 100.0 % of the images get the label and 1" in alarm.sentence
    )
    swapped = np.array([1, 0, 3, 2, 5, 4, 7, 6, 9, 8])
    (alarm,) = sanity.of_answers(answers(scores(swapped[labels], 10), labels), "images")
    assert "most likely the classes stand in another order: 100.0 % of" in alarm.sentence
    assert "class 0 is mostly called 1" in alarm.sentence
    (always,) = sanity.of_answers(
        answers(scores(0 * labels + 3, 10), labels), "images"
    )  # the same for all is no order
    rng = np.random.default_rng(0)
    (random,) = sanity.of_answers(answers(scores(rng.integers(0, 10, 500), 10), labels), "images")
    for other in (always, random):
        assert f"most likely {sanity.CAUSES[0]}" in other.sentence


@pytest.mark.parametrize("count", [2, 3, 10, 100])
@pytest.mark.parametrize("by", [-1, 1])
def test_labels_that_are_off_by_one_are_named_on_few_images(count: int, by: int) -> None:
    labels = np.random.default_rng(0).integers(0, count, 40)
    (alarm,) = sanity.of_answers(answers(scores((labels + by) % count, count), labels), "images")
    other_way = "the two classes are the other way round"
    assert "0 of 40 images (0.0 %)" in alarm.sentence
    assert (other_way if count == 2 else "the labels are off by 1") in alarm.sentence
    if count > 2:
        assert ("the label less 1" if by < 0 else "the label and 1") in alarm.sentence


def exactly(right: int, images: int, share: Fraction) -> Fraction:
    return sum(
        (comb(images, k) * share**k * (1 - share) ** (images - k) for k in range(right + 1)), Fraction(0)
    )


@pytest.mark.parametrize(("right", "images"), [(0, 1), (0, 40), (3, 40), (40, 40), (700, 1000)])
def test_how_likely_so_few_or_so_many_are_is_exact(right: int, images: int) -> None:
    for share in (Fraction(1, 10), Fraction(1, 2), Fraction(11, 20)):
        few = exactly(right, images, share)
        many = 1 - (exactly(right - 1, images, share) if right else 0)
        assert sanity.at_most(right, images, float(share)) == pytest.approx(float(few), rel=1e-9)
        assert sanity.at_least(right, images, float(share)) == pytest.approx(float(many), rel=1e-9)


@pytest.mark.parametrize(
    "labels", [None, np.full(4, -1), np.array([0, 1, 2, 3]), np.zeros((4, 2), int), np.full(4, 0.5)]
)
def test_nothing_is_said_of_images_without_a_class_of_the_outputs(labels: np.ndarray | None) -> None:
    assert answers(np.zeros((4, 3)), labels) is None
    assert answers(np.zeros((4, 3, 2, 2)), np.zeros(4, int)) is None  # a map
    assert answers(np.zeros((4, 1)), np.full(4, 0.5)) is None  # a target
    assert answers(np.zeros((4, 3)), np.zeros(5, int)) is None
    assert sanity.of_answers(None, "images") == ()


# ---------------------------------------------------------------- answers 0 and 1


@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_logit_is_two_classes(shape: tuple[int, ...]) -> None:
    """Each image by hand: above 0 is a 1."""
    logits, labels = np.array([[2.0], [-1.0], [0.0], [3.0], [-2.0]]), np.array([1, 1, 0, 0, 0])
    found = answers(logits, labels.reshape(5, *shape).astype(float))
    assert found is not None
    assert found.table.tolist() == [[2, 1], [1, 1]]
    assert (found.images, found.right, found.by_label) == (5, 3, None)


def test_one_logit_that_guesses_raises_an_alarm() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    sound, blind = (2 * labels - 1 + rng.normal(size=600))[:, None], rng.normal(size=(600, 1))
    assert not sanity.of_answers(answers(sound, labels), "images")
    for scores in (blind, np.ones((600, 1)), -np.ones((600, 1))):
        (alarm,) = sanity.of_answers(answers(scores, labels), "images")
        assert alarm.kind == "chance"
        assert "of 600 images" in alarm.sentence
    (turned,) = sanity.of_answers(answers(-sound, labels), "images")
    assert "the classes stand in another order" in turned.sentence


SHARES = np.array([0.5, 0.9, 0.1, 0.3])  # of each label


def several(count: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels (count, 4); noise: of the logits, whose signal is 1."""
    rng = np.random.default_rng(1)
    labels = (rng.random((count, 4)) < SHARES).astype(np.int64)
    return 2 * labels - 1 + noise * rng.normal(size=labels.shape), labels


def test_several_labels_are_told_one_by_one() -> None:
    scores, labels = several(400, 0.8)
    found = answers(scores, labels)
    assert found is not None
    assert found.by_label is not None
    assert (found.images, found.of) == (400, 1600)
    assert found.accuracy == ((scores > 0) == labels).mean()
    for label in range(4):
        assert found.by_label[label, 1, 0] == np.count_nonzero(
            (labels[:, label] == 1) & (scores[:, label] <= 0)
        )


def test_several_labels_that_say_nothing_raise_an_alarm() -> None:
    """Also where rare labels make most answers right: what each label's share alone says is a guess."""
    scores, labels = several(2000, 0.8)
    assert not sanity.of_answers(answers(scores, labels), "images")
    shares = np.broadcast_to(SHARES - 0.5, scores.shape)  # constant answers: 0, 1, 0, 0
    rng = np.random.default_rng(2)
    for blind in (shares, rng.normal(size=scores.shape), shares + 0.5 * rng.normal(size=scores.shape)):
        found = answers(blind, labels)
        (alarm,) = sanity.of_answers(found, "images")
        guess = np.maximum(labels.mean(axis=0), 1 - labels.mean(axis=0)).mean()
        assert (
            f"of 8,000 answers right of 2,000 images ({100 * found.accuracy:.1f} %), where a guess gets "
            f"{100 * guess:.1f} %" in alarm.sentence
        )
    (alarm,) = sanity.of_answers(answers(scores, labels), "images", 0.99)
    assert alarm.kind == "expectation"
    assert "where 99.0 % are expected" in alarm.sentence


def test_few_images_of_several_labels_raise_none() -> None:
    scores, labels = several(20, 0.8)
    assert not sanity.of_answers(answers(0 * scores, labels), "images")


def test_rare_labels_need_more_images() -> None:
    """A network that never says 1 of labels that 2 % have: 98 % are right, and 300 images do not tell it from
    a sound one."""
    rng = np.random.default_rng(3)
    for count, raised in ((300, False), (20_000, True)):
        labels = (rng.random((count, 2)) < 0.02).astype(np.int64)
        assert bool(sanity.of_answers(answers(np.full((count, 2), -1.0), labels), "images")) == raised


def test_calibration_decides_by_all_labels_at_once() -> None:
    """The first batch's rows have one 1 each, as classes have."""
    model, x = randomized(ResidualPoolNet(), 0), images(12, (2, 6, 6), 0)
    y = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]] * 2 + [[1, 1, 0], [0, 0, 0], [1, 0, 1]] * 2)
    analog = dn.from_torch(model, x[0])
    found = dn.calibrate(analog, [(x[:6], y[:6]), (x[6:], y[6:])]).answers
    assert found is not None
    assert found.by_label is not None
    assert found.right == np.count_nonzero((analog.ann(x) > 0) == y)


def test_calibration_tells_what_the_ann_said() -> None:
    model, x, y = randomized(ResidualPoolNet(), 0), images(12, (2, 6, 6), 0), np.arange(12) % 3
    analog = dn.from_torch(model, x[0])
    found = dn.calibrate(analog, [(x[:5], y[:5]), (x[5:], y[5:])]).answers
    assert found is not None
    said = analog.ann(x).argmax(axis=1)
    table = np.zeros((3, 3), int)
    np.add.at(table, (y, said), 1)
    np.testing.assert_array_equal(found.table, table)
    assert dn.calibrate(analog, [(x[:5], y[:5]), x[5:]]).answers is None


# ---------------------------------------------------------------- maps of pixels


def masks(count: int, share: float, seed: int = 4) -> np.ndarray:
    """Labels (count, 8, 8) of 3 classes: `share` of the pixels are class 0."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((count, 8, 8)) < share, 0, rng.integers(1, 3, (count, 8, 8)))


def pixel_scores(said: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.eye(3)[said], -1, 1)


@pytest.mark.parametrize(("count", "raised"), [(400, True), (6, False)])
def test_maps_at_the_share_of_the_commonest_class_raise_an_alarm(count: int, raised: bool) -> None:
    """Images are the trials: 6 of them tell nothing, whatever their pixels."""
    labels = masks(count, 0.7)
    for blind in (np.zeros_like(labels), np.random.default_rng(5).permutation(labels)):
        found = answers(pixel_scores(blind), labels)
        assert found is not None
        assert (found.images, found.of) == (count, 64 * count)
        alarms = sanity.of_answers(found, "images of data")
        assert [a.kind for a in alarms] == ["chance"] * raised
        for alarm in alarms:
            assert f"the class of {found.right:,} of 25,600 pixels of 400 images of data" in alarm.sentence
            assert f"where a guess gets {100 * (labels == 0).mean():.1f} %" in alarm.sentence


def test_maps_of_even_classes_have_one_by_their_number_as_chance() -> None:
    labels = masks(400, 1 / 3)
    (alarm,) = sanity.of_answers(answers(pixel_scores(masks(400, 1 / 3, 6)), labels), "images")
    assert "where a guess gets 33.3 %" in alarm.sentence


def test_a_network_that_finds_what_is_rare_raises_none() -> None:
    """Hardly more right pixels than the background's, and yet most of the others found."""
    labels = masks(4000, 0.97)
    said = np.where((labels == 0) & (np.random.default_rng(7).random(labels.shape) < 0.02), 1, labels)
    assert answers(pixel_scores(said), labels).accuracy < 0.985  # type: ignore[union-attr]
    assert not sanity.of_answers(answers(pixel_scores(said), labels), "images")
    (alarm,) = sanity.of_answers(answers(pixel_scores(0 * labels), labels), "images")
    assert alarm.kind == "chance"
    (alarm,) = sanity.of_answers(answers(pixel_scores(said), labels), "images", 0.999)
    assert alarm.kind == "expectation"


def test_pixels_that_are_no_class_are_not_counted() -> None:
    labels = masks(5, 0.5)
    labels[:, 0] = 255
    found = answers(pixel_scores(masks(5, 0.5)), labels)
    assert found is not None
    assert (found.of, found.right) == (5 * 56, 5 * 56)
    labels[:, 1] = 254
    assert answers(pixel_scores(masks(5, 0.5)), labels) is None
    assert answers(pixel_scores(masks(5, 0.5)), np.full((5, 8, 8), 255)) is None


@pytest.mark.parametrize("channels", [1, 2])
def test_binary_masks_that_guess_raise_an_alarm(channels: int) -> None:
    rng = np.random.default_rng(8)
    labels = (rng.random((600, channels, 6, 6)) < 0.3).astype(np.int64)
    sound = 2 * labels - 1 + 0.5 * rng.normal(size=labels.shape)
    found = answers(sound, labels)
    assert found is not None
    assert (found.images, found.of, found.by_label is None) == (600, 600 * 36 * channels, channels == 1)
    assert found.right == np.count_nonzero((sound > 0) == labels)
    assert not sanity.of_answers(found, "images")
    for blind in (rng.normal(size=labels.shape), np.full(labels.shape, -1.0)):
        (alarm,) = sanity.of_answers(answers(blind, labels), "images")
        assert alarm.kind == "chance"
        assert "600 images" in alarm.sentence
        assert not sanity.of_answers(answers(blind[:6], labels[:6]), "images")


@pytest.fixture(scope="module")
def segmenting() -> tuple[Any, ...]:
    """Graphs of a network of maps, 300 images and the ANN's own classes of their pixels."""
    torch.manual_seed(3)
    model, x = (
        torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 1)),
        images(300, (2, 6, 6), 0),
    )
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=1, levels=31)
    return analog, spiking, dn.quantize(spiking), x, analog.ann(x).argmax(axis=1)


def test_calibrate_compare_and_explain_look_at_maps(segmenting: tuple[Any, ...]) -> None:
    *graphs, x, own = segmenting
    blind = np.random.default_rng(9).permutation(own)
    blind[:, 0, 0] = 255
    for y, kinds in ((own, []), (blind, ["chance"])):
        found = dn.calibrate(graphs[0], [(x[:100], y[:100]), (x[100:], y[100:])]).answers
        assert found is not None
        assert (found.maps, found.right) == (300, np.count_nonzero(own == y))
        compared = dn.compare(dn.Networks(*graphs), x, y, lava=dn.Lava(images=0), measure=dn.Ask(ignored=255))
        explained = dn.explain(dn.Networks(*graphs), x, y, measure=dn.Ask(ignored=255))
        for alarms in (sanity.of_answers(found, "images"), compared.alarms, explained.alarms):
            assert [a.kind for a in alarms] == kinds
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dn.tune(
            graphs[0],
            x,
            dn.Target("steps", 1),
            labels=blind,
            measure=dn.Ask(ignored=255),
            space=dn.Space(levels=(31,), vary=("steps",), images=8),
        )
    assert any("pixels of 300 of these images" in str(w.message) for w in caught)


def test_counts_for_alarms_add_up() -> None:
    """Of maps and of several labels, in any cut; also where one part has no label that counts."""
    labels = masks(30, 0.5)
    labels[:10] = 255
    said = masks(30, 0.5)
    measure = chosen({"out": (3, 8, 8)}, labels, ignored=255)
    parts = [tallies.guessed(measure, said[i : i + 10], labels[i : i + 10]) for i in (0, 10, 20)]
    whole = tallies.guessed(measure, said[10:], labels[10:])
    assert tallies.total(parts) == whole
    scores, y = several(2000, 0.8)
    of_labels = chosen({"out": (4,)}, y, ignored=9)
    y[:10] = 9
    for values, kinds in ((scores, []), (-np.ones_like(scores), ["chance"])):
        cut = [
            tallies.guessed(of_labels, of_labels.said(values[part]), y[part])
            for part in (slice(0, 10), slice(10, 2000))
        ]
        assert [a.kind for a in tallies.alarms(tallies.total(cut), "images")] == kinds
        assert tallies.alarms(cut[0], "images") == ()


# ---------------------------------------------------------------- integers


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (8, 0, 2 / 256), (0, 8, 2 / 256), (3, 1, 10 / 16), (5, 5, 1.0)],
)
def test_mcnemars_test_is_a_sum_of_tosses(a: int, b: int, p: float) -> None:
    assert sanity.mcnemar(a, b) == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize(
    ("lost", "won", "count", "raised"),
    [
        (8, 0, 64, True),
        (0, 8, 64, False),
        (7, 0, 64, False),  # 2 / 128 is above 0.01
        (30, 6, 1000, True),
        (30, 20, 1000, False),
        (40, 4, 10_000, False),
        (60, 4, 10_000, True),  # 0.36 and 0.56 points
    ],
)
def test_integers_raise_an_alarm_where_they_lose_significantly(
    lost: int, won: int, count: int, raised: bool
) -> None:
    found = sanity.integers(lost, won, count, 4, "look there")
    assert [a.kind for a in found] == ["integers"] * raised
    assert all("after 4 steps" in a.sentence and "look there" in a.sentence for a in found)


def test_several_t_share_the_level() -> None:
    assert sanity.integers(8, 0, 64, 4, "")  # p = 0.0078
    assert not sanity.integers(8, 0, 64, 4, "", tests=2)


@pytest.fixture(scope="module")
def four() -> tuple[Any, ...]:
    """Graphs of 4 steps, images and the ANN's classes."""
    model, x = randomized(ResidualPoolNet(), 10), images(60, (2, 6, 6), 0)
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=4, levels=4)
    return analog, spiking, dn.quantize(spiking), x, analog.ann(x).argmax(axis=1)


def broken(integer: SpikingGraph) -> SpikingGraph:
    """One whose read-out has codes that are 0, 1 or -1."""
    out = integer.readout
    assert isinstance(out, ReadOut)
    (q,) = out.projections
    starved = replace(
        out,
        projections=(replace(q, weight=np.sign(q.weight // 64).astype(q.weight.dtype)),),
        bias=out.bias // 64,
    )
    return SpikingGraph(tuple(starved if p is out else p for p in integer), steps=integer.steps)


def test_compare_and_explain_tell_where_integers_lose(four: tuple[Any, ...]) -> None:
    analog, spiking, integer, x, y = four
    for graph, kinds in ((integer, []), (broken(integer), ["integers"])):
        compared = dn.compare(dn.Networks(analog, spiking, graph), x, y, lava=dn.Lava(images=0))
        explained = dn.explain(dn.Networks(analog, spiking, graph), x, y)
        assert [a.kind for a in compared.alarms] == [a.kind for a in explained.alarms] == kinds
        for alarm in (*compared.alarms, *explained.alarms):
            assert (
                f"look at the projection from {integer.populations[-2].name} into {integer.readout.name}"
                in alarm.sentence
            )
        for t, share in compared.agreement["float"].items():
            more = compared.alone["float"][t] - compared.alone["integer"][t]
            assert more == pytest.approx(60 * (share - compared.agreement["integer"][t]))


def test_values_that_explain_nothing_raise_an_alarm(four: tuple[Any, ...]) -> None:
    """R2 of 0 is the targets' mean, whatever the network: targets in other units, say."""
    analog, spiking, integer, x, _ = four
    values, nets = analog.ann(x), dn.Networks(analog, spiking, integer)
    for targets, kinds in ((values + 0.1, []), (100 * values + 7, ["chance"])):
        compared = dn.compare(nets, x, targets, lava=dn.Lava(images=0))
        explained = dn.explain(nets, x, targets)
        assert [a.kind for a in compared.alarms] == [a.kind for a in explained.alarms] == kinds
        for alarm in (*compared.alarms, *explained.alarms):
            assert "the ANN's values explain nothing of the targets of 60 " in alarm.sentence
            assert "targets are scaled or ordered otherwise" in alarm.sentence
    assert dn.compare(nets, x[:9], 100 * values[:9] + 7, lava=dn.Lava(images=0)).alarms == ()  # few images


def test_paired_counts_add_up(four: tuple[Any, ...]) -> None:
    analog, spiking, integer, x, y = four
    graphs = analog, spiking, broken(integer)
    measure = measures.of(analog, y)
    whole = comparison.tallied(dn.Networks(*graphs), x, y, measure=measure, steps=(1, 4))
    parts = [
        comparison.tallied(dn.Networks(*graphs), x[part], y[part], measure=measure, steps=(1, 4))
        for part in (slice(0, 7), slice(7, 60))
    ]
    assert tallies.total(parts) == tallies.total([whole])
    found, of_parts = (
        comparison.comparison(graphs[2], measure, t, None) for t in map(tallies.total, ([whole], parts))
    )
    assert found == of_parts


def test_a_state_that_saturates_is_looked_at_first(four: tuple[Any, ...]) -> None:
    integer = four[2]
    names = {p.name: 0 for p in integer}
    assert "whose state saturates (3 times)" in weak_spots.look_at(
        integer, {**names, integer.populations[1].name: 3}
    )
    assert "weights use" in weak_spots.look_at(integer, names)


# ---------------------------------------------------------------- the commands


def test_accuracies_are_shares_or_percent() -> None:
    assert [_accuracy(text) for text in ("0.926", "92.6", "92.6%", "1", "1%", "100")] == pytest.approx(
        [0.926, 0.926, 0.926, 1, 0.01, 1]
    )
    for text in ("0", "101", "-1", "much"):
        with pytest.raises(ValueError, match=r"^$|could not convert"):
            _accuracy(text)


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    import digits_net

    monkeypatch.chdir(tmp_path)
    digits_net.lay_out(tmp_path)
    return tmp_path


MODEL = ["--model", "net.py:network", "--data", "data.npz", "--recipe", "paper", "--steps", "2"]
SOUND = [*MODEL, "--weights", "weights.pt", "--mean", "0.88", "--std", "0.05"]
VERBS = {
    "convert": (),
    "costs": ("--images", "2"),
    "compare": ("--lava-images", "0", "--images", "200"),
    "explain": (),
    "verify": ("--images", "2"),
    "tune": ("--labels", "--max-steps", "2", "--fit-images", "100", "--held-images", "100"),
    "report": ("--lava-images", "0", "--images", "100", "--cost-images", "1", "--explain-images", "4"),
    "precision": (
        "--images",
        "50",
        "--try-weight-bits",
        "4,8",
        "--try-payload-bits",
        "5",
        "--try-state-bits",
        "24",
    ),
}


def needed(verb: str) -> None:
    for package in {"report": ("jinja2",), "verify": ("lava",)}.get(verb, ()):
        pytest.importorskip(package, reason=f"{package} is not installed")


@pytest.mark.parametrize("verb", VERBS)
def test_images_that_are_not_prepared_raise_an_alarm_first(
    digits: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    needed(verb)
    command = [verb, *MODEL, "--weights", "weights.pt", *VERBS[verb], "--json"]
    assert cli.main(command) == 1
    out, err = capsys.readouterr()
    lines = err.splitlines()
    raised = next(i for i, line in enumerate(lines) if line.startswith("alarm: "))
    assert "of 1,200 images of data.npz (train)" in lines[raised] or verb == "tune"
    assert "most likely images are not prepared as in training: none of --mean, --std" in lines[raised]
    assert "nothing below means anything" in lines[raised]
    assert not {"fit ...", "convert, quantize ...", "steps and levels ..."} & set(
        lines[:raised]
    )  # before any work
    assert "--anyway" in lines[-1]
    (alarm,) = json.loads(out)["alarms"]
    assert alarm["kind"] == "chance"
    assert cli.main([*command, "--anyway", *(["--overwrite"] if verb in ("convert", "report") else [])]) == 0
    assert "alarm: " in capsys.readouterr().err
    if verb == "report":
        page = (digits / "report.html").read_text()
        assert '<p class="alarm" role="alert">the ANN says the class of' in page
        assert page.index('class="alarm"') < page.index('class="lead"')


@pytest.mark.parametrize("verb", VERBS)
def test_a_sound_set_up_raises_none(digits: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    needed(verb)
    cli.main([verb, *SOUND, *VERBS[verb]])
    out, err = capsys.readouterr()
    assert "alarm:" not in err
    assert "--anyway" not in err
    assert "expect" not in out
    if verb == "report":
        assert 'class="alarm"' not in (digits / "report.html").read_text()


@pytest.mark.parametrize("verb", ["simulate", "predict"])
def test_a_file_s_network_that_guesses_raises_an_alarm(
    digits: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert cli.main(["convert", *SOUND, "-o", "a.net"]) == 0
    images = ["--images", "300"] if verb == "simulate" else []
    command = [verb, "a.net", "--data", "data.npz", *images, "-o", "result.json", "--json"]
    capsys.readouterr()
    assert cli.main(command) == 0
    out, err = capsys.readouterr()
    assert "alarm:" not in err
    assert json.loads(out)["alarms"] == []
    broken = [*command, "--overwrite", "--mean", "0", "--std", "1"]
    assert cli.main(broken) == 1
    out, err = capsys.readouterr()
    assert "alarm: the network " in err
    assert "most likely images are not prepared as in training: --mean, --std given or remembered; or " in err
    assert "--anyway" in err
    found = json.loads(out)
    assert [a["kind"] for a in found["alarms"]] == ["chance"]
    assert json.loads(Path("result.json").read_text()) == found
    assert cli.main([*broken, "--anyway"]) == 0
    assert cli.main([*command, "--overwrite", "--expect-accuracy", "99.9%"]) == 1
    assert "where 99.9 % are expected" in capsys.readouterr().err


def test_folders_that_are_no_classes_of_the_file_raise_none(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures in folders by day, say: their numbers are no classes."""
    from PIL import Image

    assert cli.main(["convert", *SOUND, "-o", "a.net"]) == 0
    with np.load("data.npz") as data:
        for i, image in enumerate(data["x_test"][:200]):
            folder = Path(f"pictures/train/day{i % 10}")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.squeeze(image)).save(folder / f"{i}.png")
    Path("pictures/train").rename("days")
    assert cli.main(["predict", "a.net", "--data", "days", "--grayscale"]) == 0
    assert "alarm:" not in capsys.readouterr().err


def test_the_likeliest_cause_is_told_first(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = ["--mean", "0.88", "--std", "0.05"]
    assert cli.main(["convert", *MODEL, *prepared]) == 1
    assert (
        "most likely --weights is not given, so the weights are freshly initialised, unless net.py"
        in capsys.readouterr().err
    )
    with np.load("data.npz") as data:
        arrays = {name: (data[name] + 1) % 10 if name.startswith("y") else data[name] for name in data.files}
    np.savez("turned.npz", **arrays)
    turned = [*MODEL[:2], "--data", "turned.npz", *MODEL[4:], "--weights", "weights.pt", *prepared]
    assert cli.main(["convert", *turned, "--overwrite"]) == 1
    told = capsys.readouterr().err
    assert "most likely the labels are off by 1, or the classes stand in another order: 98." in told
    assert "get the label less 1; labels that begin at 1" in told


@pytest.mark.parametrize("verb", ["compare", "explain", "precision", "report", "tune", "simulate"])
@pytest.mark.parametrize(
    ("labels", "told"),
    [(lambda y: y + 1, "10 among them"), (lambda y: y - 1, "-1 among them"), (lambda y: y % 7 + 5, "10, 11")],
)
def test_labels_beyond_the_classes_are_refused_before_anything_is_fitted(
    digits: Path, verb: str, labels: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load("data.npz") as data:
        arrays = {
            name: labels(data[name].astype(int)) if name[0] == "y" else data[name] for name in data.files
        }
    np.savez("beyond.npz", **arrays)
    of = ["--model", "net.py:network", "--weights", "weights.pt"]
    if verb == "simulate":
        assert (
            cli.main(
                ["convert", *of, "--data", "data.npz", *MODEL[4:], *SOUND[-4:], "-o", "f.net", "--overwrite"]
            )
            == 0
        )
        of = ["f.net"]
    more = {"tune": ["--labels", "--max-drop", "1"], "compare": ["--lava-images", "0"]}.get(verb, [])
    capsys.readouterr()
    assert cli.main([verb, *of, "--data", "beyond.npz", *SOUND[-4:], *more]) == 1
    err = capsys.readouterr().err
    assert f"labels: {told}" in err
    assert "tells classes 0 to 9" in err
    assert "calibrate" not in err
    assert ("they begin at 1: subtract 1" in err) == (told == "10 among them")


def test_labels_of_a_dataset_are_looked_at_evenly(capsys: pytest.CaptureFixture[str]) -> None:
    class Ordered(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 5000

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return np.zeros((1, 4, 4), np.float32), index // 500

    data = datasets.Labelled(Ordered(), Preparation(), "ordered")
    seen = datasets.labels_of(data, np.arange(5000))
    assert len(seen) == datasets.BATCH
    assert np.unique(seen).tolist() == list(range(10))


def test_an_accuracy_that_is_expected(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", *SOUND, *VERBS["compare"], "--expect-accuracy", "95"]) == 0
    assert cli.main(["compare", *SOUND, *VERBS["compare"], "--expect-accuracy", "99.9%", "--json"]) == 1
    out, err = capsys.readouterr()
    assert "where 99.9 % are expected" in err
    assert json.loads(out[out.index("{") :])["alarms"][0]["kind"] == "expectation"
    with pytest.raises(SystemExit):
        cli.main(["compare", *SOUND, "--expect-accuracy", "much"])
    assert "'much' is not an accuracy such as 0.926" in capsys.readouterr().err
