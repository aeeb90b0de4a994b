"""What one network loses to another on the same images, and where they part."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from dnisnm_lava.evaluation import pairs
from dnisnm_lava.evaluation.comparison import Answered
from dnisnm_lava.evaluation.intervals import newcombe
from dnisnm_lava.measures import Measure, wilson

CLASSES = Measure("classes", "out", (3,))
MAPS = Measure("classes", "out", (3, 2, 2), ignored=255)
MASK = Measure("binary", "out", (1, 1, 2))
VALUES, ONE = Measure("values", "out", (2,)), Measure("values", "out", (1,))
LABELS = Measure("binary", "out", (2,))


def answered(ann: np.ndarray, said: np.ndarray, labels: np.ndarray | None, values: np.ndarray) -> Answered:
    right = {"ann": ann, **({} if labels is None else {"labels": labels})}
    return Answered(values, right, {"float": {1: ann}, "integer": {1: said}}, {}, {})


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998, his first example
        ((1, 1, 7, 12), -0.5069, -0.0256),  # Fagerland et al., Statistical Analysis of Contingency Tables, 8
    ],
)
def test_the_paired_interval_is_newcombes(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    assert newcombe(*counts) == pytest.approx((low, high), abs=5e-5)  # as printed, to four places


def test_the_paired_interval_covers_the_difference_about_as_often_as_it_says() -> None:
    """Every outcome of 24 images, by its chance; where pairs agree mostly, as of networks and their ANN."""
    n = 24
    for p in ((0.8, 0.08, 0.04, 0.08), (0.6, 0.15, 0.15, 0.1), (0.9, 0.05, 0.0, 0.05)):
        covered = 0.0
        for a in range(n + 1):
            for b in range(n + 1 - a):
                for c in range(n + 1 - a - b):
                    d = n - a - b - c
                    ways = comb(n, a) * comb(n - a, b) * comb(n - a - b, c)
                    low, high = newcombe(a, b, c, d)
                    chance = p[0] ** a * p[1] ** b * p[2] ** c * p[3] ** d
                    covered += ways * chance * (low <= p[1] - p[2] <= high)
        assert 0.93 < covered <= 1  # he found 0.91 at the least, and 0.955 on average, over such p


def test_it_turns_with_its_sides_and_is_narrower_than_two_intervals_apart() -> None:
    low, high = newcombe(900, 12, 8, 80)
    assert newcombe(900, 8, 12, 80) == pytest.approx((-high, -low), abs=1e-12)
    apart = wilson(0.912, 1000)[1] - wilson(0.908, 1000)[0]
    assert low < 0.004 < high < apart
    assert newcombe(5, 0, 0, 0)[0] < 0 < newcombe(5, 0, 0, 0)[1]  # no pair differs: not certain all the same


# ---------------------------------------------------------------- what is lost


def test_a_loss_counts_images_on_which_one_alone_is_right() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 0])
    ann = np.array([0, 0, 1, 1, 2, 2, 0, 1])
    said = np.array([0, 1, 1, 0, 2, 2, 2, 1])
    found = answered(ann, said, labels, np.zeros((8, 3)))
    loss = pairs.losses(found, CLASSES, "integer")[1]
    assert (loss.lost, loss.worse, loss.better, loss.images) == (1 / 8, 2, 1, 8)
    assert loss.interval == newcombe(4, 2, 1, 1)
    assert loss.p == 1.0
    assert pairs.losses(found, CLASSES, "float")[1].lost == 0
    assert pairs.losses(answered(ann, said, None, np.zeros((8, 3))), CLASSES, "integer") == {}


def test_the_loss_of_maps_is_that_of_the_mean_iou_and_its_interval_that_of_images() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (40, 2, 2))
    labels[rng.random(labels.shape) < 0.2] = 255
    ann, said = (np.where(rng.random(labels.shape) < p, labels, 0) for p in (0.9, 0.7))
    loss = pairs.losses(answered(ann, said, labels, np.zeros((40, 3, 2, 2))), MAPS, "integer")[1]

    def miou(answers: np.ndarray, keep: np.ndarray) -> float:
        wanted, counted = labels[keep], labels[keep] != 255
        told = answers[keep]
        both = [np.sum((told == c) & (wanted == c)) for c in range(3)]
        either = [np.sum(((told == c) | (wanted == c)) & counted) for c in range(3)]
        return float(np.mean(np.divide(both, either)))

    everything = np.arange(40)
    assert loss.lost == pytest.approx(miou(ann, everything) - miou(said, everything), abs=1e-12)
    without = np.array([np.delete(everything, i) for i in everything])  # the jackknife, image by image
    apart = np.array([miou(ann, keep) - miou(said, keep) for keep in without])
    half = 1.959964 * np.sqrt(39 / 40 * np.sum((apart - apart.mean()) ** 2))
    assert np.subtract(*loss.interval[::-1]) / 2 == pytest.approx(half, rel=0.05)
    counted = labels != 255
    each = ((ann == labels) & counted).sum(axis=(1, 2)) - ((said == labels) & counted).sum(axis=(1, 2))
    assert (loss.worse, loss.better) == ((each > 0).sum(), (each < 0).sum())


def test_the_loss_of_values_is_that_of_r2_paired_image_by_image() -> None:
    rng = np.random.default_rng(1)
    targets = rng.normal(size=(50, 2))
    ann = targets + 0.3 * rng.normal(size=targets.shape)
    said = ann + 0.05 * rng.normal(size=targets.shape)
    loss = pairs.losses(answered(ann, said, targets, ann), VALUES, "integer")[1]
    around = np.mean((targets - targets.mean(axis=0)) ** 2)
    each = (((said - targets) ** 2).mean(axis=1) - ((ann - targets) ** 2).mean(axis=1)) / around
    assert loss.lost == pytest.approx(each.mean(), abs=1e-12)
    half = 1.959964 * each.std(ddof=1) / np.sqrt(50)
    assert np.subtract(*loss.interval[::-1]) / 2 == pytest.approx(half, rel=1e-6)
    assert (loss.worse, loss.better) == ((each > 0).sum(), (each < 0).sum())
    alone = pairs.losses(answered(ann, said, None, ann), VALUES, "integer")[1]
    own = np.mean((ann - ann.mean(axis=0)) ** 2)
    assert alone.lost == pytest.approx(np.mean((said - ann) ** 2) / own, rel=1e-9)
    assert alone.interval[0] < alone.lost < alone.interval[1]
    first = [answers[:1].reshape(1, 1, 1, 2) > 0 for answers in (ann, said, targets)]
    one = pairs.losses(answered(*first, np.zeros((1, 1, 1, 2))), MASK, "integer")[1]
    assert one.interval == (-1.0, 1.0)  # one image tells nothing of others


def test_values_part_where_they_are_far_from_the_ann() -> None:
    ann = np.linspace(-1, 1, 21)[:, None]
    said, targets = ann.copy(), ann.copy()
    said[[3, 7, 9], 0] += (0.5, -0.3, 0.01)
    targets[7] -= 0.4  # the integer SNN is nearer here
    parting = pairs.partings(answered(ann, said, targets, ann), ONE, 2)[1]
    assert (parting.images, parting.apart, parting.ann_right, parting.integer_right) == (21, 2, 1, 1)
    assert (parting.shown, parting.confusion) == ((3, 7), {})
    assert parting.deviation == pytest.approx(ann.std())
    assert parting.errors == pytest.approx({50: 0.0, 90: 0.01, 99: 0.5, 100: 0.5})


# ---------------------------------------------------------------- where they part


def test_partings_count_confusions_and_show_where_the_ann_was_surest() -> None:
    values = np.array([[5.0, 0, 1], [0, 1, 3], [0, 2, 1], [9, 0, 8]])
    ann = values.argmax(axis=1)  # 0, 2, 1, 0
    said = np.array([2, 1, 1, 2])
    found = pairs.partings(answered(ann, said, np.array([0, 1, 1, 1]), values), CLASSES, 2)[1]
    assert (found.images, found.apart, found.ann_right, found.integer_right) == (4, 3, 1, 1)
    assert dict(found.confusion) == {(0, 2): 2, (2, 1): 1}
    assert list(found.confusion) == [(0, 2), (2, 1)]  # the most frequent first
    assert found.shown == (0, 1)  # by 4 and 2; the last by 1 is one too many


def test_several_answers_an_image_part_one_by_one() -> None:
    ann = np.array([[True, False], [True, True], [False, False]])
    said = np.array([[True, True], [False, False], [False, False]])
    found = pairs.partings(answered(ann, said, None, np.zeros((3, 2))), LABELS, 8)[1]
    assert (found.apart, found.ann_right, found.integer_right) == (2, 0, 0)
    assert dict(found.confusion) == {(1, 0): 1, (2, 3): 1, (3, 2): 1}  # 2 * label + answer
    assert found.shown == (1, 0)  # two answers apart, then one
