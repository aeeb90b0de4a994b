"""What each population of a network would take of Loihi 2's cores: an estimate by the rule of `cores`.

Sum-pools are composed into the kernels behind them, what is resampled is priced as single synapses, a max-pool as a tap and a running
sum for each input of its windows, and the image as neurons that send.
"""

from __future__ import annotations

from math import gcd, prod

import numpy as np

from dnisnm_lava.cores import Layer, Row, Shared, Single, Synapses, ceil_div, placed, weight_bits
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.fixedpoint import STATE_BITS
from dnisnm_lava.ir import SNM, Input, MaxPool, Population, Projection, ReadOut, Resample, Shape, SpikingGraph
from dnisnm_lava.limits import WORD_BITS
from dnisnm_lava.synapses import Window


def estimate(graph: SpikingGraph) -> tuple[Row, ...]:
    """One row for each population of an integer graph."""
    if not graph.is_integer:
        raise OutOfRange("resources: the graph holds floats, whose weights have no bits; quantize it first")
    return tuple(placed(layer_of(p, graph)) for p in graph)


def layer_of(p: Population, graph: SpikingGraph) -> Layer:
    """The population as the rule sees it: sum-pools composed into kernels, what is resampled as single synapses."""
    kind = type(p).__name__
    if isinstance(p, Input):
        return Layer(p.name, kind, p.shape)
    if isinstance(p, MaxPool):
        taps, channels = prod(p.window.kernel), p.shape[0]
        state = ceil_div((taps + 1) * STATE_BITS, WORD_BITS)  # a running sum for each input of the window, and the last maximum
        return Layer(p.name, kind, p.shape, (Shared(taps, channels, channels, channels, 1),), state, taps * prod(p.shape), taps * channels)
    assert isinstance(p, SNM | ReadOut)
    found = [_synapses(q, graph[q.source].shape, p.shape) for q in p.projections]
    count = sum(s.synapses if isinstance(s, Single) else _count(s, p.shape) for s in found)
    kept = sum(s.synapses if isinstance(s, Single) else s.taps * s.read * (s.rows // s.groups) for s in found)
    return Layer(p.name, kind, p.shape, tuple(found), ceil_div(state_bits(p, graph.steps), WORD_BITS), count, kept)


def _count(s: Shared, shape: Shape) -> int:
    return s.taps * (s.read // s.groups) * s.rows * prod(shape[1:])


def _synapses(q: Projection, source: Shape, target: Shape) -> Synapses:
    """Of a projection into `target` from `source`."""
    channels = q.weight.shape[1] * q.groups if q.is_conv else q.read_shape(source)[0]
    bits = weight_bits(largest_weight(q))
    if q.is_conv and q.resample is None:
        return Shared(_taps(q), channels, q.weight.shape[0], q.groups, bits)
    if q.is_conv:
        assert q.resample is not None
        pairs, read = _resampled(q, q.resample)
        return Single(channels * read, pairs * channels // q.groups * q.weight.shape[0], prod(target), bits)
    read = channels * prod(source[1:])
    return Single(read, read * q.weight.shape[0], prod(target), bits)


def largest_weight(q: Projection) -> int:
    """Largest |weight| of a synapse: a resampling's matrices are multiplied into the weights."""
    matrices = () if q.resample is None else (q.resample.rows, q.resample.cols)
    return prod(int(np.abs(a.astype(np.int64)).max(initial=0)) for a in (q.weight, *matrices))


def _taps(q: Projection) -> int:
    """Positions of a kernel, where the windows of a sum-pool in front of it are composed into it."""
    pool = q.sum_pool or Window((1, 1), (1, 1))
    return prod(_positions(q.weight.shape[2 + i], q.dilation[i] * pool.stride[i], pool.kernel[i], pool.dilation[i]) for i in range(2))


def _positions(taps: int, step: int, kernel: int, gap: int) -> int:
    """How many numbers are `tap * step + k * gap`. Taps of the same remainder by `gap` form a chain, in which each adds `step` of its own
    at most, counted in gaps and over the chains."""
    common = gcd(step, gap)
    chains = min(taps, gap // common)
    return chains * kernel + (taps - chains) * min(kernel, step // common)


def _resampled(q: Projection, resample: Resample) -> tuple[int, int]:
    """(pairs of pixels that a kernel behind a resampling joins, pixels that are read)."""
    size = resample.rows.shape[0], resample.cols.shape[0]
    joined = [_joined(a != 0, q.window, i, q.window.output_size(size)[i]) for i, a in enumerate((resample.rows, resample.cols))]
    return prod(pairs for pairs, _ in joined), prod(read for _, read in joined)


def _joined(present: np.ndarray, window: Window, axis: int, outputs: int) -> tuple[int, int]:
    """Of one axis; present: (resampled, read). Padding is never written down: a file may claim much of it."""
    gap, span = window.dilation[axis], window.dilation[axis] * (window.kernel[axis] - 1) + 1
    pairs, read = 0, np.zeros(present.shape[1], bool)
    for out in range(outputs):
        first = out * window.stride[axis] - window.padding[axis][0]
        row = present[first if first >= 0 else first % gap : max(first + span, 0) : gap].any(axis=0)
        pairs, read = pairs + int(row.sum()), read | row
    return pairs, int(read.sum())


def state_bits(p: SNM | ReadOut, steps: int) -> int:
    """Of one neuron: its potential, and what differs between the neurons of its population; the rest is the program's."""
    bits = STATE_BITS + (STATE_BITS if _differs(p.bias) else 0)
    if isinstance(p, ReadOut):
        return bits
    memory = 0 if p.two_sided else (steps * p.levels).bit_length()
    payload = int(p.payload.max(initial=0)).bit_length() if _differs(p.payload) else 0
    threshold = STATE_BITS if _differs(p.vth) else 0
    half = np.zeros_like(p.vth) if p.two_sided else p.vth >> 1  # what the program knows of itself
    return bits + memory + payload + threshold + (0 if np.array_equal(p.v_init, half) else STATE_BITS)


def _differs(values: np.ndarray) -> bool:
    return bool(values.size) and bool((values != values.flat[0]).any())
