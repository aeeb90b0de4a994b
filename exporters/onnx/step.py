"""One time step of all populations: spikes are (N, *shape), and those that a reader hears later are kept."""

from __future__ import annotations

from collections.abc import Mapping

from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut
from exporters.onnx import neurons, synapses
from exporters.onnx.net import STEP, Net, beginning, heard, held, keep, late, latest
from exporters.onnx.neurons import Moment


def add(net: Net, p: Population, begins: Mapping[str, int]) -> None:
    """What p sends in the step, or the potential that it gives, and its state behind it."""
    g, start = net.g, begins[p.name]
    if isinstance(p, Input):
        net.sent[p.name] = synapses.image(g, p, p.name)
        return
    state = [tensor for tensor, _ in beginning(net, p)]
    if isinstance(p, ReadOut | SNM):
        z = heard(net, p, {q.source: _now(net, q.source, p, begins) for q in p.projections})
        assert z is not None
        if isinstance(p, ReadOut):
            v = neurons.integrate(g, p, state[0], z, _moment(net, p, start, start))
            keep(net, p, [v])
            shape = p.view or p.shape
            net.gives[p.name] = (g.shaped(v, -1, *shape), shape)
            return
        v, m, sent = neurons.neurons(g, p, state[0], state[1], z, _moment(net, p, start, start + p.lead))
        keep(net, p, [v, m])
    elif isinstance(p, MaxPool):
        total = g("Add", state[0], _inside(net, p.source, p, begins))
        best = synapses.largest_of(g, total, p.window)
        keep(net, p, [total, best])
        sent = g("Sub", best, state[1])
    else:
        assert isinstance(p, Gate)
        a = g("Add", state[0], _inside(net, p.source, p, begins))
        b = g("Add", state[1], _inside(net, p.gate, p, begins))
        m, sent = neurons.gate(g, p, a, b, state[2], _moment(net, p, start, start))
        keep(net, p, [a, b, m])
    net.sent[p.name] = sent
    net.gives[p.name] = (sent, p.shape)


def keep_late(net: Net) -> None:
    """What readers hear later, the newest first."""
    g = net.g
    for name, steps in latest(net.graph).items():
        newest, key = g("Unsqueeze", net.sent[name], g.constant([1])), f"delay {name}"
        if steps > 1:
            before = g("Slice", key, g.constant([0]), g.constant([steps - 1]), g.constant([1]))
            newest = g("Concat", newest, before, axis=1)
        net.after[key] = (newest, net.takes[key])


def _now(net: Net, source: str, reader: Population, begins: Mapping[str, int]) -> str:
    """What a reader hears of a source in this step."""
    steps = late(net.graph, begins, source, reader.name)
    key = (source, steps)
    if key not in net.g.known:
        delayed = net.g("Gather", f"delay {source}", net.g.constant(steps - 1), axis=1) if steps else ""
        net.g.known[key] = delayed or net.sent[source]
    return net.g.known[key]


def _inside(net: Net, source: str, reader: Population, begins: Mapping[str, int]) -> str:
    """The same, and nothing outside of the reader's window, where an image is sent as well."""
    now = _now(net, source, reader, begins)
    if not isinstance(net.graph[source], Input):
        return now
    start = begins[reader.name]
    return net.g("Where", _within(net, start), now, net.g.constant(0))


def _moment(net: Net, p: Population, start: int, fires: int) -> Moment:
    """The moment of a population that hears from step `start` on, and fires from `fires` on, T steps each."""
    g, key = net.g, ("summed", start)
    if key not in g.known:
        since = g("Sub", STEP, g.constant(start - 1))
        g.known[key] = g.within(since, 1, net.steps)
    return Moment(g.known[key], held(net, p), _within(net, start), _within(net, fires))


def _within(net: Net, start: int) -> str:
    """Is the step one of the T from `start` on?"""
    g, key = net.g, ("within", start)
    if key not in g.known:
        over = g("Less", STEP, g.constant(start + net.steps))
        g.known[key] = g("And", g("GreaterOrEqual", STEP, g.constant(start)), over)
    return g.known[key]
