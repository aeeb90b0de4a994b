"""Neurons that send a curve, and gates, against Python integers and against the neuron of the paper."""

import math
from fractions import Fraction

import numpy as np
import pytest

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Curve, Smooth, dynamics
from dnisnm_lava.ir.activations import ACTIVATIONS, BEYOND, near
from dnisnm_lava.ir.curves import jumping, through

PARAMETERS = {"softplus": (2.0, 10.0), "elu": (1.7, 1.05, 0.8)}


def integer_curve(rng: np.random.Generator, channels: int, knots: int) -> Curve:
    return Curve(
        "drawn",
        np.sort(rng.integers(-500, 500, (channels, knots)), axis=1),
        rng.integers(-3000, 3000, (channels, knots + 1)),
        rng.integers(-(10**6), 10**6, (channels, knots + 1)),
    )


@pytest.mark.parametrize("knots", [0, 1, 5])
@pytest.mark.parametrize(("two_sided", "most"), [(True, 0), (False, 0), (True, 3), (False, 3)])
def test_what_is_sent_follows_the_curve_in_python_integers(knots: int, two_sided: bool, most: int) -> None:
    """Each neuron by itself, with exact fractions for the nearest whole number of thresholds."""
    rng = np.random.default_rng(knots)
    curve, levels = integer_curve(rng, 3, knots), 4
    vth = np.array([1 << 15, 1 << 14, 0])[:, None].repeat(7, axis=1)
    v, m = np.zeros((1, 3, 7), np.int64), np.zeros((1, 3, 7), np.int64)
    for steps in (1, 2, 3, 3):
        v = v + rng.integers(-400, 400, v.shape)
        fired = dynamics.follow(v, m, vth, curve, steps, dynamics.Allowed(levels, two_sided, None, most))
        for c in range(3):
            for i in range(7):
                total, held = int(v[0, c, i]), int(m[0, c, i])
                piece = sum(total >= steps * int(knot) for knot in curve.knots[c])
                value = int(curve.slopes[c, piece]) * total + steps * int(curve.offsets[c, piece])
                goal = math.floor(Fraction(value, int(vth[c, i]) or 1) + Fraction(1, 2))
                goal = max(goal, -most if most else goal) if two_sided else max(goal, 0)
                goal = min(goal, most) if most else goal
                k = max(-levels, min(levels, goal - held)) if vth[c, i] else 0
                assert int(fired.k[0, c, i]) == k
        assert np.array_equal(fired.v, v)
        m = fired.m


def test_a_relu_is_the_neuron_with_the_smallest_lower_threshold() -> None:
    """Level for level, whatever arrives: 2**10 is worth one level on both ways."""
    rng = np.random.default_rng(0)
    relu = Curve("relu", np.zeros((1, 1), np.int64), np.array([[0, 1]]), np.zeros((1, 2), np.int64))
    vth = np.full((1, 40), 1 << 10)
    sums, v = np.zeros((1, 1, 40), np.int64), np.full((1, 1, 40), 1 << 9)
    m, other = np.zeros((1, 1, 40), np.int64), np.zeros((1, 1, 40), np.int64)
    for steps in range(1, 30):
        z = rng.integers(-5000, 5000, v.shape)
        sums, v = sums + z, v + z
        fired = dynamics.fire(v, m, vth, 3, lower=dynamics.lower_threshold(vth, 0.0))
        followed = dynamics.follow(sums, other, vth, relu, steps, dynamics.Allowed(3))
        assert np.array_equal(fired.k, followed.k)
        v, m, other = fired.v, fired.m, followed.m
    assert m.max() > 3


def test_a_dead_band_keeps_what_moves_by_less_than_half_of_it() -> None:
    """h = 1: a level is left only when the curve is a whole level away from it, either side."""
    line = Curve("line", np.zeros((1, 0), np.int64), np.array([[1]]), np.zeros((1, 1), np.int64))
    vth, m = np.full((1, 1), 8), np.array([[[2]]])
    band = dynamics.band_of(vth, 0.5)
    sent = {
        v: int(
            dynamics.follow(np.array([[[v]]]), m, vth, line, 1, dynamics.Allowed(9, True, band, 9)).k[0, 0, 0]
        )
        for v in range(40)
    }
    assert {v for v, k in sent.items() if k == 0} == set(range(8, 24))
    assert sent[24] == 1
    assert sent[7] == -1
    assert sent[39] == 3


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_gate_sends_the_product_in_python_integers(steps: int) -> None:
    rng = np.random.default_rng(steps)
    a, b = rng.integers(-300, 300, (1, 2, 5)), rng.integers(0, 200, (1, 2, 1))
    m, vth, gain = rng.integers(-20, 20, (1, 2, 5)), np.full((2, 5), 1 << 20), np.array([[900], [77777]])
    k = dynamics.gate(a, b, m, vth, gain, steps, dynamics.Allowed(31, True))
    for c in range(2):
        own = math.floor(Fraction(int(gain[c, 0]), steps) + Fraction(1, 2))
        for i in range(5):
            product = Fraction(int(a[0, c, i]) * int(b[0, c, 0]) * own, 1 << 20)
            goal = math.floor(product + Fraction(1, 2))
            assert int(k[0, c, i]) == max(-31, min(31, goal - int(m[0, c, i])))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_error_that_is_told_is_the_largest_there_is(name: str) -> None:
    """On points that the choice of knots did not look at; no more than what was asked for."""
    rng = np.random.default_rng(1)
    function = Smooth(name, PARAMETERS.get(name, ()))
    low, high, asked = np.array([-6.0, -0.3, 0.1]), np.array([3.0, 0.2, 4.0]), np.array([0.05, 0.01, 0.02])
    curve = near(function, low, high, asked)
    span = high - low
    x = (low - BEYOND * span)[:, None] + (1 + 2 * BEYOND) * span[:, None] * rng.random((3, 20000))
    apart = np.abs(curve.at(x.T) - function.at(x.T)).T.max(axis=1)
    assert (curve.error <= asked).all()
    # 129 points of a piece are looked at: where curvature hardly changes, the largest of a parabola is at
    # most (1 / 128)^2 of it larger between two of them; where it jumps inside a piece, some hundredths
    assert (apart <= curve.error * (1 + 1e-2) + 1e-12).all()
    assert curve.worst is not None
    there = curve.worst[None]
    assert np.allclose(np.abs(curve.at(there) - function.at(there))[0], curve.error, rtol=0, atol=1e-12)


def test_slopes_of_channels_meet_at_the_knots() -> None:
    curve = through("shrink", [-1.0, 0.0, 2.0], [np.array([1.0, 3.0]), 0.0, 0.0, np.array([2.0, 0.5])])
    x = np.array([[-3.0, -3.0], [-1.0, -1.0], [1.0, 1.0], [4.0, 4.0]])
    assert np.array_equal(curve.at(x), [[-2.0, -6.0], [0.0, 0.0], [0.0, 0.0], [4.0, 1.0]])
    assert curve.is_signed
    assert curve.is_exact
    assert not through("abs", [0.0], [-1.0, 1.0]).is_signed
    assert not jumping("step", [0.0], [0.0, 0.0], [0.0, 1.0]).is_signed


def test_after_several_steps_all_is_taken_as_often() -> None:
    """steps * f(x / steps), without a division: of exact fractions of two the same number."""
    curve = through("leaky_relu", [0.0], [0.25, 1.0])
    x = np.arange(-16.0, 16.0)[:, None]
    assert np.array_equal(curve.at(x, 4), 4 * curve.at(x / 4))


@pytest.mark.parametrize(
    ("curve", "told"),
    [
        (Curve("a", np.zeros((2, 1)), np.zeros((2, 2)), np.zeros((2, 2))), "2 rows"),
        (Curve("a", np.array([[1.0, 0.0]]), np.zeros((1, 3)), np.zeros((1, 3))), "do not rise"),
        (Curve("a", np.zeros((1, 1)), np.full((1, 2), np.nan), np.zeros((1, 2))), "NaN"),
        (Curve("a", np.zeros((1, 1), int), np.full((1, 2), 1 << 15), np.zeros((1, 2), int)), "exceed"),
        (Curve("a", np.zeros((1, 1)), np.zeros((1, 3)), np.zeros((1, 2))), "slopes"),
    ],
)
def test_what_is_no_curve_is_told(curve: Curve, told: str) -> None:
    with pytest.raises(OutOfRange, match=f"conv: .*{told}"):
        curve.check("conv", 3)
