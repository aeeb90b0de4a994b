"""Lava models of neurons and read-outs, step by step without Lava's runtime: what they send inside their
windows, and outside."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from oracle import LARGEST, Neuron

pytest.importorskip("lava", reason="lava-nc is not installed")
from dnisnm_lava.procs.readout import models as readout
from dnisnm_lava.procs.snm import models as snm
from dnisnm_lava.procs.source import models as source

STEPS, PERIOD, OFFSET = 3, 7, 2
TAGS = [("Fixed", np.int64), ("Float", np.float64)]


def sent(model: Any, currents: list[int], **state: Any) -> list[int]:
    """What a population of one neuron sends when `currents` arrive, one a step from Lava's first step on."""
    found: list[int] = []
    left = iter(currents)
    state |= {"steps": STEPS, "period": PERIOD, "offset": OFFSET, "saturations": 0}
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
    )
    assert found == expected
    assert any(found)


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
    model = getattr(source, f"PySourceModel{tag}")({"images": images, "steps": STEPS, "period": PERIOD})
    found: list[list[int]] = []
    model.s_out = SimpleNamespace(send=lambda a: found.append(a.tolist()))
    for t in range(2 * PERIOD):
        model.time_step = t + 1
        model.run_spk()
    assert found == [[7, -3]] * STEPS + [[0, 0]] * (2 * PERIOD - STEPS)
