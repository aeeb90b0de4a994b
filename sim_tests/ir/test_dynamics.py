"""One neuron, one step at a time, against Python integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import LARGEST, Neuron

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Curve, dynamics
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.fixedpoint import STATE, FixedPointFormat

currents = st.lists(st.integers(-300, 300), min_size=1, max_size=30)


@given(
    vth=st.integers(0, 200),
    payload=st.integers(0, 31),
    bias=st.integers(-40, 40),
    levels=st.integers(1, 5),
    z=currents,
    two_sided=st.booleans(),
    down=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
)
@example(
    vth=100, payload=7, bias=0, levels=1, z=[50], two_sided=False, down=1.0
)  # reaches the threshold exactly: fires
@example(
    vth=100, payload=7, bias=0, levels=1, z=[50, -100], two_sided=False, down=1.0
)  # and exactly -threshold: takes it back
@example(
    vth=100, payload=7, bias=0, levels=1, z=[-300], two_sided=False, down=1.0
)  # has sent nothing: must not send below zero
@example(
    vth=10, payload=3, bias=0, levels=4, z=[10, -300], two_sided=False, down=1.0
)  # takes back no more than it sent
@example(
    vth=10, payload=3, bias=0, levels=4, z=[-300], two_sided=True, down=1.0
)  # two-sided: sends below zero
@example(
    vth=10, payload=3, bias=0, levels=4, z=[10, -16, -1, -1], two_sided=False, down=0.2
)  # at -2 exactly, not at -1
@example(
    vth=10, payload=3, bias=0, levels=4, z=[-15, -11], two_sided=True, down=0.0
)  # 10 below: one level, not two
def test_a_neuron_is_the_papers_neuron(
    vth: int, payload: int, bias: int, levels: int, z: list[int], two_sided: bool, down: float
) -> None:
    """And with another lower threshold, ours."""
    neuron = Neuron(vth, payload, vth >> 1, bias, levels, two_sided, down)
    v, m = np.array([vth >> 1], np.int64), np.zeros(1, np.int64)
    lower = dynamics.lower_threshold(np.array([vth]), down)
    for a in z:
        v, _ = dynamics.integrate(v, np.array([a]), np.array([bias]))
        neuron.integrate(a)
        k, v, m = dynamics.fire(v, m, np.array([vth]), levels, two_sided, lower)
        assert (int(k[0]) * payload, int(v[0]), int(m[0])) == (neuron.fire(), neuron.v, neuron.m)


def test_what_reaches_the_limit_is_not_counted_as_saturated() -> None:
    v = np.array([LARGEST - 1, LARGEST, 1 - LARGEST, -LARGEST])
    one = np.sign(v)
    for bias, saturated in ((0 * one, 2), (-one, 0)):
        found, count = dynamics.integrate(v, one, bias)
        assert (count, found.tolist()) == (
            saturated,
            [min(max(int(n), -LARGEST), LARGEST) for n in v + one + bias],
        )


def test_floats_never_saturate() -> None:
    v, count = dynamics.integrate(np.array([1e30]), np.array([1.0]), np.array([0.0]))
    assert (v.tolist(), count) == ([1e30], 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_a_dead_neuron_is_silent_and_divides_by_nothing(dtype: type) -> None:
    k, v, m = dynamics.fire(np.array([5, -5, 0], dtype), np.array([3, 3, 3]), np.zeros(3, dtype), levels=2)
    assert (k.tolist(), v.tolist(), m.tolist()) == ([0, 0, 0], [5, -5, 0], [3, 3, 3])


@given(z=currents, vth=st.integers(1, 100), levels=st.integers(1, 3))
def test_nothing_is_lost_and_nothing_is_taken_back_twice(z: list[int], vth: int, levels: int) -> None:
    """v + m * vth is the initial potential plus all currents, and m never goes below 0."""
    v, m = np.array([vth >> 1], np.int64), np.zeros(1, np.int64)
    total = int(v[0])
    for a in z:
        total += a
        v, _ = dynamics.integrate(v, np.array([a]), np.zeros(1, np.int64))
        k, v, m = dynamics.fire(v, m, np.array([vth]), levels)
        assert int(v[0]) + int(m[0]) * vth == total
        assert m[0] >= 0
        assert abs(int(k[0])) <= levels


@given(z=st.lists(st.integers(-64, 64), min_size=1, max_size=20))
def test_floats_behave_as_the_same_numbers_as_fractions(z: list[int]) -> None:
    """Currents and thresholds in sixteenths are exact in float64, so floats and fractions must agree."""
    vth = Fraction(17, 16)
    v, m = np.array([float(vth / 2)]), np.zeros(1, np.int64)
    exact, sent = vth / 2, 0
    for a in z:
        v, _ = dynamics.integrate(v, np.array([a / 16]), np.zeros(1))
        k, v, m = dynamics.fire(v, m, np.array([float(vth)]), 1)
        exact += Fraction(a, 16)
        expected = 1 if exact >= vth else -1 if exact <= -vth and sent > 0 else 0
        exact, sent = exact - expected * vth, sent + expected
        assert (int(k[0]), Fraction(float(v[0]))) == (expected, exact)


def nearest(total: int, vth: int) -> int:
    """total / vth to the nearest whole number, halves up, in Python's fractions."""
    return math.floor(Fraction(total, vth) + Fraction(1, 2))


ENOUGH = 1000  # levels: more than currents of 300 a step ask for


@given(z=currents, vth=st.integers(1, 100))
def test_a_relay_that_takes_back_at_once_sends_the_rounded_sum_after_every_step(
    z: list[int], vth: int
) -> None:
    """Once by rounding fractions, once by the definition of nearest. With an odd vth nothing lies half way
    between two levels, so that vth >> 1 at the start rounds as vth / 2 does."""
    v, m, total, lower = (
        np.array([vth >> 1], np.int64),
        np.zeros(1, np.int64),
        0,
        dynamics.lower_threshold(np.array([vth]), 0.0),
    )
    for a in z:
        total += a
        v, _ = dynamics.integrate(v, np.array([a]), np.zeros(1, np.int64))
        _, v, m = dynamics.fire(v, m, np.array([vth]), ENOUGH, True, lower)
        assert int(m[0]) == nearest(total, vth)
        assert -vth < 2 * (total - int(m[0]) * vth) + 1 <= vth + 1
        assert 0 <= v[0] < vth


@given(z=currents, exponent=st.integers(-4, 3), odd=st.sampled_from([1, 3, 5]))
def test_in_floats_it_does_too(z: list[int], exponent: int, odd: int) -> None:
    """Thresholds, halves and currents in 32nds: exact in float64."""
    vth = odd * 2.0**exponent
    v, m, total, lower = (
        np.array([vth / 2]),
        np.zeros(1, np.int64),
        Fraction(0),
        dynamics.lower_threshold(np.array([vth]), 0.0),
    )
    for a in z:
        total += Fraction(a, 16)
        v, _ = dynamics.integrate(v, np.array([a / 16]), np.zeros(1))
        _, v, m = dynamics.fire(v, m, np.array([vth]), ENOUGH, True, lower)
        assert int(m[0]) == math.floor(total / Fraction(vth) + Fraction(1, 2))
        assert 0 <= v[0] < vth


@given(z=currents, vth=st.integers(1, 100), data=st.data())
def test_a_rectifier_that_takes_back_at_once_sends_the_rectified_sum_after_every_step(
    z: list[int], vth: int, data: st.DataObject
) -> None:
    """From any start: max(0, floor((sum + v_init) / vth)), and by what that means."""
    v_init = data.draw(st.integers(-vth, 2 * vth))
    v, m, total, lower = (
        np.array([v_init], np.int64),
        np.zeros(1, np.int64),
        v_init,
        dynamics.lower_threshold(np.array([vth]), 0.0),
    )
    for a in z:
        total += a
        v, _ = dynamics.integrate(v, np.array([a]), np.zeros(1, np.int64))
        _, v, m = dynamics.fire(v, m, np.array([vth]), ENOUGH, False, lower)
        assert int(m[0]) == max(0, total // vth)
        assert (int(m[0]) * vth <= total < (int(m[0]) + 1) * vth) or (total < 0 and m[0] == 0)


@given(z=currents, vth=st.integers(1, 100), down=st.floats(0, 1), two_sided=st.booleans())
def test_a_potential_rests_between_its_thresholds(
    z: list[int], vth: int, down: float, two_sided: bool
) -> None:
    v, m, lower = (
        np.array([vth >> 1], np.int64),
        np.zeros(1, np.int64),
        dynamics.lower_threshold(np.array([vth]), down),
    )
    for a in z:
        v, _ = dynamics.integrate(v, np.array([a]), np.zeros(1, np.int64))
        _, v, m = dynamics.fire(v, m, np.array([vth]), ENOUGH, two_sided, lower)
        assert v[0] < vth
        assert v[0] > -max(1, round(down * vth)) or (m[0] == 0 and not two_sided)


@pytest.mark.parametrize(
    ("down", "lower"),
    [(1.0, [1, 2, 5, 131071]), (0.0, [1, 1, 1, 1]), (0.5, [1, 1, 2, 65536]), (0.3, [1, 1, 2, 39321])],
)
def test_a_lower_threshold_is_a_share_of_its_neurons_own_and_1_at_least(
    down: float, lower: list[int]
) -> None:
    """Ties to even: half of 5 is 2, of 131071 is 65536."""
    vth = np.array([1, 2, 5, 131071], np.int32)
    found = dynamics.lower_threshold(vth, down)
    assert (found.tolist(), found.dtype) == (lower, np.int32)
    assert dynamics.lower_threshold(vth.astype(float), down).tolist() == [down * t for t in (1, 2, 5, 131071)]


@given(
    v=st.floats(-1e6, 1e6),
    vth=st.floats(1e-3, 1e3),
    m=st.integers(0, 5),
    levels=st.integers(1, 40),
    two_sided=st.booleans(),
)
def test_with_the_threshold_for_a_lower_one_floats_are_what_they_were(
    v: float, vth: float, m: int, levels: int, two_sided: bool
) -> None:
    """The rule as it stood before there was another lower threshold, in NumPy's own operations."""
    k = dynamics.fire(
        np.array([v]),
        np.array([m]),
        np.array([vth]),
        levels,
        two_sided,
        dynamics.lower_threshold(np.array([vth]), 1.0),
    ).k
    whole = min(np.floor_divide(abs(v), vth), levels)
    assert k[0] == (whole if v >= vth else -(whole if two_sided else min(whole, m)) if v <= -vth else 0)


def test_the_state_saturates_at_24_bits_and_says_so() -> None:
    v = np.array([STATE.limit - 1, -STATE.limit + 1, 5], np.int64)
    after, saturated = dynamics.integrate(v, np.array([2, -2, 1]), np.zeros(3, np.int64))
    assert after.tolist() == [LARGEST, -LARGEST, 6]
    assert saturated == 2


def test_a_dead_neuron_never_fires_however_much_arrives() -> None:
    v, m = np.array([10**6], np.int64), np.zeros(1, np.int64)
    assert dynamics.fire(v, m, np.array([0]), 3).k.tolist() == [0]


@given(st.lists(st.lists(st.integers(-9, 9), min_size=4, max_size=4), min_size=1, max_size=8))
def test_a_pools_running_sum_is_the_maximum_of_its_inputs_running_sums(spikes: list[list[int]]) -> None:
    window, total, before, sent = Window((2, 2), (2, 2)), np.zeros((1, 1, 2, 2), np.int64), 0, 0
    for step in range(len(spikes)):
        total, best = dynamics.pool(total, np.array(spikes[step]).reshape(1, 1, 2, 2), window)
        sent += int(best[0, 0, 0, 0]) - before
        before = int(best[0, 0, 0, 0])
        assert sent == max(sum(s[i] for s in spikes[: step + 1]) for i in range(4))


# ---------------------------------------------------------------- the one place that rounds


@given(bits=st.integers(2, 32), value=st.floats(-1e12, 1e12))
def test_encode_rounds_to_nearest_even_and_clips(bits: int, value: float) -> None:
    """Once by Python's round (ties to even) on the exact fraction, once by the definition of nearest."""
    code, clipped = FixedPointFormat(bits).rounded([value])
    limit = 2 ** (bits - 1) - 1
    whole = round(Fraction(value))
    assert int(code[0]) == max(-limit, min(limit, whole))
    assert clipped == int(abs(whole) > limit)
    if not clipped:
        assert abs(Fraction(value) - int(code[0])) <= Fraction(1, 2)


@pytest.mark.parametrize(("value", "code"), [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2)])
def test_ties_go_to_even(value: float, code: int) -> None:
    assert FixedPointFormat(8).rounded([value])[0].tolist() == [code]


def test_a_value_that_does_not_fit_is_refused_in_the_name_of_its_owner() -> None:
    with pytest.raises(OutOfRange, match=r"conv1: weights: 1 value\(s\) up to 128 exceed 127 \(8 bits\)"):
        FixedPointFormat(8).rounded_within([128.0, 3.0], "conv1: weights")


@pytest.mark.parametrize("bits", [1, 33])
def test_a_format_of_impossible_width_is_refused(bits: int) -> None:
    with pytest.raises(OutOfRange, match="choose 2 to 32"):
        FixedPointFormat(bits)


def test_a_level_of_30_bits_is_no_negative_one() -> None:
    """Thresholds have 32 bits, and twice the largest of a curve has not."""
    line = Curve("line", np.zeros((1, 0), np.int64), np.array([[32767]]), np.array([[0]]))
    v, m = np.array([[100_000, -100_000]]), np.zeros((1, 2), np.int64)
    fired = dynamics.follow(v, m, np.full(2, 1 << 30, np.int32), line, 1, dynamics.Allowed(9, two_sided=True))
    assert fired.k.tolist() == [[3, -3]]
    assert [math.floor(Fraction(n * 32767, 1 << 30) + Fraction(1, 2)) for n in (100_000, -100_000)] == [3, -3]
