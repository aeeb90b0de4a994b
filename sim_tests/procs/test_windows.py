"""Lava models of neurons and read-outs, step by step without Lava's runtime: what they send inside their
windows, and outside."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from oracle import LARGEST, Neuron

pytest.importorskip("lava", reason="lava-nc is not installed")
from dnisnm_lava.procs.gate import models as gate
from dnisnm_lava.procs.readout import models as readout
from dnisnm_lava.procs.snm import models as snm
from dnisnm_lava.procs.source import models as source

STEPS, PERIOD, OFFSET = 3, 7, 2
TAGS = [("Fixed", np.int64), ("Float", np.float64)]


def sent(model: Any, currents: list[int], **state: Any) -> list[int]:
    """What a population of one neuron sends when `currents` arrive, one a step from Lava's first step on."""
    found: list[int] = []
    left = iter(currents)
    images = {"carry": 0, "band": np.float64(0), "most": 0}
    state = {**images, **state, "steps": STEPS, "period": PERIOD, "offset": OFFSET, "saturations": 0}
    model.__dict__.update(
        {name: np.int64(value) if isinstance(value, int) else value for name, value in state.items()}
    )
    model.a_in = SimpleNamespace(recv=lambda: np.array([next(left)]))
    model.s_out = SimpleNamespace(send=lambda a: found.append(int(a[0])))
    for t in range(len(currents)):
        model.time_step = t + 1
        model.run_spk()
    return found


@pytest.mark.parametrize(("tag", "dtype"), TAGS)
@pytest.mark.parametrize("lead", [0, 2])
@pytest.mark.parametrize("down", [1.0, 0.0])
def test_a_neuron_is_reset_and_silent_outside_its_windows(
    tag: str, dtype: type, lead: int, down: float
) -> None:
    """Large currents and a bias that alone would fire arrive at every step."""
    rng = np.random.default_rng(lead)
    currents = [int(n) for n in rng.integers(-30, 90, 3 * PERIOD)]
    neuron = Neuron(40, 5, 20, 45, 2, False, down)
    expected = [0] * len(currents)
    for start in range(OFFSET, len(currents), PERIOD):
        neuron = Neuron(40, 5, 20, 45, 2, False, down)
        for local in range(min(STEPS + lead, len(currents) - start)):
            if local < STEPS:
                neuron.integrate(currents[start + local])
            if local >= lead:
                expected[start + local] = neuron.fire()
    one, model = np.ones(1, dtype), getattr(snm, f"PySNMModel{tag}")({})
    found = sent(
        model,
        currents,
        v=33 * one,
        m=9 * np.ones(1, np.int64),
        vth=40 * one,
        payload=5 * one,
        v_init=20 * one,
        bias=45 * one,
        levels=2,
        lead=lead,
        two_sided=0,
        down=np.float64(down),
        curved=0,
    )
    assert found == expected
    assert any(found)


@pytest.mark.parametrize(("tag", "dtype"), TAGS)
@pytest.mark.parametrize("lead", [0, 2])
@pytest.mark.parametrize("carry", [0, 1])
def test_a_neuron_with_a_curve_counts_the_steps_of_its_windows(
    tag: str, dtype: type, lead: int, carry: int
) -> None:
    """f(x) = max(x, 0) - 20, where x is the mean of one, two, then three steps, and
    of three for good in a stream; levels of 4."""
    rng = np.random.default_rng(lead)
    currents = [int(n) for n in rng.integers(-30, 90, 3 * PERIOD)]
    expected, v, m = [0] * len(currents), 0, 0
    for start in range(OFFSET, len(currents), PERIOD):
        new = start == OFFSET or not carry
        v, m = (0, 0) if new else (v, m)
        for local in range(min(STEPS + lead, len(currents) - start)):
            if local < STEPS:
                v += currents[start + local] + 7 * new
            if local >= lead:
                t = min(local + 1, STEPS) if new else STEPS
                goal = math.floor(Fraction(max(v, 0) - 20 * t, 4) + Fraction(1, 2))
                k = max(-9, min(9, goal - m))
                m, expected[start + local] = m + k, 5 * k
    one, model = np.ones(1, dtype), getattr(snm, f"PySNMModel{tag}")({})
    found = sent(
        model,
        currents,
        v=0 * one,
        m=np.zeros(1, np.int64),
        vth=4 * one,
        payload=5 * one,
        v_init=0 * one,
        bias=7 * one,
        levels=9,
        lead=lead,
        two_sided=1,
        carry=carry,
        curved=1,
        channels=0,
        knots=np.zeros((1, 1), dtype),
        slopes=np.array([[0, 1]], dtype),
        offsets=np.array([[-20, -20]], dtype),
    )
    assert found == expected
    assert any(found)


@pytest.mark.parametrize("carry", [0, 1])
def test_a_gate_multiplies_the_sums_of_its_windows_one_step_late(carry: int) -> None:
    """Three channels' sums times one number; of what arrives behind a window, and before the first, nothing
    is taken. Gains of 60 / 16 a step: 60, then 30, then 20."""
    rng = np.random.default_rng(carry)
    maps, numbers = rng.integers(-3, 6, (3 * PERIOD, 3)), rng.integers(-2, 5, (3 * PERIOD, 1))
    expected, a, b, m = np.zeros((3 * PERIOD + 1, 3), int), np.zeros(3, int), 0, [0, 0, 0]
    for start in range(OFFSET, 3 * PERIOD, PERIOD):
        new = start == OFFSET or not carry
        a, b, m = (np.zeros(3, int), 0, [0, 0, 0]) if new else (a, b, m)
        for local in range(min(STEPS, 3 * PERIOD - start)):
            a, b = a + maps[start + local], b + int(numbers[start + local, 0])
            gain = 60 // (local + 1 if new else STEPS)
            for i in range(3):
                goal = max(0, math.floor(Fraction(int(a[i]) * b * gain, 16) + Fraction(1, 2)))
                k = max(-40, min(40, goal - m[i]))
                m[i], expected[start + local + 1, i] = m[i] + k, 2 * k
    found: list[list[int]] = []
    model = gate.PyGateModelFixed({})
    constants = {"levels": 40, "two_sided": 0, "band": 0.0, "most": 0, "carry": carry}
    windows = {"steps": STEPS, "period": PERIOD, "offset": OFFSET}
    model.__dict__.update({key: np.array([n]) for key, n in {**constants, **windows}.items()})
    model.__dict__.update({key: np.zeros(3, np.int64) for key in ("a", "m", "change")})
    model.__dict__.update(b=np.zeros(1, np.int64), gain=np.full(3, 60))
    model.__dict__.update(vth=np.full(3, 16, np.int32), payload=np.full(3, 2, np.int32))
    left, right = iter(maps), iter(numbers)
    model.a_in, model.gate_in = (SimpleNamespace(recv=lambda x=x: next(x)) for x in (left, right))
    model.s_out = SimpleNamespace(send=lambda values: found.append(values.tolist()))
    for t in range(3 * PERIOD):
        model.time_step = t + 1
        model.run_spk()
    assert found == expected[:-1].tolist()
    assert any(n < 0 for sent in found for n in sent)


@pytest.mark.parametrize(("tag", "dtype"), TAGS)
def test_a_read_out_keeps_its_sum_until_the_next_window(tag: str, dtype: type) -> None:
    currents = list(range(1, 2 * PERIOD + OFFSET + 1))
    expected, total = [], 33
    for t, current in enumerate(currents):
        local = (t - OFFSET) % PERIOD
        if t >= OFFSET and local < STEPS:
            total = (0 if local == 0 else total) + current + 4
        expected.append(total)
    model = getattr(readout, f"PyReadOutModel{tag}")({})
    assert sent(model, currents, v=np.full(1, 33, dtype), bias=np.full(1, 4, dtype)) == expected


def test_saturations_count_inside_the_windows_alone() -> None:
    model = readout.PyReadOutModelFixed({})
    found = sent(model, [LARGEST] * (PERIOD + OFFSET), v=np.zeros(1, np.int64), bias=np.ones(1, np.int64))
    assert found == [0] * OFFSET + [LARGEST] * PERIOD
    assert model.saturations == STEPS


@pytest.mark.parametrize("tag", ["Fixed", "Float"])
def test_a_source_shows_each_image_in_its_window_and_then_nothing(tag: str) -> None:
    images = np.array([[7, -3]])
    model = getattr(source, f"PySourceModel{tag}")(
        {"images": images, "steps": STEPS, "period": PERIOD, "carry": False}
    )
    found: list[list[int]] = []
    model.s_out = SimpleNamespace(send=lambda a: found.append(a.tolist()))
    for t in range(2 * PERIOD):
        model.time_step = t + 1
        model.run_spk()
    assert found == [[7, -3]] * STEPS + [[0, 0]] * (2 * PERIOD - STEPS)
