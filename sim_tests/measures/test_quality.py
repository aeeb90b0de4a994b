"""One number for every kind of answer: its standard error, and how it is told."""

from __future__ import annotations

import numpy as np
import pytest

from dnisnm_lava.measures import Fit, Measure, Share, quality, scale
from dnisnm_lava.measures.quality import influence, standard_error

MAPS = Measure("classes", "out", (3, 4, 4))
VALUES = Measure("values", "out", (2,))


def drawn(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Masks whose images differ in how hard they are."""
    rng = np.random.default_rng(seed)
    wanted = rng.integers(0, 3, (images, 4, 4))
    hard = rng.uniform(0.5, 1, (images, 1, 1))
    return np.where(rng.random(wanted.shape) < hard, wanted, rng.integers(0, 3, wanted.shape)), wanted


def of(said: np.ndarray, wanted: np.ndarray, measure: Measure) -> float:
    return measure.score(measure.count(said, wanted), measure.spread(wanted), len(said)).quality


def test_an_image_moves_the_number_by_its_influence() -> None:
    said, wanted = drawn(60)
    rng = np.random.default_rng(1)
    targets = rng.normal(size=(60, 2))
    for measure, a, b in ((MAPS, said, wanted), (VALUES, targets + rng.normal(size=targets.shape), targets)):
        each = influence(measure, a, b)
        assert each.sum() == pytest.approx(0, abs=1e-12)
        if measure is VALUES:  # whose variance is taken as it is
            squares = np.square(a - b).mean(axis=1)
            assert each == pytest.approx((squares.mean() - squares) / 60 / np.mean((b - b.mean(axis=0)) ** 2))
            continue
        whole = of(a, b, measure)
        moved = np.array(
            [59 / 60 * (whole - of(np.delete(a, i, 0), np.delete(b, i, 0), measure)) for i in range(60)]
        )
        assert np.corrcoef(each, moved)[0, 1] > 0.999
        assert each.std() == pytest.approx(moved.std(), rel=0.03)


def test_the_interval_of_the_mean_iou_holds_it_about_as_often_as_it_says() -> None:
    many, wanted = drawn(20_000, 5)
    truth, held = of(many, wanted, MAPS), 0
    for part in np.split(np.arange(20_000), 400):
        score = MAPS.score(MAPS.count(many[part], wanted[part]), {}, 50)
        low, high = quality(MAPS, score, many[part], wanted[part]).interval
        held += low <= truth <= high
    assert 0.91 < held / 400 < 0.98


def test_one_image_tells_nothing_of_others() -> None:
    said, wanted = drawn(1)
    score = MAPS.score(MAPS.count(said, wanted), {}, 1)
    assert quality(MAPS, score, said, wanted).interval == (0.0, 1.0)
    assert standard_error(influence(MAPS, said, wanted)) == 0.0


def test_the_largest_error_is_of_a_single_value() -> None:
    wanted = np.array([[0.0, 1.0], [2.0, -1.0], [1.0, 1.0]])
    said = wanted + np.array([[0.3, 0.3], [0.0, -0.4], [0.1, 0.0]])
    fit = VALUES.score(VALUES.count(said, wanted), VALUES.spread(wanted), 3)
    assert isinstance(fit, Fit)
    assert fit.worst == (0, pytest.approx(0.3))
    assert fit.largest == (1, pytest.approx(0.4))


def test_a_number_is_told_in_its_own_unit() -> None:
    share, masks = Share(9, 10, 10), Share(80, 100, 10, (0.5, None, 1.0))
    fit = Fit(0.04, 0.001, 4.0, 10, (3, 0.5), (3, 0.5))
    accuracy, miou = scale(Measure("classes", "out", (3,)), share), scale(MAPS, masks)
    rmse, error = scale(VALUES, fit), scale(Measure("values", "out", (2,), labels=False), fit)
    told = [
        s.words(s.of(score.quality))
        for s, score in ((accuracy, share), (miou, masks), (rmse, fit), (error, fit))
    ]
    assert told == ["90.00 %", "75.00 %", "0.2000", "10.00 %"]
    assert [s.lost for s in (accuracy, miou, rmse, error)] == ["accuracy", "mean IoU", "R2", "R2"]


def test_one_answer_for_every_pixel_has_the_iou_of_its_class_by_all_classes() -> None:
    wanted = np.array([[[0, 0], [0, 1]], [[0, 0], [2, 1]]])
    measure = Measure("classes", "out", (3, 2, 2))
    assert measure.constant(wanted) == pytest.approx(of(np.zeros_like(wanted), wanted, measure))
