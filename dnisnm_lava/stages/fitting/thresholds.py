"""Rules that choose thresholds from calibration images, for one population."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched.curves import nearest_level
from dnisnm_lava.ir import SNM, Curve, Gate, Smooth, frozen
from dnisnm_lava.ir.channels import channel_max, per_channel
from dnisnm_lava.stages.calibration import shared_maxima
from dnisnm_lava.stages.conversion import of_levels
from dnisnm_lava.stages.fitting import activity, normal
from dnisnm_lava.stages.fitting.activity import tensor
from dnisnm_lava.stages.fitting.gaps import Gaps, groups_of, pooled
from dnisnm_lava.stages.fitting.shares import Share, owner
from dnisnm_lava.stages.fitting.spool import Spool

UPDATES = 400
VALUES, FEWEST = 1 << 13, 64  # of activations, and images, that show which threshold of a channel is best
SHRINKAGE = 64  # images' worth of its channel's error in a neuron's own choice


@dataclass(frozen=True)
class Choice:
    """How thresholds are chosen: by which rule, shared within what, and the rules' own numbers. line: are
    weights corrected, so that readers make a line of what spikes say?"""

    rule: Rule
    granularity: str
    scales: tuple[float, ...]
    percentile: float
    subset: int
    line: bool

    @property
    def told(self) -> tuple[object, ...]:
        """All that it says, for a fingerprint."""
        return self.rule.__name__, self.granularity, self.scales, self.percentile, self.subset, self.line


@dataclass(frozen=True)
class Heard:
    """What a rule may ask: the choice that is to be made, of the chunks of a share the ANN's activations and
    its pre-activations in float64, the largest activation that there can be, and the currents that arrive."""

    choice: Choice
    share: Share
    ann: Spool
    pre: Callable[[], Iterator[Tensor]]
    ceiling: float
    currents: Iterable[Tensor]
    steps: int


Rule = Callable[[SNM, Heard], np.ndarray]  # -> theta (*shape)


def largest(p: SNM, heard: Heard) -> np.ndarray:
    """The paper's: what convert took from the maxima."""
    return p.vth


def subset_largest(p: SNM, heard: Heard) -> np.ndarray:
    """Maxima over the first `subset` images alone, as the original SNM code takes them in effect."""
    best = torch.zeros(p.shape)
    for start, activation in zip(heard.share.starts, heard.ann, strict=True):
        if start < heard.choice.subset:
            best = torch.maximum(best, activation[: heard.choice.subset - start].amax(0))
    best = reduce(torch.maximum, heard.share.group.gather(best))
    return _or_maxima(shared_maxima(best.double().numpy(), heard.choice.granularity), p) / p.levels


def percentile(p: SNM, heard: Heard) -> np.ndarray:
    """The `percentile` of the activations, zeros among them, of each neuron, channel or layer: the smallest
    that so large a share of them do not exceed."""
    groups = groups_of(p.shape, heard.choice.granularity)
    count = heard.share.images * int(np.prod(p.shape)) // groups
    above = count - int(np.ceil(count * heard.choice.percentile / 100)) + 1  # it is that many-th from the top

    def largest_of(found: Tensor) -> Tensor:
        return found.topk(min(above, found.shape[1]), dim=1).values

    top = torch.zeros(groups, 0)
    for activation in heard.ann:
        top = largest_of(torch.cat([top, activation.movedim(0, -1).reshape(groups, -1)], dim=1))
    top = largest_of(torch.cat(heard.share.group.gather(top), dim=1))
    return _spread(top[:, above - 1].double().numpy(), p, heard.choice.granularity) / p.levels


def ltb(p: SNM, heard: Heard) -> np.ndarray:
    """Local threshold balancing (Bu et al., arXiv 2409.03368): from 0, theta += 2 mean(max(a - theta, 0)),
    which is gradient descent on the clipping error with rate 1; UPDATES times, each by one chunk of images,
    of the activations of each neuron, channel or layer. Activations are the ANN's; the authors clip those of
    the layers before."""
    groups = groups_of(p.shape, heard.choice.granularity)
    share, own = heard.share, {number: i for i, number in enumerate(heard.share.numbers)}
    theta = torch.zeros(groups, dtype=torch.float64)
    for update in range(UPDATES):
        number = update % share.chunks
        if number in own:
            values = heard.ann[own[number]].movedim(0, -1).reshape(groups, -1)
            theta = theta + 2 * (values - theta[:, None]).clamp(min=0).mean(1)
        theta = share.group.broadcast(theta, owner(number, share.group.size))
    return _spread(theta.numpy(), p, heard.choice.granularity) / p.levels


def mmse(p: SNM, heard: Heard) -> np.ndarray:
    """The theta, of `scales` times the maxima, whose staircase of T steps and K levels is nearest to the
    activations: theta / T * min(T K, floor(T a / theta + 1/2)), in squared error."""

    def of(activation: Tensor) -> np.ndarray:
        gaps = (
            staircase(activation, p.vth * scale, heard.steps, p.levels) - activation
            for scale in heard.choice.scales
        )
        return np.stack(
            [pooled(gap.square().double().sum(0).numpy(), p.shape, heard.choice.granularity) for gap in gaps]
        )

    errors = heard.share.summed(map(of, heard.ann))
    return p.vth * np.array(heard.choice.scales)[_best(errors, p, heard)]


def gauss(p: SNM, heard: Heard) -> np.ndarray:
    """K theta where rounding to T K levels and clipping cost least, were pre-activations normal with the mean
    and the variance that they have within each neuron, channel or layer: two moments, which few images tell,
    in place of a maximum, which they do not.

    (C / T K)^2 / 12 P(0 < z < C) + E[max(z - C, 0)^2] is least at C = K theta. Of the kind of H-MT's
    threshold (AAAI 2026)."""
    groups = groups_of(p.shape, heard.choice.granularity)

    def of(z: Tensor) -> Tensor:
        values = z.movedim(0, -1).reshape(groups, -1)
        return torch.stack([values.sum(1), values.square().sum(1)])

    count = heard.share.images * int(np.prod(p.shape)) // groups
    mean, squares = heard.share.summed(map(of, heard.pre())) / count
    spread = (squares - mean.square()).clamp(min=0).sqrt()
    return of_moments(p, mean, spread, heard.ceiling, heard.steps, heard.choice.granularity)


def of_moments(
    p: SNM, mean: Tensor, spread: Tensor, ceiling: float, steps: int, granularity: str
) -> np.ndarray:
    """theta (*shape) of the mean and the standard deviation of each group, (G,): `normal.cheapest`, at most
    the ceiling."""
    reach = normal.cheapest(mean, spread, steps * p.levels).clamp(max=ceiling)
    return _spread(torch.where(spread > 0, reach, 0.0).numpy(), p, granularity) / p.levels


def staircase(a: Tensor, theta: np.ndarray, steps: int, levels: int, two_sided: bool = False) -> Tensor:
    """What a neuron with v_init = theta / 2, or with a curve, sends in a step, on average, for a constant
    activation, at least 0 unless two-sided; 0 where theta is."""
    step = tensor(theta / steps)
    return nearest_level(a, step).clamp(-steps * levels if two_sided else 0, steps * levels) * step


def sequential(p: SNM, heard: Heard) -> np.ndarray:
    """The theta, of `scales` times the maxima, whose mean spikes leave least of the activations unexplained
    by a line (`Gaps.unexplained`), or where weights stay are nearest to them, in squared error, by running
    the population on the currents that arrive: discreteness, asynchronism and clipping are seen together."""
    scales, granularity = np.array(heard.choice.scales), heard.choice.granularity
    enough, missed = _enough(p, granularity), activity.gaps(p, scales)

    def of(start: int, activation: Tensor, current: Tensor) -> np.ndarray | None:
        first = int(min(max(enough - start, 0), len(activation)))
        if not first:
            return None
        return pooled(missed(activation[:first], current[:first]), p.shape, granularity)

    sums = heard.share.summed(map(of, heard.share.starts, heard.ann, heard.currents), _plus)
    assert sums is not None
    seen = int(min(enough, heard.share.images)) * _together(p, granularity)
    found = Gaps(seen, *sums)
    return p.vth * scales[_best(found.unexplained if heard.choice.line else found.squares, p, heard)]


def _plus(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    return b if a is None else a if b is None else a + b


def _enough(p: SNM, granularity: str) -> float:
    """Images that tell scales apart: of neurons that choose together, so many that VALUES are seen."""
    if granularity == "neuron":
        return math.inf
    return max(FEWEST, math.ceil(VALUES / _together(p, granularity)))


def _together(p: SNM, granularity: str) -> int:
    """Neurons that choose together."""
    return int(np.prod(p.shape)) // groups_of(p.shape, granularity)


def of_activation(
    p: SNM, function: Curve | Smooth, share: Share, ann: Spool, steps: int, choice: Choice
) -> SNM:
    """p, which keeps a curve, with thresholds of `nearest`, and the curve that such levels ask for."""
    return _with_curve(p, function, nearest(p, share, ann, steps, choice), steps)


def of_reach(p: SNM, function: Curve | Smooth, reach: np.ndarray, steps: int) -> SNM:
    """The same with K thresholds of `reach` (C,), at most what convert took from the maxima."""
    most = channel_max(p.vth)
    return _with_curve(p, function, np.where(reach > 0, np.minimum(reach / p.levels, most), most), steps)


def _with_curve(p: SNM, function: Curve | Smooth, theta: np.ndarray, steps: int) -> SNM:
    """theta: (C,)."""
    assert p.curve is not None
    curve = of_levels(function, p.curve.low, p.curve.high, theta / steps, p.curve.tolerance)
    vth = np.broadcast_to(per_channel(theta, p.shape), p.shape)
    return replace(p, vth=vth, payload=vth, curve=curve)


def of_gate(p: Gate, share: Share, ann: Spool, steps: int, choice: Choice) -> Gate:
    """p with thresholds of `nearest`."""
    vth = np.broadcast_to(per_channel(nearest(p, share, ann, steps, choice), p.shape), p.shape)
    return replace(p, vth=vth, payload=vth)


def nearest(p: SNM | Gate, share: Share, ann: Spool, steps: int, choice: Choice) -> np.ndarray:
    """(C,) theta, of `scales` times the maximum, whose levels are nearest to the activations: theta / T *
    floor(T a / theta + 1/2), within T K levels, in squared error. By the rule `max` the maximum's."""
    if choice.rule is largest:
        return channel_max(p.vth)

    def of(activation: Tensor) -> np.ndarray:
        gaps = (
            staircase(activation, p.vth * scale, steps, p.levels, p.two_sided) - activation
            for scale in choice.scales
        )
        return np.stack([activity.channel_sum(gap.square()) for gap in gaps])

    errors = share.summed(map(of, ann))
    return channel_max(p.vth) * np.array(choice.scales)[errors.argmin(axis=0)]


RULES: dict[str, Rule] = {
    "max": largest,
    "subset-max": subset_largest,
    "percentile": percentile,
    "ltb": ltb,
    "mmse": mmse,
    "sequential": sequential,
    "gauss": gauss,
}


def with_thresholds(p: SNM, theta: np.ndarray, steps: int) -> SNM:
    """With thresholds, payloads and initial potentials of `theta`; the dead stay dead. A neuron that reaches
    its lowered threshold's limit keeps the rest: its potential may go that much further."""
    theta = frozen(np.where(p.vth > 0, theta, 0.0))
    beyond = channel_max(steps * p.levels * np.maximum(p.vth - theta, 0))
    return replace(p, vth=theta, payload=theta, v_init=theta / 2, v_range=p.v_range + beyond)


def _spread(shared: np.ndarray, p: SNM, granularity: str) -> np.ndarray:
    """One value a group -> (*shape)."""
    return _or_maxima(
        np.repeat(shared, int(np.prod(p.shape)) // groups_of(p.shape, granularity)).reshape(p.shape), p
    )


def _or_maxima(largest: np.ndarray, p: SNM) -> np.ndarray:
    """A group that never was active keeps the maximum's."""
    return np.where(largest > 0, largest, p.vth * p.levels)


def _best(errors: np.ndarray, p: SNM, heard: Heard) -> np.ndarray:
    """(*shape): which of the scales has the least error, (S, *pooled shape), of each neuron (with its
    channel's mean, to keep it from what a few images say), channel or layer."""
    if heard.choice.granularity == "neuron" and errors.ndim > 2:
        for own in errors:  # in place: there is one for each neuron and scale
            own += own.mean(axis=tuple(range(1, own.ndim)), keepdims=True) * (SHRINKAGE / heard.share.images)
    return np.broadcast_to(errors.argmin(axis=0), p.shape)
