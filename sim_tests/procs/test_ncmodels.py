"""The document of a neuro-core model runs, and computes what every executor computes."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnisnm_lava.ir import Curve, dynamics

pytest.importorskip("lava", reason="lava-nc is not installed")
from dnisnm_lava.procs.snm import ncmodels

ROOT = Path(__file__).resolve().parents[2]
STATE = st.one_of(st.integers(-300, 300), st.integers(-ncmodels.LARGEST, ncmodels.LARGEST))


@st.composite
def neurons(draw: st.DrawFn) -> tuple[float, dict[str, int]]:
    """`down`, and the registers."""
    size = draw(st.sampled_from([60, 5000, ncmodels.LARGEST]))
    vth = draw(st.one_of(st.just(0), st.integers(1, size)))
    steps, lead = draw(st.integers(1, 6)), draw(st.integers(0, 4))
    offset, period = draw(st.integers(0, 3)), steps + lead + draw(st.integers(0, 3))
    v_init, bias = draw(st.integers(-size, size)), draw(st.integers(-size // 4, size // 4))
    payload = draw(st.integers(0, 31)) if vth else 0
    down = draw(st.sampled_from([1.0, 0.0, 0.3]))
    return down, {
        "v": 0,
        "m": 0,
        "c": -offset,
        "vth": vth,
        "lower": max(1, round(down * vth)),
        "payload": payload,
        "v_init": v_init,
        "bias": bias,
        "steps": steps,
        "lead": lead,
        "period": period,
    }


@given(drawn=neurons(), levels=st.integers(1, 5), two_sided=st.booleans(), data=st.data())
def test_the_program_is_the_neuron_of_the_paper_in_every_window(
    drawn: tuple[float, dict[str, int]], levels: int, two_sided: bool, data: st.DataObject
) -> None:
    """Two windows and what lies around them, against Python integers and against dynamics.py."""
    down, registers = drawn
    assert set(registers) == set(ncmodels.REGISTERS)
    r, lower = dict(registers), dynamics.lower_threshold(np.array([registers["vth"]]), down)
    limit = ncmodels.LARGEST - abs(r["bias"])  # |a + bias| within 24 bits
    currents = data.draw(st.lists(STATE.map(lambda a: max(-limit, min(limit, a))), min_size=30, max_size=30))
    program = ncmodels.program(levels, two_sided)
    sent = [ncmodels.step(program, registers, a) for a in currents]
    expected = [0] * len(currents)
    for window in range(2):
        neuron = oracle.Neuron(r["vth"], r["payload"], r["v_init"], r["bias"], levels, two_sided, down)
        v, m = np.array([r["v_init"]]), np.zeros(1, np.int64)
        first = -r["c"] + window * r["period"]
        for t in range(r["steps"] + r["lead"]):
            if first + t >= len(currents):
                break
            if t < r["steps"]:
                neuron.integrate(currents[first + t])
                v, _ = dynamics.integrate(v, np.array([currents[first + t]]), np.array([r["bias"]]))
            if t >= r["lead"]:
                expected[first + t] = neuron.fire()
                k, v, m = dynamics.fire(v, m, np.array([r["vth"]]), levels, two_sided, lower)
                assert int(k[0]) * r["payload"] == expected[first + t]
    end = -r["c"] + 2 * r["period"]
    assert sent[:end] == expected[:end]


def test_the_condition_on_24_bits_is_needed() -> None:
    """Where a + bias leaves 24 bits, two saturating additions are not one."""
    start = dict.fromkeys(ncmodels.REGISTERS, 0) | {"v_init": -100, "bias": 100, "steps": 1, "period": 1}
    ncmodels.step(ncmodels.program(1, False), start, ncmodels.LARGEST)
    assert start["v"] == ncmodels.LARGEST - 100
    v, _ = dynamics.integrate(np.array([-100]), np.array([ncmodels.LARGEST]), np.array([100]))
    assert int(v[0]) == ncmodels.LARGEST


def test_registers_saturate_where_the_state_does() -> None:
    assert [ncmodels.saturated(v) for v in (8_388_606, 8_388_607, 8_388_608, -8_388_607, -8_388_608)] == [
        8_388_606,
        8_388_607,
        8_388_607,
        -8_388_607,
        -8_388_607,
    ]


def test_the_program_only_grows_with_its_levels() -> None:
    one, two, three = (len(ncmodels.program(levels, False)) for levels in (1, 2, 3))
    assert two - one == three - two == 12
    assert len(ncmodels.program(1, True)) == one - 2
    known = {*ncmodels.REGISTERS, "a", "0", "1"}
    for operation, target, *operands in ncmodels.program(
        2, False
    ):  # each operand is a register, or was written before
        assert operation in ncmodels.ARITHMETIC
        assert set(operands) <= known, (operation, operands)
        known.add(target)


def test_without_the_extension_there_is_no_model_and_nobody_is_warned() -> None:
    assert ncmodels.AbstractNcProcessModel is None
    assert not hasattr(ncmodels, "NcSNM")


def test_with_the_extension_loihi_2_takes_the_seam_and_hears_that_it_is_empty() -> None:
    """A stand-in for the extension's base classes, in a process of its own; nothing of hardware is
    touched."""
    program = (
        "import sys, types\n"
        "for name, base in (('nc', 'AbstractNcProcessModel'), ('c', 'CLoihiProcessModel')):\n"
        "    parent, module = (types.ModuleType(f'lava.magma.core.model.{name}{tail}') for tail in ('', "
        "'.model'))\n"
        "    parent.__path__ = []\n"
        "    from lava.magma.core.model.model import AbstractProcessModel\n"
        "    setattr(module, base, type(base, (AbstractProcessModel,), {'run': lambda self: None}))\n"
        "    sys.modules.update({parent.__name__: parent, module.__name__: module})\n"
        "from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg\n"
        "from dnisnm_lava.procs.snm.models import PySNMModelFixed, PySNMModelFloat\n"
        "from dnisnm_lava.procs.snm.ncmodels import NcSNM\n"
        "from dnisnm_lava.procs.snm.process import SNM\n"
        "neurons, models = SNM(shape=(2,), vth=[3, 4], steps=2), [PySNMModelFloat, PySNMModelFixed, NcSNM]\n"
        "print(Loihi2HwCfg().select(neurons, models).__name__, "
        "Loihi2SimCfg(select_tag='fixed_pt').select(neurons, models).__name__)\n"
        "try:\n"
        "    NcSNM.allocate(None, None)\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[-2:]
    assert first == "NcSNM PySNMModelFixed"
    assert second.startswith(
        "BackendMissing SNM has no neuro-core model yet, so it does not run on a board: write NcSNM.allocate"
    )


@given(
    vth=st.integers(0, 60),
    down=st.sampled_from([0.0, 0.25, 1.0]),
    two_sided=st.booleans(),
    most=st.integers(1, 9),
    levels=st.integers(1, 9),
    currents=st.lists(st.integers(-200, 200), min_size=12, max_size=12),
)
def test_the_neuro_core_program_carries_its_state(
    vth: int, down: float, two_sided: bool, most: int, levels: int, currents: list[int]
) -> None:
    """Three windows of two steps, of a period of four, against the neuron in Python integers."""
    neuron = oracle.Neuron(vth, 3 if vth else 0, vth >> 1, 5, levels, two_sided, down, down, most)
    registers = dict.fromkeys((*ncmodels.REGISTERS, *ncmodels.OF_STREAMS), 0) | {
        "v": vth >> 1,
        "vth": vth,
        "lower": neuron.lower,
        "band": neuron.band,
        "payload": neuron.payload,
        "bias": 5,
        "steps": 2,
        "period": 4,
        "most": most,
        "fresh": 1,
    }
    program = ncmodels.program(levels, two_sided, carry=True)
    for t, current in enumerate(currents):
        sent = ncmodels.step(program, registers, current)
        if t % 4 < 2:
            neuron.integrate(current)
            assert sent == neuron.fire()
        else:
            assert sent == 0
        neuron.bias = 5 if t < 3 else 0


# ---------------------------------------------------------------- neurons with a curve


@st.composite
def curves(draw: st.DrawFn) -> tuple[Curve, int]:
    """A curve of one row, and its shift; up to what a file may hold."""
    knots = sorted(draw(st.lists(st.integers(-400, 400), max_size=3)))
    shift, size = draw(st.sampled_from([(0, 3), (6, 90), (12, 32767), (30, 32767)]))
    slopes = draw(st.lists(st.integers(-size, size), min_size=len(knots) + 1, max_size=len(knots) + 1))
    widest = st.one_of(st.integers(-5, 5).map(lambda n: n << shift), st.integers(-(1 << 42), 1 << 42))
    offsets = draw(st.lists(widest, min_size=len(knots) + 1, max_size=len(knots) + 1))
    arrays = (np.array([values], np.int64).reshape(1, -1) for values in (knots, slopes, offsets))
    return Curve("drawn", *arrays), shift


def registers_of(curve: Curve, shift: int, alive: bool, band: int = 0) -> dict[str, int]:
    found = {"vth": alive << shift, "half": alive << shift >> 1, "shift": shift, "payload": 3, "band": band}
    for key in ("knot", "slope", "offset"):
        found |= {f"{key}_{i}": int(n) for i, n in enumerate(getattr(curve, f"{key}s")[0])}
    return found


def goal(curve: Curve, shift: int, v: int, t: int) -> int:
    """In Python integers, rounded once."""
    piece = sum(v >= t * int(knot) for knot in curve.knots[0])
    value = v * int(curve.slopes[0, piece]) + t * int(curve.offsets[0, piece])
    return math.floor(Fraction(value, 1 << shift) + Fraction(1, 2))


@given(
    drawn=curves(),
    levels=st.integers(1, 5),
    two_sided=st.booleans(),
    alive=st.booleans(),
    lead=st.integers(0, 3),
    currents=st.lists(STATE.map(lambda a: max(-8_000_000, min(8_000_000, a))), min_size=20, max_size=20),
)
def test_the_program_of_a_curve_is_the_neuron_in_every_window(
    drawn: tuple[Curve, int], levels: int, two_sided: bool, alive: bool, lead: int, currents: list[int]
) -> None:
    """Two windows of three steps, of a period of eight, two steps late; against Python integers and
    dynamics.py."""
    curve, shift = drawn
    r = {"v": 9, "m": 4, "c": -2, "v_init": 0, "bias": -7, "steps": 3, "lead": lead, "period": 8}
    r |= registers_of(curve, shift, alive)
    program = ncmodels.curve_program(curve.knots.shape[1], levels, two_sided)
    sent = [ncmodels.step(program, r, a) for a in currents]
    expected, bias, vth = [0] * len(currents), np.array([-7]), np.array([r["vth"]])
    for first in (2, 10):
        v, m, held = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64), 0
        for t in range(3 + lead):
            if t < 3:
                v, _ = dynamics.integrate(v, np.array([currents[first + t]]), bias)
            if t >= lead:
                k, v, m = dynamics.follow(
                    v, m, vth, curve, min(t + 1, 3), dynamics.Allowed(levels, two_sided)
                )
                aim = goal(curve, shift, int(v[0, 0]), min(t + 1, 3))
                aim = (aim if two_sided else max(aim, 0)) if alive else held
                change = max(-levels, min(levels, aim - held))
                assert k.item() == change
                held, expected[first + t] = held + change, 3 * change
    assert sent[:18] == expected[:18]


@given(
    drawn=curves(),
    levels=st.integers(1, 9),
    two_sided=st.booleans(),
    most=st.integers(1, 9),
    share=st.sampled_from([0.0, 0.25, 1.0]),
    currents=st.lists(st.integers(-600, 600), min_size=12, max_size=12),
)
def test_the_program_of_a_curve_carries_its_state(
    drawn: tuple[Curve, int], levels: int, two_sided: bool, most: int, share: float, currents: list[int]
) -> None:
    """Three frames of two steps, of a period of four: one step is summed, then two, and two for good."""
    curve, shift = drawn
    vth = np.array([1 << shift])
    band = dynamics.band_of(vth, share)
    r = {"v": 0, "m": 0, "c": 0, "fresh": 1, "bias": 5, "steps": 2, "lead": 0, "period": 4, "most": most}
    r |= registers_of(curve, shift, True, 0 if band is None else int(band[0]))
    program = ncmodels.curve_program(curve.knots.shape[1], levels, two_sided, carry=True)
    v, m = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64)
    for t, current in enumerate(currents):
        sent = ncmodels.step(program, r, current)
        if t % 4 >= 2:
            assert sent == 0
            continue
        v, _ = dynamics.integrate(v, np.array([current]), np.array([5 if t < 4 else 0]))
        k, v, m = dynamics.follow(
            v, m, vth, curve, min(t + 1, 2), dynamics.Allowed(levels, two_sided, band, most)
        )
        assert sent == 3 * k.item()
        assert (r["v"], r["m"]) == (v.item(), m.item())


def test_the_program_of_a_curve_only_grows_with_its_knots() -> None:
    none, one, two = (len(ncmodels.curve_program(knots, 3, False)) for knots in (0, 1, 2))
    assert two - one == one - none == 4
    assert len(ncmodels.curve_program(1, 99, False)) == one
    for two_sided, carry in itertools.product((False, True), repeat=2):
        program = ncmodels.curve_program(1, 2, two_sided, carry=carry)
        known = {*ncmodels.REGISTERS, *ncmodels.OF_CURVES, *(ncmodels.OF_STREAMS if carry else ()), "a"}
        known |= {"knot_0", "slope_0", "slope_1", "offset_0", "offset_1", "0", "1", "2", "-2"}
        for operation, target, *operands in program:
            assert operation in ncmodels.ARITHMETIC
            assert set(operands) <= known, (operation, operands)
            known.add(target)


# ---------------------------------------------------------------- gates


@given(
    gain=st.integers(-(1 << 14), 1 << 14),
    shift=st.integers(0, 20),
    levels=st.integers(1, 5),
    two_sided=st.booleans(),
    alive=st.booleans(),
    stream=st.booleans(),
    band=st.integers(0, 40),
    most=st.integers(1, 9),
    arriving=st.lists(st.tuples(st.integers(-900, 900), st.integers(-900, 900)), min_size=14, max_size=14),
)
def test_the_program_of_a_gate_is_the_gate_in_every_window(
    gain: int,
    shift: int,
    levels: int,
    two_sided: bool,
    alive: bool,
    stream: bool,
    band: int,
    most: int,
    arriving: list[tuple[int, int]],
) -> None:
    """Two windows of three steps, of a period of five, two steps late; as images, and as frames of a stream
    with a dead band and a bound. In Python integers, rounded once each, and by dynamics.gate."""
    gains = [math.floor(Fraction(gain, t) + Fraction(1, 2)) for t in (1, 2, 3)]
    assert [int(dynamics.gain_after(np.array([gain]), t)[0]) for t in (1, 2, 3)] == gains
    vth = alive << shift
    r = dict.fromkeys(ncmodels.OF_GATES, 0) | {"c": -2, "steps": 3, "period": 5, "payload": 3}
    r |= {"vth": vth, "half": vth >> 1, "shift": shift}
    r |= {f"gain_{t}": value for t, value in zip((1, 2, 3), gains, strict=True)}
    r |= {"fresh": 1, "band": band, "most": most} if stream else {"p": 7, "q": 7, "m": 7}
    program = ncmodels.gate_program(3, levels, two_sided, carry=stream)
    sent = [ncmodels.step(program, r, a, g) for a, g in arriving]
    expected, p, q, held = [0] * len(arriving), 0, 0, 0
    for window in range(2):
        if not stream:
            p = q = held = 0
        for t in range(3):
            place = 2 + 5 * window + t
            p, q = p + arriving[place][0], q + arriving[place][1]
            summed = 3 if stream and window else t + 1
            value = p * q * gains[summed - 1]
            aim = math.floor(Fraction(value, 1 << shift) + Fraction(1, 2))
            least = 0 if not two_sided else -most if stream else aim
            aim = max(least, min(aim, most)) if stream else max(least, aim)
            change = max(-levels, min(levels, aim - held)) if alive else 0
            if stream and -vth - 2 * band <= 2 * (value - held * vth) < vth + 2 * band:
                change = 0
            k = dynamics.gate(
                *(np.array([n]) for n in (p, q, held, vth, gain)),
                summed,
                dynamics.Allowed(
                    levels, two_sided, np.array([band]) if stream else None, most if stream else 0
                ),
            )
            assert k.item() == change
            held, expected[place] = held + change, 3 * change
    assert sent[:12] == expected[:12]
