"""One time step of neurons and gates as ONNX nodes, in int64: `ir.dynamics`, line by line.

A constant that neurons share is stored once, and broadcasts. Where a neuron is dead (vth = 0), k is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnisnm_lava.ir import SNM, Curve, Gate, ReadOut
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.ir.dynamics import band_of, lower_threshold
from dnisnm_lava.ir.fixedpoint import STATE
from exporters.onnx.nodes import Nodes

UNREACHED = (1 << 31) - 1  # the threshold of a dead neuron: its potential has 24 bits
FAR = 1 << 58  # beyond twice any value, which is below 2**53
BEYOND = 1 << 24  # a knot that no potential reaches


@dataclass(frozen=True)
class Moment:
    """A step, as scalars: summed: how many steps the running sums hold. hears, fires: does a population, yet
    and still? None: it does. fresh: 1, or 0 behind the first frame of a stream, in which alone biases act;
    None: they do. held: more levels than a neuron can have sent, net."""

    summed: str
    held: int
    hears: str | None = None
    fires: str | None = None
    fresh: str | None = None


def integrate(g: Nodes, p: SNM | ReadOut, v: str, z: str, at: Moment) -> str:
    """v + z + b, saturating at 24 bits."""
    total = g("Add", v, z)
    if p.bias.any():
        bias = g.numbers(p.bias)
        total = g("Add", total, bias if at.fresh is None else g("Mul", bias, at.fresh))
    total = g.within(total, -STATE.limit, STATE.limit)
    return total if at.hears is None else g("Where", at.hears, total, v)


def neurons(g: Nodes, p: SNM, v: str, m: str, z: str, at: Moment) -> tuple[str, str, str]:
    """v and m after it, and what is sent."""
    v = integrate(g, p, v, z, at)
    if p.curve is not None:
        k = _toward(g, p, _value(g, p, p.curve, v, at.summed), m, at)
    else:
        k = _at_rest(g, _fire(g, p, v, m, at.held), at)
        v = g("Sub", v, g("Mul", k, g.numbers(_reached(p, p.vth))))
    return v, g("Add", m, k), g.times(k, p.payload)


def gate(g: Nodes, p: Gate, a: str, b: str, m: str, at: Moment) -> tuple[str, str]:
    """m after it, and what is sent, where the sources' spikes sum to a and b."""
    gain = per_channel(p.gain.astype(np.int64), p.shape)
    twice = g("Mul", at.summed, g.constant(2))
    raised = g("Add", g.numbers(2 * gain), at.summed)
    gain_now = g("Div", g("Sub", raised, g("Mod", raised, twice)), twice)  # floors, also below 0
    k = _toward(g, p, g("Mul", g("Mul", a, b), gain_now), m, at)
    return g("Add", m, k), g.times(k, p.payload)


def _at_rest(g: Nodes, k: str, at: Moment) -> str:
    return k if at.fires is None else g("Mul", k, g.number(at.fires))


def _fire(g: Nodes, p: SNM, v: str, m: str, held: int) -> str:
    """`dynamics.fire`: whole thresholds in v upwards, less those downwards, one more where what they leave
    reaches `lower`; one of both is 0. Potentials and thresholds have 32 bits."""
    vth, levels, most = g.numbers(_reached(p, p.vth)), g.constant(p.levels), g.constant(p.most)
    above = g("Max", v, g.constant(0))
    below = g("Sub", above, v)
    rise, back = g("Div", above, vth), g("Div", below, vth)
    if p.down < 1:
        lower = lower_threshold(p.vth, p.down)  # a dead neuron has sent nothing that it could take back
        lower = _reached(p, lower) if p.two_sided else lower
        rest = g("Sub", below, g("Mul", back, vth))
        back = g("Add", back, g.number(g("GreaterOrEqual", rest, g.numbers(lower))))
    rise, back = g("Min", rise, levels), g("Min", back, levels)
    if not p.two_sided:
        back = g.smaller(back, m, held)
    if p.most:
        rise = g.smaller(rise, g("Sub", most, m), 2 * held)
        back = g.smaller(back, g("Add", most, m), 2 * held)
    band = band_of(p.vth, p.band)
    if band is not None:
        rise = g("Mul", rise, g.number(g("GreaterOrEqual", v, g.numbers(p.vth.astype(np.int64) + band))))
        back = g("Mul", back, g.number(g("LessOrEqual", v, g.numbers(-band))))
    return g("Sub", rise, back)


def _reached(p: SNM, threshold: np.ndarray) -> np.ndarray:
    """A threshold of p's neurons, which dead ones never reach."""
    return np.where(p.vth > 0, threshold, UNREACHED)


def _value(g: Nodes, p: SNM, curve: Curve, v: str, summed: str) -> str:
    """`Curve.at`: the piece of each v by halving, then its line."""
    wide = (-1, *(1,) * (len(p.shape) - 1))
    rows = np.arange(curve.rows).reshape(wide)
    count, lines = curve.knots.shape[1], curve.slopes.shape[1]
    if not count:
        line = g.constant(rows)
    else:
        full = (1 << count.bit_length()) - 1  # halving takes 2**n - 1 knots
        table = np.pad(curve.knots, ((0, 0), (0, full - count)), constant_values=BEYOND)
        knots = g("Mul", g.table(table.reshape(-1)), summed)
        at = g.numbers(rows * full)
        piece, half = g.constant(0), (full + 1) // 2
        while half:
            probe = g("Gather", knots, g("Add", g("Add", piece, at), g.constant(half - 1)))
            piece = g("Add", piece, g("Mul", g.number(g("GreaterOrEqual", v, probe)), g.constant(half)))
            half //= 2
        line = g("Add", piece, g.numbers(rows * lines))
    slope = g("Gather", g.table(curve.slopes.reshape(-1)), line)
    offset = g("Gather", g("Mul", g.table(curve.offsets.reshape(-1)), summed), line)
    return g("Add", g("Mul", v, slope), offset)


def _toward(g: Nodes, p: SNM | Gate, value: str, m: str, at: Moment) -> str:
    """`dynamics.toward`: levels that bring m to the nearest (halves up) to `value` in levels. Div truncates,
    so that it divides what is `FAR` above."""
    alive = p.vth > 0
    most = p.vth.astype(np.int64).max(axis=tuple(range(1, p.vth.ndim)), keepdims=True)
    worth = np.where(alive, p.vth, np.maximum(most, 1))  # of dead ones, that of their channel
    above = -(-FAR // (2 * worth))
    raised = g("Add", g("Mul", value, g.constant(2)), g.numbers(worth * (2 * above + 1)))
    goal = g("Sub", g("Div", raised, g.numbers(2 * worth)), g.numbers(above))
    if p.most:
        goal = g.within(goal, -p.most if p.two_sided else 0, p.most)
    elif not p.two_sided:
        goal = g.within(goal, 0, 1 << 53)
    k = g.within(g("Sub", goal, m), -p.levels, p.levels)
    band = band_of(p.vth, p.band)
    if band is not None:
        held = worth + 2 * band
        apart = g("Mul", g("Sub", value, g("Mul", m, g.numbers(p.vth))), g.constant(2))
        far = g("Or", g("GreaterOrEqual", apart, g.numbers(held)), g("Less", apart, g.numbers(-held)))
        k = g("Where", far, k, g.constant(0))
    return _at_rest(g, g.times(k, alive), at)
