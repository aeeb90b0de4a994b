"""What each population of a network would take of a chip's cores: an estimate by the rule of `cores`.

Sum-pools are composed into the kernels behind them; what is resampled is a kernel that pixels share where
their synapses are alike, as those of a transposed convolution or an upsampling by a whole factor are, else
single synapses; a max-pool as a tap and a running sum for each input of its windows, and the image as neurons
that send.
"""

from __future__ import annotations

from math import gcd, prod

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import (
    SNM,
    Curve,
    Gate,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Resample,
    Shape,
    SpikingGraph,
)
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.curves import LARGEST_SHIFT
from dnisnm_lava.ir.dynamics import lower_threshold
from dnisnm_lava.ir.integers import signed_bits
from dnisnm_lava.studies.loihi2.cores import (
    Layer,
    Row,
    Shared,
    Single,
    Synapses,
    ceil_div,
    placed,
    weight_bits,
)
from dnisnm_lava.studies.loihi2.limits import LOIHI2, Limits


def estimate(graph: SpikingGraph, limits: Limits = LOIHI2) -> tuple[Row, ...]:
    """One row for each population of an integer graph, on the cores of a chip."""
    if not graph.is_integer:
        raise OutOfRange("resources: the graph holds floats, whose weights have no bits; quantize it first")
    return tuple(placed(layer_of(p, graph, limits)) for p in graph)


def layer_of(p: Population, graph: SpikingGraph, limits: Limits = LOIHI2) -> Layer:
    """The population as the rule sees it: sum-pools and resamplings composed into kernels where these are
    shared."""
    kind = type(p).__name__
    if isinstance(p, Input):
        return Layer(p.name, kind, p.shape, limits=limits)
    if isinstance(p, MaxPool):
        taps, channels = prod(p.window.kernel), p.shape[0]
        state = ceil_div(
            (taps + 1) * limits.state_bits, limits.word_bits
        )  # a running sum for each input of the window, and the last maximum
        return Layer(
            p.name,
            kind,
            p.shape,
            (Shared(taps, channels, channels, channels, 1),),
            state,
            taps * prod(p.shape),
            taps * channels,
            limits=limits,
        )
    if isinstance(p, Gate):
        return _of_gate(p, graph, limits)
    assert isinstance(p, SNM | ReadOut)
    found = [_synapses(q, graph[q.source].shape, p.shape) for q in p.projections]
    kept = sum(
        s.synapses if isinstance(s, Single) else s.taps * s.read * (s.rows // s.groups) for s, _ in found
    )
    state = ceil_div(state_bits(p, graph.steps, limits.state_bits), limits.word_bits)
    curve = p.curve if isinstance(p, SNM) else None
    return Layer(
        p.name,
        kind,
        p.shape,
        tuple(s for s, _ in found),
        state,
        sum(count for _, count in found),
        kept,
        table_words=0 if curve is None else ceil_div(table_bits(curve, limits.state_bits), limits.word_bits),
        tables=1 if curve is None else curve.rows,
        limits=limits,
    )


def _of_gate(p: Gate, graph: SpikingGraph, limits: Limits) -> Layer:
    """A tap of each source, or of its one neuron for many single synapses; both running sums and m; a gain
    and a shift for each channel. A guess, as all of it: no published table has one."""
    channels, neurons, gate = p.shape[0], prod(p.shape), prod(graph[p.gate].shape)
    memory = (p.most or graph.steps * p.levels).bit_length() + int(p.two_sided)
    one = Shared(1, channels, channels, channels, 1)
    return Layer(
        p.name,
        type(p).__name__,
        p.shape,
        (one, one if gate == neurons else Single(gate, neurons, neurons, 1)),
        ceil_div(2 * limits.state_bits + memory, limits.word_bits),
        2 * neurons,
        channels + (channels if gate == neurons else neurons),
        table_words=1,
        tables=channels,
        limits=limits,
    )


def _synapses(q: Projection, source: Shape, target: Shape) -> tuple[Synapses, int]:
    """The synapses of a projection into `target` from `source`, as they are stored; and how many there
    are."""
    bits, rows = weight_bits(largest_weight(q)), q.weight.shape[0]
    if not q.is_conv:
        return _dense(q, source, prod(target), bits)
    channels = q.weight.shape[1] * q.groups
    if q.resample is None:
        taps = _taps(q)
        return Shared(taps, channels, rows, q.groups, bits), taps * (channels // q.groups) * rows * prod(
            q.given_shape(source)[1:]
        )
    pairs, read = _resampled(q, q.resample)
    count = pairs * channels // q.groups * rows
    taps = prod(_shared_taps(a, q.window, i) for i, a in enumerate((q.resample.rows, q.resample.cols)))
    if taps < pairs:
        return Shared(taps, channels, rows, q.groups, bits), count
    return Single(channels * read, count, prod(target), bits), count


def _dense(q: Projection, source: Shape, targets: int, bits: int) -> tuple[Synapses, int]:
    """Pixels whose sum the weights read share one list, where each is in one window."""
    rows, pool = q.weight.shape[0], q.sum_pool
    read = q.read_shape(source)[0] * prod(source[1:])
    apart = (
        pool is not None
        and all(s >= k for s, k in zip(pool.stride, pool.kernel, strict=True))
        and pool.dilation == (1, 1)
    )
    lists = q.weight.shape[1] if apart else read
    return Single(lists, lists * rows, targets, bits), read * rows


def largest_weight(q: Projection) -> int:
    """Largest |weight| of a synapse: a resampling's matrices are multiplied into the weights."""
    matrices = () if q.resample is None else (q.resample.rows, q.resample.cols)
    return prod(int(np.abs(a.astype(np.int64)).max(initial=0)) for a in (q.weight, *matrices))


def _taps(q: Projection) -> int:
    """Positions of a kernel, where the windows of a sum-pool in front of it are composed into it."""
    pool = q.sum_pool or Window((1, 1), (1, 1))
    return prod(
        _positions(q.weight.shape[2 + i], q.dilation[i] * pool.stride[i], pool.kernel[i], pool.dilation[i])
        for i in range(2)
    )


def _positions(taps: int, step: int, kernel: int, gap: int) -> int:
    """How many numbers are `tap * step + k * gap`. Taps of the same remainder by `gap` form a chain, in which
    each adds `step` of its own at most, counted in gaps and over the chains."""
    common = gcd(step, gap)
    chains = min(taps, gap // common)
    return chains * kernel + (taps - chains) * min(kernel, step // common)


def _shared_taps(matrix: np.ndarray, window: Window, axis: int) -> int:
    """Positions of the kernels that pixels share: of each kind of column of `matrix` (resampled, read), as it
    meets the window's stride, how many targets it reaches. The zeros of a transposed convolution make one
    kind; bilinear upsampling has others at borders."""
    stride, gap, before = window.stride[axis], window.dilation[axis], window.padding[axis][0]
    kinds: dict[tuple[int, bytes], int] = {}
    for column in matrix.T:
        at = np.flatnonzero(column)
        if len(at):
            first, inside = int(at[0] + before), at - at[0]
            kind = first % stride, column[at[0] : at[-1] + 1].tobytes()
            if kind not in kinds:
                reached = (inside[:, None] + first % stride - gap * np.arange(window.kernel[axis])).reshape(
                    -1
                )
                kinds[kind] = len(np.unique(reached[reached % stride == 0]))
    return sum(kinds.values())


def _resampled(q: Projection, resample: Resample) -> tuple[int, int]:
    """(pairs of pixels that a kernel behind a resampling joins, pixels that are read)."""
    size = resample.rows.shape[0], resample.cols.shape[0]
    joined = [
        _joined(a != 0, q.window, i, q.window.output_size(size)[i])
        for i, a in enumerate((resample.rows, resample.cols))
    ]
    return prod(pairs for pairs, _ in joined), prod(read for _, read in joined)


def _joined(present: np.ndarray, window: Window, axis: int, outputs: int) -> tuple[int, int]:
    """Pairs and reads along one axis. present: (resampled, read). Padding is never written down: a file may
    claim much of it."""
    gap, span = window.dilation[axis], window.dilation[axis] * (window.kernel[axis] - 1) + 1
    pairs, read = 0, np.zeros(present.shape[1], bool)
    for out in range(outputs):
        first = out * window.stride[axis] - window.padding[axis][0]
        row = present[first if first >= 0 else first % gap : max(first + span, 0) : gap].any(axis=0)
        pairs, read = pairs + int(row.sum()), read | row
    return pairs, int(read.sum())


def state_bits(p: SNM | ReadOut, steps: int, width: int = LOIHI2.state_bits) -> int:
    """Bits of one neuron: its potential, which has `width`, and what differs between the neurons of its
    population; the rest is the program's."""
    bits = width + (width if _differs(p.bias) else 0)
    if isinstance(p, ReadOut):
        return bits
    memory = _memory_bits(p, steps)
    payload = int(p.payload.max(initial=0)).bit_length() if _differs(p.payload) else 0
    if p.curve is not None:  # what a level is worth stands in its table
        return bits + memory + payload + (width if p.v_init.any() else 0)
    threshold = width if _differs(p.vth) else 0
    lower = (
        width if p.down not in (0, 1) and _differs(lower_threshold(p.vth, p.down)) else 0
    )  # else it is 1, or the threshold
    band = width if p.band and _differs(p.vth) else 0  # else there is none, or it is the program's
    known = np.array_equal(p.v_init, p.vth >> 1) or (
        p.two_sided and not p.v_init.any()
    )  # to the program, of itself
    return bits + memory + payload + threshold + lower + band + (0 if known else width)


def table_bits(curve: Curve, width: int = LOIHI2.state_bits) -> int:
    """The bits of one row of a curve: its knots, as wide as v; its slopes and offsets, in the fewest bits
    that hold them all; and its shift. That a core keeps such tables, one for each row, is a guess."""
    lines = signed_bits(curve.slopes) + signed_bits(curve.offsets)
    return curve.knots.shape[1] * width + curve.slopes.shape[1] * lines + LARGEST_SHIFT.bit_length()


def _memory_bits(p: SNM, steps: int) -> int:
    """The bits of a neuron's m. A two-sided neuron needs an m only where it has a bound or a curve, and then
    with a sign."""
    if p.most or p.curve is not None:
        return (p.most or steps * p.levels).bit_length() + int(p.two_sided)
    return 0 if p.two_sided else (steps * p.levels).bit_length()


def _differs(values: np.ndarray) -> bool:
    return bool(values.size) and bool((values != values.flat[0]).any())
