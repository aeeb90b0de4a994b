"""Which units a population's integers count in: one for each channel's potential, one exponent for each
projection.

A weight code w of projection q, into channel c, is worth w * 2**exponent(q) * unit(c). All projections into a
channel share its unit; without exponents the largest weight of one of them would decide for all, and leave
the others few bits. Chosen is what makes the least error of the currents, as far as state and sums hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.ir import SNM, Projection, ReadOut
from dnisnm_lava.ir.channels import channel_max
from dnisnm_lava.ir.fixedpoint import WEIGHT_BITS, FixedPointFormat
from dnisnm_lava.stages import compensation
from dnisnm_lava.stages.compensation import Reads

STATE_MARGIN = 1.25  # of the range measured in calibration: test images go somewhat further
QUICK_CURRENT = 1 << 22  # of a step, by the same bound: twice of it, and a bias, are exact in float32
LEAST_THETA = 1e-3  # of the population's largest threshold: less is next to dead
FINEST = 64  # units of a threshold at least, where there is room
LARGEST_CURRENT = 1 << 30  # of a step, by a static bound: Lava sums in 32 bits
LARGEST_EXPONENT = 24  # of the file
CLIPS = (
    1.0,
    0.9,
    0.8,
    0.7,
    0.6,
    0.5,
)  # of the unit in which all weights fit: below 1 the largest are clipped
MOST_WHOLE = 16  # units of a read-out in which one of its weights is whole
Blocks = tuple[Reads, ...]  # of one projection; none where nothing is known of what it reads


@dataclass(frozen=True)
class Widths:
    """Bits of weights and of the state."""

    weights: FixedPointFormat
    state: FixedPointFormat

    def of(self, weight: np.ndarray) -> FixedPointFormat:
        """One weight a row (a shortcut, a pool) keeps 8 bits: there are few, and nothing takes up their
        error."""
        few = weight[0].size == 1 and self.weights.bits < WEIGHT_BITS
        return FixedPointFormat(WEIGHT_BITS) if few else self.weights


@dataclass(frozen=True)
class Drive:
    """One projection whose weights count in its sources' spikes. weight: float, without an exponent. blocks:
    what it reads. largest: the largest spike of its source."""

    projection: Projection
    weight: np.ndarray
    blocks: Blocks
    largest: int

    def power(self) -> np.ndarray:
        """(O,) mean square of what each row reads, summed over its columns: about its mean, which the bias
        takes up. Where nothing is known, that of the largest spikes."""
        if not self.blocks:
            return np.full(len(self.weight), self.weight[0].size * (self.gain * self.largest) ** 2)
        traces = np.sum(
            [np.trace(block.covariance, axis1=1, axis2=2, dtype=np.float64) for block in self.blocks], axis=0
        )
        # of what never varies, float32's noise may be below 0
        return np.repeat(np.maximum(traces, 0), len(self.weight) // len(traces))

    def error_of_the_largest(self, steps: np.ndarray, format: FixedPointFormat) -> np.ndarray:
        """(O,) squared error of the rows' currents with the nearest codes in `steps`, of spikes that are all
        the largest."""
        gaps = (
            w - format.rounded(w / step)[0] * step for w, step in zip(self.weight, steps, strict=True)
        )  # a row at a time: there may be many
        return np.array([float((gap**2).sum()) for gap in gaps]) * (self.gain * self.largest) ** 2

    def bound(self) -> np.ndarray:
        """(O,) the most that each row's current can be, whatever is read."""
        return np.abs(self.weight).reshape(len(self.weight), -1).sum(axis=1) * self.gain * self.largest

    @property
    def gain(self) -> float:
        """The most that a pool or a resampling makes of spikes of 1."""
        q = self.projection
        if q.resample is not None:
            return float(q.resample.gain)
        return 1.0 if q.sum_pool is None else float(np.prod(q.sum_pool.kernel))

    def onto(self, rows: np.ndarray, channels: int) -> np.ndarray:
        """(C,) sums of a value of each row over the rows that drive a channel."""
        total = np.zeros(channels)
        np.add.at(total, self.projection.channel_of_row, rows)
        return total

    def most(self, rows: np.ndarray, channels: int) -> np.ndarray:
        """(C,) the largest value of the rows that drive a channel; 0 where none does."""
        largest = np.zeros(channels)
        np.maximum.at(largest, self.projection.channel_of_row, rows)
        return largest


@dataclass(frozen=True)
class Units:
    """exponents: of each projection. unit: (C,) worth of one step of the potential."""

    exponents: tuple[int, ...]
    unit: np.ndarray

    def steps(self, drive: Drive, exponent: int) -> np.ndarray:
        """(O, 1, ...) worth of one step of each row's weight."""
        rows = self.unit[drive.projection.channel_of_row] * 2.0**exponent
        return rows.reshape(-1, *(1,) * (drive.weight.ndim - 1))


def shared(p: SNM | ReadOut, unit: np.ndarray) -> np.ndarray:
    """(C,) `unit`, or the largest of them for every channel of a read-out: argmax needs no floats."""
    return np.full_like(unit, unit.max()) if isinstance(p, ReadOut) else unit


def chosen(p: SNM | ReadOut, drives: Sequence[Drive], widths: Widths) -> Units:
    """Exponents by the expected error of weights to the nearest code. Then, of some units near that in which
    all weights fit, that with the least error of the currents: smaller ones, where it is known what is read,
    and the largest weights are clipped; larger ones in which a shortcut's or a pool's weight is a whole
    number."""
    least = least_unit(p, drives, widths)
    units = by_expected_error(p, drives, widths, least)
    if not any(d.blocks or d.weight[0].size == 1 for d in drives):
        return units  # nothing to choose from
    tried = [
        _of_least_error(p, drives, exponents, widths, least)
        for exponents in _with_room(drives, units.exponents)
    ]
    best = min(tried, key=lambda t: t[0])[1]
    return _finer(p, drives, best, least) if any(d.blocks for d in drives) else best


def _finer(p: SNM | ReadOut, drives: Sequence[Drive], units: Units, least: np.ndarray) -> Units:
    """All exponents higher by what lets thresholds, biases and initial potentials round to a FINEST part of
    the smallest threshold, as far as the state holds it and sums of bytes are exact in float32: codes of
    weights stay what they are, but in channels that hardly ever send."""
    if isinstance(p, ReadOut):
        return units
    theta = of_a_level(p)
    alive = theta > LEAST_THETA * theta.max(initial=0)
    if not alive.any():
        return units
    own, limit = units.unit[alive], np.maximum(least, largest_currents(p, drives) / QUICK_CURRENT)[alive]
    with np.errstate(divide="ignore"):
        wanted, room = np.log2(FINEST * own / theta[alive]).max(), np.log2(own / limit).min()
    shift = int(
        np.clip(np.ceil(wanted), 0, max(0, min(np.floor(room), LARGEST_EXPONENT - max(units.exponents))))
    )
    finer = units.unit / 2.0**shift
    return Units(tuple(e + shift for e in units.exponents), np.where(alive, finer, np.maximum(finer, least)))


def least_unit(p: SNM | ReadOut, drives: Sequence[Drive], widths: Widths) -> np.ndarray:
    """(C,) the smallest unit in which the range of v expected from calibration fits the state, with a margin,
    and the thresholds, which v may never reach where a layer shares them; and the currents of a step the sums
    of 32 bits."""
    assert p.v_range is not None
    bias = channel_max(np.abs(np.broadcast_to(p.bias, p.shape)))
    least = np.maximum(p.v_range, bias) * STATE_MARGIN
    if isinstance(p, SNM) and p.curve is None:  # a curve's is of what it says, not of v
        least = np.maximum(least, channel_max(p.vth))
    return shared(
        p, np.maximum(least / widths.state.limit, (largest_currents(p, drives) + bias) / LARGEST_CURRENT)
    )


def largest_currents(p: SNM | ReadOut, drives: Sequence[Drive]) -> np.ndarray:
    """(C,) the most that a step may bring, whatever is read, but for the bias."""
    return np.sum([d.most(d.bound(), p.shape[0]) for d in drives], axis=0)


def needed(p: SNM | ReadOut, drives: Sequence[Drive], widths: Widths) -> np.ndarray:
    """(P, C) for each projection, the smallest step in which its weights into a channel fit their bits."""
    return np.array(
        [d.most(channel_max(np.abs(d.weight)) / widths.of(d.weight).limit, p.shape[0]) for d in drives]
    )


def unit_of(p: SNM | ReadOut, steps: np.ndarray, exponents: Sequence[int], least: np.ndarray) -> np.ndarray:
    """(C,) the smallest unit in which all weights fit. steps: (P, C) that they need."""
    unit = np.maximum((steps * 2.0 ** -np.array(exponents)[:, None]).max(axis=0), least)
    return np.where(shared(p, unit) > 0, shared(p, unit), 1.0)


def by_expected_error(p: SNM | ReadOut, drives: Sequence[Drive], widths: Widths, least: np.ndarray) -> Units:
    """The exponents with the least expected error, from those of the projections' largest weights on, each up
    or down by one while that helps."""
    steps = needed(p, drives, widths)
    power = np.array([d.onto(d.power(), p.shape[0]) for d in drives]) * importance(p)
    exponents = _from_0(_first(steps))
    best = expected(unit_of(p, steps, exponents, least), exponents, power)
    improved = True
    while improved:
        improved = False
        for other in _beside(exponents):
            error = expected(unit_of(p, steps, other, least), other, power)
            if error < best * (1 - 1e-9):  # beyond rounding: no cycles
                exponents, best, improved = other, error, True
                break
    return Units(exponents, unit_of(p, steps, exponents, least))


def _beside(exponents: tuple[int, ...]) -> list[tuple[int, ...]]:
    """One of them up or down by one; from 0 on."""
    moved = [(*exponents[:q], e + by, *exponents[q + 1 :]) for q, e in enumerate(exponents) for by in (1, -1)]
    return [m for m in map(_from_0, moved) if max(m) <= LARGEST_EXPONENT]


def _from_0(exponents: Iterable[int]) -> tuple[int, ...]:
    given = tuple(exponents)
    return tuple(e - min(given) for e in given)


def _first(steps: np.ndarray) -> tuple[int, ...]:
    """Each projection's step by the finest of the channel's, as a power of two, in the median channel."""
    finest = np.where(steps > 0, steps, np.inf).min(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(steps > 0, np.log2(steps / finest), np.nan)
    medians = [np.nanmedian(a) if (a >= 0).any() else 0.0 for a in apart]
    return tuple(min(int(m), LARGEST_EXPONENT) for m in medians)  # the search mends the rest


def importance(p: SNM | ReadOut) -> np.ndarray:
    """(C,) weight of a channel's squared error: by the largest threshold squared; of a read-out's channels,
    all the same."""
    if isinstance(p, ReadOut):
        return np.ones(p.shape[0])
    theta = of_a_level(p)
    return np.where(theta > 0, 1 / np.where(theta > 0, theta, 1) ** 2, 0.0)


def of_a_level(p: SNM) -> np.ndarray:
    """(C,) how far v goes for a level: the largest threshold; of a curve, by its steepest line."""
    theta = channel_max(p.vth)
    if p.curve is None:
        return theta
    steepest = np.abs(p.curve.slopes).max(axis=1)
    return theta / np.where(steepest > 0, steepest, 1)


def expected(unit: np.ndarray, exponents: Sequence[int], power: np.ndarray) -> float:
    """The sum of squared errors: a step's square by 12, for weights that lie anywhere between two codes,
    times what they read."""
    steps = unit * 2.0 ** np.array(exponents)[:, None]
    return float((steps**2 / 12 * power).sum())


def expected_error(
    p: SNM | ReadOut, drives: Sequence[Drive], of_matrices: Sequence[float], widths: Widths
) -> float:
    """The error of the weights, in the units that suit them best without clipping, and of the drives'
    resamplings, whose entries are wrong by a share `of_matrices` of the largest."""
    least = least_unit(p, drives, widths)
    exponents = by_expected_error(p, drives, widths, least).exponents
    weights, _ = _of_least_error(p, drives, exponents, widths, least, CLIPS[:1])
    size = np.array(
        [d.onto(np.array([float((w**2).mean()) for w in d.weight]) * d.power(), p.shape[0]) for d in drives]
    )
    return weights + float((np.array(of_matrices)[:, None] ** 2 * size * importance(p)).sum())


def _with_room(drives: Sequence[Drive], exponents: tuple[int, ...]) -> list[tuple[int, ...]]:
    """`exponents`, and those one higher where a row has one weight, which cannot be clipped: so that the
    others' may be."""
    single = [d.weight[0].size == 1 for d in drives]
    if not any(single) or all(single) or max(exponents) == LARGEST_EXPONENT:
        return [exponents]
    return [exponents, tuple(e + own for e, own in zip(exponents, single, strict=True))]


def _of_least_error(
    p: SNM | ReadOut,
    drives: Sequence[Drive],
    exponents: tuple[int, ...],
    widths: Widths,
    least: np.ndarray,
    clips: Sequence[float] = CLIPS,
) -> tuple[float, Units]:
    """The error, and the units: for each channel the candidate with the least error of its currents; for a
    read-out, one for all."""
    units = [Units(exponents, unit) for unit in candidates(p, drives, exponents, widths, least, clips)]
    errors = np.array([error(p, drives, tried, widths) for tried in units])
    if isinstance(p, ReadOut):
        errors = np.broadcast_to(errors.sum(axis=1, keepdims=True), errors.shape)
    best = errors.argmin(axis=0)
    channels = np.arange(p.shape[0])
    unit = np.array([u.unit for u in units])[best, channels]
    return float((errors[best, channels] * importance(p)).sum()), Units(exponents, unit)


def candidates(
    p: SNM | ReadOut,
    drives: Sequence[Drive],
    exponents: tuple[int, ...],
    widths: Widths,
    least: np.ndarray,
    clips: Sequence[float],
) -> list[np.ndarray]:
    """(C,) each: `clips` times the unit in which all weights fit, not so small that weights of which nothing
    is known do not fit; and those in which the one weight of a row is a whole number."""
    steps = needed(p, drives, widths)
    unknown = steps * np.array([not d.blocks for d in drives])[:, None]
    floor = unit_of(p, unknown, exponents, least) if unknown.any() else least
    whole = unit_of(p, steps, exponents, least)
    clipped = [
        np.maximum(whole * clip, floor) for clip in (clips if any(d.blocks for d in drives) else clips[:1])
    ]
    single = [(d, e) for d, e in zip(drives, exponents, strict=True) if d.weight[0].size == 1]
    return clipped + [unit for d, e in single for unit in _of_whole_numbers(p, d, e, whole)]


def _of_whole_numbers(p: SNM | ReadOut, drive: Drive, exponent: int, least: np.ndarray) -> list[np.ndarray]:
    """(C,) each: the smallest units, from `least` on, in which the one weight of a row is a whole number:
    then it is exact. For a read-out those of its channels, a few."""
    weight = drive.most(channel_max(np.abs(drive.weight)), p.shape[0]) * 2.0**-exponent
    codes = np.floor(weight / least * (1 + 1e-12))  # what is whole already stays
    unit = np.where(codes > 0, np.maximum(weight / np.maximum(codes, 1), least), least)
    return [np.full_like(unit, u) for u in np.unique(unit)[:MOST_WHOLE]] if isinstance(p, ReadOut) else [unit]


def error(p: SNM | ReadOut, drives: Sequence[Drive], units: Units, widths: Widths) -> np.ndarray:
    """(C,) mean squared error of the currents when weights go to the nearest code."""
    found = np.zeros(p.shape[0])
    for d, exponent in zip(drives, units.exponents, strict=True):
        steps = units.steps(d, exponent)
        if d.blocks:
            codes, _ = widths.of(d.weight).rounded(d.weight / steps)
            lost = compensation.error(d.weight, codes * steps, d.blocks)
        else:
            lost = d.error_of_the_largest(steps, widths.of(d.weight))
        found += d.onto(lost, p.shape[0])
    return found
