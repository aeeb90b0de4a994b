"""The neuron and the network in Python integers, written from the paper's equations and nothing of ours.

Every sum is spelled out over coordinates; nothing here is a NumPy operation on more than one number.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from dnisnm_lava.ir import SNM, Curve, Gate, Input, MaxPool, Projection, ReadOut, Resample, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window

LARGEST = 2**23 - 1


class Neuron:
    """One signed neuron with memory (Eq. 19 to 23), one integer at a time."""

    def __init__(
        self,
        vth: int,
        payload: int,
        v_init: int,
        bias: int,
        levels: int,
        two_sided: bool = False,
        down: float = 1.0,
        band: float = 0.0,
        most: int = 0,
    ) -> None:
        self.two_sided, self.lower = two_sided, max(1, round(down * vth))
        self.band, self.most = round(band * vth), most or 1 << 60
        self.vth, self.payload, self.bias, self.levels = vth, payload, bias, levels
        self.v, self.m = v_init, 0

    def integrate(self, z: int) -> bool:
        """Whether it saturated."""
        v = self.v + z + self.bias
        self.v = max(-LARGEST, min(LARGEST, v))
        return self.v != v

    def fire(self) -> int:
        """What it sends. One level at a time: subtract while the next whole threshold is still reached, add
        while the lower one is."""
        sent = 0
        if self.vth == 0:
            return 0
        if -self.band < self.v < self.vth + self.band:
            return 0
        if self.v >= self.vth:
            while self.v >= self.vth and sent < self.levels and self.m + sent < self.most:
                self.v -= self.vth
                sent += 1
        else:
            least = -self.most if self.two_sided else 0
            while self.v <= -self.lower and -sent < self.levels and self.m + sent > least:
                self.v += self.vth
                sent -= 1
        self.m += sent
        return sent * self.payload


def line(curve: Curve, channel: int, x: Fraction) -> Fraction:
    """f(x), in fractions of a level's 2**shift."""
    row = channel % len(curve.slopes)
    piece = sum(x >= int(knot) for knot in curve.knots[row])
    return int(curve.slopes[row, piece]) * x + int(curve.offsets[row, piece])


def nearest(x: Fraction) -> int:
    """The nearest integer, halves up."""
    return (2 * x + 1) // 2


class Product:
    """A neuron of a gate, which keeps the sums of both its sources. steps: as of Curved."""

    def __init__(self, p: Gate, i: tuple[int, ...], steps: int) -> None:
        self.gain, self.steps, self.two_sided, self.levels = int(p.gain[i[0]]), steps, p.two_sided, p.levels
        self.vth, self.payload = int(p.vth[i]), int(p.payload[i])
        self.most, self.band = p.most or 1 << 60, round(p.band * self.vth)
        self.a, self.b, self.m, self.heard = 0, 0, 0, 0

    def hear(self, a: int, b: int) -> int:
        """What it sends."""
        self.a, self.b, self.heard = self.a + a, self.b + b, min(self.heard + 1, self.steps)
        if self.vth == 0:
            return 0
        value = Fraction(self.a * self.b * nearest(Fraction(self.gain, self.heard)))
        return stepped(self, value)


def stepped(p: Curved | Product, value: Fraction) -> int:
    """What a neuron whose function says `value` sends, so that its levels are the nearest to it."""
    apart, half = value - p.m * p.vth, Fraction(p.vth, 2) + p.band
    if -half <= apart < half:
        return 0
    goal = max(-p.most if p.two_sided else 0, min(p.most, nearest(value / p.vth)))
    sent = max(-p.levels, min(p.levels, goal - p.m))
    p.m += sent
    return sent * p.payload


class Curved:
    """A neuron that keeps the sum of all that it heard, and in step t has sent t f(sum / t) levels. steps:
    how many count, those of a frame."""

    def __init__(self, p: SNM, i: tuple[int, ...], steps: int) -> None:
        assert p.curve is not None
        self.curve, self.channel, self.steps, self.two_sided = p.curve, i[0], steps, p.two_sided
        self.vth, self.payload, self.levels = int(p.vth[i]), int(p.payload[i]), p.levels
        self.bias = int(np.broadcast_to(p.bias, p.shape)[i])
        self.most, self.band = p.most or 1 << 60, round(p.band * self.vth)
        self.v, self.m, self.heard = int(p.v_init[i]), 0, 0

    def integrate(self, z: int) -> bool:
        """Whether it saturated."""
        v = self.v + z + self.bias
        self.v, self.heard = max(-LARGEST, min(LARGEST, v)), min(self.heard + 1, self.steps)
        return self.v != v

    def fire(self) -> int:
        if self.vth == 0:
            return 0
        return stepped(self, self.heard * line(self.curve, self.channel, Fraction(self.v, self.heard)))


def seen(window: Window, size: tuple[int, int], y: int, x: int) -> list[tuple[int, int, int, int]]:
    """(ky, kx, iy, ix) of the kernel elements of output (y, x) that lie on the map, not on its border."""
    found = []
    for ky, kx in itertools.product(range(window.kernel[0]), range(window.kernel[1])):
        iy = y * window.stride[0] + ky * window.dilation[0] - window.padding[0][0]
        ix = x * window.stride[1] + kx * window.dilation[1] - window.padding[1][0]
        if 0 <= iy < size[0] and 0 <= ix < size[1]:
            found.append((ky, kx, iy, ix))
    return found


def sum_pooled(x: np.ndarray, window: Window) -> np.ndarray:
    out = np.zeros((x.shape[0], *window.output_size(x.shape[1:])), dtype=object)
    for c, y, x_ in np.ndindex(*out.shape):
        out[c, y, x_] = sum(int(x[c, iy, ix]) for _, _, iy, ix in seen(window, x.shape[1:], y, x_))
    return out


def current(p: Projection, x: np.ndarray) -> np.ndarray:
    """One sample's currents, exact: `x` (*source shape) of integers."""
    if p.source_channels is not None:
        x = np.array([x[int(c)] for c in p.source_channels])
    if p.sum_pool is not None:
        x = sum_pooled(x, p.sum_pool)
    if p.resample is not None:
        x = resampled(x, p.resample)
    z = weighted(p, x)
    if p.target_shape:
        return z.reshape(p.target_shape)
    if p.target_channels is None:
        return z
    full = np.zeros((p.targets, *z.shape[1:]), dtype=object)
    for row, channel in zip(z, p.target_channels, strict=True):
        full[int(channel)] = row
    return full


def resampled(x: np.ndarray, resample: Resample) -> np.ndarray:
    rows, cols = resample.rows, resample.cols
    out = np.zeros((x.shape[0], len(rows), len(cols)), dtype=object)
    for c, i, j in np.ndindex(*out.shape):
        out[c, i, j] = sum(
            int(rows[i, y]) * int(cols[j, z]) * int(x[c, y, z]) for y, z in np.ndindex(*x.shape[1:])
        )
    return out


def weighted(p: Projection, x: np.ndarray) -> np.ndarray:
    if p.weight.ndim == 2:
        flat = [int(v) for v in x.reshape(-1)]
        z = [sum(int(w) * s for w, s in zip(row, flat, strict=True)) << p.exponent for row in p.weight]
        return np.array(z, dtype=object)
    outputs, inputs = p.weight.shape[:2]
    window = Window(p.weight.shape[2:], p.stride, p.padding, p.dilation)
    out = np.zeros((outputs, *window.output_size(x.shape[1:])), dtype=object)
    for o, y, x_ in np.ndindex(*out.shape):
        first = (o // (outputs // p.groups)) * inputs
        total = 0
        for (ky, kx, iy, ix), i in itertools.product(seen(window, x.shape[1:], y, x_), range(inputs)):
            total += int(p.weight[o, i, ky, kx]) * int(x[first + i, iy, ix])
        out[o, y, x_] = total << p.exponent
    return out


def simulate(graph: SpikingGraph, codes: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """{population: (T, *shape)} for one sample of input integers `codes`; the read-out's potentials."""
    sent: dict[str, list[np.ndarray]] = {}
    for p in graph:
        if isinstance(p, Input):
            sent[p.name] = [codes] * steps
        elif isinstance(p, MaxPool):
            sent[p.name] = pooled(p, sent[p.source], graph[p.source].shape)
        elif isinstance(p, Gate):
            sent[p.name] = gated(p, products_of(p, steps), sent)
        elif isinstance(p, SNM):
            sent[p.name] = fired(p, sent, steps)
        elif isinstance(p, ReadOut):
            sent[p.name] = summed(p, sent, steps)
    return {name: np.array(trace, dtype=np.int64) for name, trace in sent.items()}


def pooled(p: MaxPool, spikes: list[np.ndarray], shape: tuple[int, ...]) -> list[np.ndarray]:
    total, before, out = np.zeros(shape, dtype=object), np.zeros(p.shape, dtype=object), []
    for spike in spikes:
        total = total + spike
        best = np.zeros(p.shape, dtype=object)
        for c, y, x in np.ndindex(*p.shape):
            best[c, y, x] = max(total[c, iy, ix] for _, _, iy, ix in seen(p.window, shape[1:], y, x))
        out.append(best - before)
        before = best
    return out


def arriving(p: SNM | ReadOut, sent: dict[str, list[np.ndarray]], t: int) -> np.ndarray:
    return sum((current(q, sent[q.source][t]) for q in p.projections), start=np.zeros(p.shape, dtype=object))


def neurons_of(p: SNM, steps: int) -> dict[tuple[int, ...], Neuron | Curved]:
    bias = np.broadcast_to(p.bias, p.shape)
    if p.curve is not None:
        return {i: Curved(p, i, steps) for i in np.ndindex(*p.shape)}
    return {
        i: Neuron(
            int(p.vth[i]),
            int(p.payload[i]),
            int(p.v_init[i]),
            int(bias[i]),
            p.levels,
            p.two_sided,
            p.down,
            p.band,
            p.most,
        )
        for i in np.ndindex(*p.shape)
    }


def products_of(p: Gate, steps: int) -> dict[tuple[int, ...], Product]:
    return {i: Product(p, i, steps) for i in np.ndindex(*p.shape)}


def gated(
    p: Gate, neurons: dict[tuple[int, ...], Product], sent: dict[str, list[np.ndarray]]
) -> list[np.ndarray]:
    out = []
    for a, b in zip(sent[p.source], sent[p.gate], strict=True):
        spikes = np.zeros(p.shape, dtype=object)
        for i, neuron in neurons.items():
            at = tuple(min(k, n - 1) for k, n in zip(i, b.shape, strict=True))
            spikes[i] = neuron.hear(int(a[i]), int(b[at]))
        out.append(spikes)
    return out


def fired(p: SNM, sent: dict[str, list[np.ndarray]], steps: int) -> list[np.ndarray]:
    return go_on(p, neurons_of(p, steps), sent, steps)


def go_on(
    p: SNM, neurons: dict[tuple[int, ...], Neuron | Curved], sent: dict[str, list[np.ndarray]], steps: int
) -> list[np.ndarray]:
    out = []
    for t in range(1, steps + p.lead + 1):
        if t <= steps:
            z = arriving(p, sent, t - 1)
            for i, neuron in neurons.items():
                neuron.integrate(int(z[i]))
        if t > p.lead:
            spikes = np.zeros(p.shape, dtype=object)
            for i, neuron in neurons.items():
                spikes[i] = neuron.fire()
            out.append(spikes)
    return out


def summed(p: ReadOut, sent: dict[str, list[np.ndarray]], steps: int) -> list[np.ndarray]:
    v, out = np.zeros(p.shape, dtype=object), []
    for t in range(steps):
        v = v + arriving(p, sent, t) + p.bias
        out.append(np.array([max(-LARGEST, min(LARGEST, int(a))) for a in v.reshape(-1)]).reshape(p.shape))
        v = out[-1].astype(object)
    return out


def stream(graph: SpikingGraph, frames: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """{population: (F, T, *shape)} for the frames `frames` (F, *shape) of one stream, integers: each neuron
    lives as long as the stream, and hears its bias in the first frame alone."""
    neurons = {p.name: neurons_of(p, steps) for p in graph if isinstance(p, SNM)}
    products = {p.name: products_of(p, steps) for p in graph if isinstance(p, Gate)}
    totals = {p.name: np.zeros(graph[p.source].shape, dtype=object) for p in graph if isinstance(p, MaxPool)}
    sums = {p.name: np.zeros(p.shape, dtype=object) for p in graph if isinstance(p, ReadOut)}
    told: list[dict[str, np.ndarray]] = []
    for f, codes in enumerate(frames.astype(object)):
        sent: dict[str, list[np.ndarray]] = {}
        for p in graph:
            if isinstance(p, Input):
                sent[p.name] = [codes - frames[f - 1].astype(object) if f else codes] * steps
            elif isinstance(p, MaxPool):
                before = best_of(p, totals[p.name])
                sent[p.name] = []
                for spikes in sent[p.source]:
                    totals[p.name] = totals[p.name] + spikes
                    best = best_of(p, totals[p.name])
                    sent[p.name].append(best - before)
                    before = best
            elif isinstance(p, Gate):
                sent[p.name] = gated(p, products[p.name], sent)
            elif isinstance(p, SNM):
                for neuron in neurons[p.name].values():
                    neuron.bias = 0 if f else neuron.bias
                sent[p.name] = go_on(p, neurons[p.name], sent, steps)
            elif isinstance(p, ReadOut):
                sent[p.name] = []
                for t in range(steps):
                    v = sums[p.name] + arriving(p, sent, t) + (0 if f else p.bias)
                    sums[p.name] = np.vectorize(
                        lambda a: max(-LARGEST, min(LARGEST, int(a))), otypes=[object]
                    )(v)
                    sent[p.name].append(sums[p.name])
        told.append({name: np.array(trace, dtype=np.int64) for name, trace in sent.items()})
    return {name: np.stack([frame[name] for frame in told]) for name in told[0]}


def best_of(p: MaxPool, total: np.ndarray) -> np.ndarray:
    best = np.zeros(p.shape, dtype=object)
    for c, y, x in np.ndindex(*p.shape):
        best[c, y, x] = max(total[c, iy, ix] for _, _, iy, ix in seen(p.window, total.shape[1:], y, x))
    return best
