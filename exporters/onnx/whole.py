"""All time steps of a population after one another, its sources' before: spikes are (T, N, *shape)."""

from __future__ import annotations

import numpy as np

from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut
from exporters.onnx import neurons, synapses
from exporters.onnx.net import Net, beginning, heard, held, keep
from exporters.onnx.neurons import Moment
from exporters.onnx.nodes import FRONT, Given, Nodes, over_time


def add(net: Net, p: Population) -> None:
    """What p sends in all steps, or the running sums that it gives, and its state behind them."""
    if isinstance(p, Input):
        net.sent[p.name] = _image(net, p)
    elif isinstance(p, MaxPool):
        net.sent[p.name] = _max_pool(net, p)
    elif isinstance(p, Gate):
        net.sent[p.name] = _gate(net, p)
    elif isinstance(p, SNM):
        net.sent[p.name] = _neurons(net, p)
    elif isinstance(p, ReadOut):
        net.gives[p.name] = _readout(net, p)


def _image(net: Net, p: Input) -> str:
    """(N, *shape), sent in each step; of a stream, the change."""
    image = synapses.image(net.g, p, p.name)
    if not net.graph.carry:
        return image
    net.after[f"image {p.name}"] = (image, p.shape)
    return net.g("Sub", image, f"image {p.name}")


def _neurons(net: Net, p: SNM) -> str:
    g, rest = net.g, p.lead
    still, moving = _currents(net, p, rest)

    def step(inner: Nodes, state: list[str], now: list[str]) -> tuple[list[str], list[str]]:
        at = _moment(inner, net, p, now[0], rest, p.curve is not None)
        v, m, sent = neurons.neurons(inner, p, state[0], state[1], _sum(inner, still, now[1:]), at)
        return [v, m], [sent]

    state, (sent,) = over_time(g, net.steps + rest, beginning(net, p), moving, p.shape, step)
    keep(net, p, state)
    return g("Slice", sent, g.constant([rest]), g.constant([net.steps + rest])) if rest else sent


def _readout(net: Net, p: ReadOut) -> Given:
    g, (still, moving) = net.g, _currents(net, p, 0)

    def step(inner: Nodes, state: list[str], now: list[str]) -> tuple[list[str], list[str]]:
        at = _moment(inner, net, p, now[0], 0, False)
        v = neurons.integrate(inner, p, state[0], _sum(inner, still, now[1:]), at)
        return [v], [v]

    state, (sums,) = over_time(g, net.steps, beginning(net, p), moving, p.shape, step)
    keep(net, p, state)
    shape = (net.steps, *(p.view or p.shape))
    return g.shaped(g("Transpose", sums, perm=(1, 0, *range(2, 2 + len(p.shape)))), -1, *shape), shape


def _gate(net: Net, p: Gate) -> str:
    def step(inner: Nodes, state: list[str], now: list[str]) -> tuple[list[str], list[str]]:
        t, source, gate = now
        a, b = inner("Add", state[0], source), inner("Add", state[1], gate)
        m, sent = neurons.gate(inner, p, a, b, state[2], _moment(inner, net, p, t, 0, True))
        return [a, b, m], [sent]

    sequences = [(_sequence(net, s), net.graph[s].shape) for s in (p.source, p.gate)]
    state, (sent,) = over_time(net.g, net.steps, beginning(net, p), sequences, p.shape, step)
    keep(net, p, state)
    return sent


def _max_pool(net: Net, p: MaxPool) -> str:
    g, shape, front = net.g, net.graph[p.source].shape, net.g.constant(FRONT)
    (total, _), (before, _) = beginning(net, p)
    totals = g("Add", g("CumSum", _sequence(net, p.source), g.constant(0)), total)
    best = g.shaped(synapses.largest_of(g, g.shaped(totals, -1, *shape), p.window), net.steps, -1, *p.shape)
    keep(net, p, [g("Gather", a, g.constant(net.steps - 1), axis=0) for a in (totals, best)])
    earlier = g("Slice", best, g.constant([0]), g.constant([net.steps - 1]))
    return g("Sub", best, g("Concat", g("Unsqueeze", before, front), earlier, axis=0))


def _currents(net: Net, p: SNM | ReadOut, rest: int) -> tuple[str | None, list[Given]]:
    """What arrives in each step: of the image, (N, *shape), and of others, (T + rest, N, *shape), where there
    are any."""
    image = net.graph.input.name
    still = heard(net, p, {image: net.sent[image]})
    moving = heard(net, p, {q.source: _flat(net, q.source) for q in p.projections if q.source != image})
    if moving is None:
        return still, []
    z = net.g.shaped(moving, net.steps, -1, *p.shape)
    if rest:
        pads = np.zeros((2, z_axes := 2 + len(p.shape)), np.int64)
        pads[1, 0] = rest
        z = net.g("Pad", z, net.g.constant(pads.reshape(2 * z_axes)), net.g.constant(0))
    return still, [(z, p.shape)]


def _sum(g: Nodes, still: str | None, moving: list[str]) -> str:
    parts = [*([] if still is None else [still]), *moving]
    return parts[0] if len(parts) == 1 else g("Add", *parts)


def _flat(net: Net, name: str) -> str:
    """Spikes (T N, *shape) of a population."""
    if (key := ("flat", name)) not in net.g.known:
        net.g.known[key] = net.g.shaped(net.sent[name], -1, *net.graph[name].shape)
    return net.g.known[key]


def _sequence(net: Net, name: str) -> str:
    """Spikes (T, N, *shape) of a population, or of the image."""
    if not isinstance(net.graph[name], Input):
        return net.sent[name]
    ones = np.ones((net.steps, *(1,) * (1 + len(net.graph[name].shape))), np.int64)
    return net.g("Mul", net.sent[name], net.g.constant(ones))


def _moment(g: Nodes, net: Net, p: Population, t: str, rest: int, counts: bool) -> Moment:
    """Step t, counted from 0, of a population that hears T steps and fires `rest` later."""
    summed, fresh = "", net.first
    if counts:
        summed = g.smaller(g("Add", t, g.constant(1)), g.constant(net.steps), net.steps)
        if fresh is not None:
            missing = g("Sub", g.constant(net.steps), summed)
            summed = g("Sub", g.constant(net.steps), g("Mul", fresh, missing))
    if not rest:
        return Moment(summed, held(net, p), fresh=fresh)
    hears = g("Less", t, g.constant(net.steps))
    return Moment(summed, held(net, p), hears, g("GreaterOrEqual", t, g.constant(rest)), fresh)
