"""Rules that choose thresholds from calibration images, for one population."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.ir import SNM, Curve, Gate, Shape, Smooth, frozen
from dnisnm_lava.ir.channels import channel_max, per_channel
from dnisnm_lava.stages.calibration import shared_maxima
from dnisnm_lava.stages.conversion import of_levels
from dnisnm_lava.stages.fitting import activity, normal
from dnisnm_lava.stages.fitting.activity import tensor
from dnisnm_lava.stages.fitting.spool import Spool

UPDATES = 400
VALUES, FEWEST = 1 << 13, 64  # of activations, and images, that show which threshold of a channel is best
SHRINKAGE = 64  # images' worth of its channel's error in a neuron's own choice


@dataclass(frozen=True)
class Choice:
    """How thresholds are chosen: by which rule, shared within what, and the rules' own numbers."""

    rule: Rule
    granularity: str
    scales: tuple[float, ...]
    percentile: float
    subset: int


@dataclass(frozen=True)
class Heard:
    """What a rule may ask: the choice that is to be made, the ANN's activations, its pre-activations in
    float64, the largest activation that there can be, and the currents that arrive."""

    choice: Choice
    ann: Spool
    pre: Callable[[], Iterator[Tensor]]
    ceiling: float
    currents: Iterable[Tensor]
    steps: int


@dataclass(frozen=True)
class Chosen:
    """theta: (*shape). gap: (*shape), sums over images of activation - mean spike with this theta, where the
    rule knows them."""

    theta: np.ndarray
    gap: np.ndarray | None = None


Rule = Callable[[SNM, Heard], Chosen]
Pair = tuple[Tensor, Tensor]  # activations and currents of some images


def largest(p: SNM, heard: Heard) -> Chosen:
    """The paper's: what convert took from the maxima."""
    return Chosen(p.vth)


def subset_largest(p: SNM, heard: Heard) -> Chosen:
    """Maxima over the first `subset` images alone, as the original SNM code takes them in effect."""
    left, best = heard.choice.subset, torch.zeros(p.shape)
    for activation in heard.ann:
        best = torch.maximum(best, activation[:left].amax(0)) if left else best
        left = max(0, left - len(activation))
    return Chosen(_or_maxima(shared_maxima(best.double().numpy(), heard.choice.granularity), p) / p.levels)


def percentile(p: SNM, heard: Heard) -> Chosen:
    """The `percentile` of the activations, zeros among them, of each neuron, channel or layer: the smallest
    that so large a share of them do not exceed."""
    groups = groups_of(p.shape, heard.choice.granularity)
    count = sum(len(a) for a in heard.ann) * int(np.prod(p.shape)) // groups
    above = count - int(np.ceil(count * heard.choice.percentile / 100)) + 1  # it is that many-th from the top
    top = torch.zeros(groups, 0)
    for activation in heard.ann:
        found = torch.cat([top, activation.movedim(0, -1).reshape(groups, -1)], dim=1)
        top = found.topk(min(above, found.shape[1]), dim=1).values
    return Chosen(_spread(top[:, above - 1].double().numpy(), p, heard.choice.granularity) / p.levels)


def ltb(p: SNM, heard: Heard) -> Chosen:
    """Local threshold balancing (Bu et al., arXiv 2409.03368): from 0, theta += 2 mean(max(a - theta, 0)),
    which is gradient descent on the clipping error with rate 1; UPDATES times, each by one chunk of images,
    of the activations of each neuron, channel or layer. Activations are the ANN's; the authors clip those of
    the layers before."""
    groups = groups_of(p.shape, heard.choice.granularity)
    theta = torch.zeros(groups, dtype=torch.float64)
    for update in range(UPDATES):
        values = heard.ann[update % len(heard.ann)].movedim(0, -1).reshape(groups, -1)
        theta += 2 * (values - theta[:, None]).clamp(min=0).mean(1)
    return Chosen(_spread(theta.numpy(), p, heard.choice.granularity) / p.levels)


def mmse(p: SNM, heard: Heard) -> Chosen:
    """The theta, of `scales` times the maxima, whose staircase of T steps and K levels is nearest to the
    activations: theta / T * min(T K, floor(T a / theta + 1/2)), in squared error."""
    errors = np.zeros((len(heard.choice.scales), *p.shape))
    for activation in heard.ann:
        for error, scale in zip(errors, heard.choice.scales, strict=True):
            gap = staircase(activation, p.vth * scale, heard.steps, p.levels) - activation
            error += gap.square().double().sum(0).numpy()
    return Chosen(p.vth * np.array(heard.choice.scales)[_best(errors, heard)])


def gauss(p: SNM, heard: Heard) -> Chosen:
    """K theta where rounding to T K levels and clipping cost least, were pre-activations normal with the mean
    and the variance that they have within each neuron, channel or layer: two moments, which few images tell,
    in place of a maximum, which they do not.

    (C / T K)^2 / 12 P(0 < z < C) + E[max(z - C, 0)^2] is least at C = K theta. Of the kind of H-MT's
    threshold (AAAI 2026)."""
    groups = groups_of(p.shape, heard.choice.granularity)
    count, total, squares = (
        0,
        torch.zeros(groups, dtype=torch.float64),
        torch.zeros(groups, dtype=torch.float64),
    )
    for z in heard.pre():
        values = z.movedim(0, -1).reshape(groups, -1)
        count, total, squares = (
            count + values.shape[1],
            total + values.sum(1),
            squares + values.square().sum(1),
        )
    mean = total / count
    spread = (squares / count - mean.square()).clamp(min=0).sqrt()
    return Chosen(of_moments(p, mean, spread, heard.ceiling, heard.steps, heard.choice.granularity))


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
    whole = torch.floor(a / torch.where(step > 0, step, torch.inf) + 0.5)
    return whole.clamp(-steps * levels if two_sided else 0, steps * levels) * step


def sequential(p: SNM, heard: Heard) -> Chosen:
    """The theta, of `scales` times the maxima, whose mean spikes are nearest to the activations, in squared
    error, by running the population on the currents that arrive: discreteness, asynchronism and clipping are
    seen together."""
    scales = np.array(heard.choice.scales)
    pairs = zip(heard.ann, heard.currents, strict=True)
    left: list[Pair] = []
    squares, gaps = activity.errors(p, scales, _first(pairs, _enough(p, heard.choice.granularity), left))
    best = _best(squares, heard)
    theta, gap = p.vth * scales[best], np.take_along_axis(gaps, best[None], axis=0)[0]
    chosen = replace(p, vth=theta, payload=theta, v_init=theta / 2)
    rest = activity.errors(chosen, np.ones(1), itertools.chain(left, pairs))[1][0]  # they tell the gap alone
    return Chosen(theta, gap + rest)


def _enough(p: SNM, granularity: str) -> float:
    """Images that tell scales apart: of neurons that choose together, so many that VALUES are seen."""
    together = int(np.prod(p.shape)) // groups_of(p.shape, granularity)
    return math.inf if granularity == "neuron" else max(FEWEST, math.ceil(VALUES / together))


def _first(pairs: Iterator[Pair], images: float, left: list[Pair]) -> Iterator[Pair]:
    """Chunks of the first images; what is left of the last one goes to `left`, and what follows stays in
    `pairs`."""
    while images > 0 and (pair := next(pairs, None)) is not None:
        activation, current = pair
        count = int(min(images, len(activation)))
        images -= count
        if count < len(activation):
            left.append((activation[count:], current[count:]))
        yield activation[:count], current[:count]


def of_activation(p: SNM, function: Curve | Smooth, ann: Spool, steps: int, choice: Choice) -> SNM:
    """p, which keeps a curve, with thresholds of `nearest`, and the curve that such levels ask for."""
    return _with_curve(p, function, nearest(p, ann, steps, choice), steps)


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


def of_gate(p: Gate, ann: Spool, steps: int, choice: Choice) -> Gate:
    """p with thresholds of `nearest`."""
    vth = np.broadcast_to(per_channel(nearest(p, ann, steps, choice), p.shape), p.shape)
    return replace(p, vth=vth, payload=vth)


def nearest(p: SNM | Gate, ann: Spool, steps: int, choice: Choice) -> np.ndarray:
    """(C,) theta, of `scales` times the maximum, whose levels are nearest to the activations: theta / T *
    floor(T a / theta + 1/2), within T K levels, in squared error. By the rule `max` the maximum's."""
    if choice.rule is largest:
        return channel_max(p.vth)
    errors = np.zeros((len(choice.scales), p.shape[0]))
    for activation in ann:
        for error, scale in zip(errors, choice.scales, strict=True):
            gap = staircase(activation, p.vth * scale, steps, p.levels, p.two_sided) - activation
            error += activity.channel_sum(gap.square())
    scales: np.ndarray = np.array(choice.scales)[errors.argmin(axis=0)]
    return channel_max(p.vth) * scales


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


def groups_of(shape: Shape, granularity: str) -> int:
    """How many share nothing: neurons, channels, or the one layer."""
    return {"neuron": int(np.prod(shape)), "channel": shape[0], "layer": 1}[granularity]


def _spread(shared: np.ndarray, p: SNM, granularity: str) -> np.ndarray:
    """One value a group -> (*shape)."""
    return _or_maxima(
        np.repeat(shared, int(np.prod(p.shape)) // groups_of(p.shape, granularity)).reshape(p.shape), p
    )


def _or_maxima(largest: np.ndarray, p: SNM) -> np.ndarray:
    """A group that never was active keeps the maximum's."""
    return np.where(largest > 0, largest, p.vth * p.levels)


def _best(errors: np.ndarray, heard: Heard) -> np.ndarray:
    """(*shape): which of the scales has the least error, (S, *shape), of each neuron (with its channel's, to
    keep it from what a few images say), channel or layer."""
    axes = tuple(range(1 if heard.choice.granularity == "layer" else 2, errors.ndim))
    shared = errors.mean(axis=axes, keepdims=True) if axes else errors
    if heard.choice.granularity == "neuron":
        for own, of_channel in zip(
            errors, shared, strict=True
        ):  # in place: there is one for each neuron and scale
            own += of_channel * (SHRINKAGE / sum(len(a) for a in heard.ann))
        shared = errors
    return np.broadcast_to(shared.argmin(axis=0), errors.shape[1:])
