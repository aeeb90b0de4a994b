"""Why the accuracy is what it is: the error of each population in parts, and what else tells of it.

What a neuron sends in a step, on average and in real units, in seven rates, each one thing more wrong than
the one before:

    r0 = a                     the ANN's activation, a = f(z) of its pre-activation z, min(max(z, 0), ceiling)
                               of a Rectifier
    r1 = min(a, K theta)       what K levels of theta a step can say
    rF = min(F(z), K theta)    the lines F that neurons have in place of a smooth f; r1 where f is made of
                               lines
    r2 = S(z)                  the neuron, when it hears z in every step
    r3 = S(mean of x(t))       when it hears the mean of what arrives, x(t), weights, bias and corrections
                               of `fit` in it
    r4 = sum of s(t) / T       when it hears x(t) itself: the float SNN
    r5                         the integer SNN

    S(x) = theta / T * min(max(floor((v_init + T x) / theta), 0), T K);  of neurons with lines F, and of those
    that may send below 0, T F(x) / theta to the nearest, and -T K; a Product is as its own F

    clipping = r1 - r0, function = rF - r1, discreteness = r2 - rF, inherited = r3 - r2,
    asynchronism = r4 - r3, integers = r5 - r4

They sum to r5 - r0, neuron by neuron. S is what T equal currents give and what all of them at once give, with
any lead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnisnm_lava.evaluation.sanity import Alarm
from dnisnm_lava.ir import Shape
from dnisnm_lava.measures import Measure, Score

PARTS = (
    "clipping",
    "function",
    "discreteness",
    "inherited",
    "asynchronism",
    "integers",
)  # in the order of the rates
OWN = tuple(p for p in PARTS if p != "inherited")  # those that do not come from the sources


@dataclass(frozen=True)
class Part:
    """A difference d of rates, over all images and neurons.

    mean_squared: mean of d^2, by the mean of a^2. mean: mean of d, by the root of the mean of a^2, above 0
    where too much is sent; the means of PARTS sum to the total's. contribution: to the total's mean_squared,
    to which those of PARTS sum; below 0 where d makes up for others. Of what is in the float SNN, mean of d
    (r4 - r0), by the mean of a^2; of integers, how much larger the integer SNN's mean squared error is than
    the float SNN's (two runs that are equally wrong may differ much in their spikes, so mean_squared
    overstates integers). By 1 instead of the mean of a^2, where the ANN is 0 everywhere.
    """

    mean_squared: float
    mean: float
    contribution: float


@dataclass(frozen=True)
class Headroom:
    """The 24-bit state of a population of the integer SNN. largest_v, largest_m: the largest |v| and m that
    any neuron reached on these images, m in levels. expected: the largest |v| by calibration, that `quantize`
    made room for; current: a bound on |z + b| in one step that no image exceeds; limit: of |v|. All in
    integer units."""

    largest_v: int
    largest_m: int
    expected: int
    current: int
    limit: int

    @property
    def bits_left(self) -> float:
        """log2(limit / largest_v): bits that no image needed."""
        return float(np.log2(self.limit / max(self.largest_v, 1)))


@dataclass(frozen=True)
class ThresholdMap:
    """The largest ANN activation of each neuron (its threshold, before levels and `fit`), over two sets of
    images (Fig. 4).

    train, test: (rows, columns) float32, all neurons of the population in C, H, W order as a matrix that is
    as square as can be. correlation: Pearson's, over neurons; None where one of them is constant.
    test_above_train: share of neurons. maximum_by_median: the layer's maximum by the living neurons' median,
    None if none lives. never_active: neurons that are 0 in train.
    """

    train: np.ndarray
    test: np.ndarray
    correlation: float | None
    test_above_train: float
    maximum_by_median: float | None
    never_active: int


@dataclass(frozen=True)
class Thresholds:
    """theta of the living neurons of the float SNN, in real units: smallest, median, largest; all 0 if none
    lives."""

    smallest: float
    median: float
    largest: float


@dataclass(frozen=True)
class Raster:
    """One image in one population of the integer SNN. neurons: (n,) flat indices in C, H, W order, at most
    64, evenly spaced from the most to the least active of those that fired; where fewer fired, the first
    silent ones after them. levels: (T, n) int8, what each sent in each step: signed levels, at most 127
    either way; of a max-pool, the sign alone. firing: how many of all neurons sent anything. total:
    neurons."""

    neurons: np.ndarray
    levels: np.ndarray
    firing: int
    total: int


@dataclass(frozen=True)
class Explained:
    """One population, in the order of the graph; all but the image.

    kind: Rectifier, Relay, Activation, Product, MaxPool or ReadOut. A MaxPool and a ReadOut have no neurons
    that fire: their clipping, function, discreteness and asynchronism are 0, and all that is wrong in floats
    is inherited. A ReadOut's rate is its potential by T. sources: names. levels, lead: K and steps (0 for
    MaxPool and ReadOut). power: mean of a^2 (of z^2, for Relay and ReadOut), over images and neurons, in
    squared real units. parts: {each of PARTS: Part}. total: r5 - r0, the integer SNN against the ANN.
    spiking: r4 - r0, the float SNN. rate_up, rate_down: positive and negative spikes of the integer SNN, per
    neuron and step; 0 for ReadOut. dead: neurons whose threshold is 0: never active on the calibration
    images. silent: neurons that sent nothing on any of these images, the dead among them. inactive: neurons
    that are 0 in the ANN on all of these images. 0 for ReadOut. saturations: of the state, in all images and
    steps. headroom: None for MaxPool and Product. thresholds: None for MaxPool and ReadOut. map: None for all
    but Rectifier. raster: None for ReadOut."""

    name: str
    kind: str
    shape: Shape
    neurons: int
    sources: tuple[str, ...]
    levels: int
    lead: int
    power: float
    parts: Mapping[str, Part]
    total: Part
    spiking: Part
    rate_up: float
    rate_down: float
    dead: int
    silent: int
    inactive: int
    saturations: int
    headroom: Headroom | None
    thresholds: Thresholds | None
    map: ThresholdMap | None
    raster: Raster | None


@dataclass(frozen=True)
class Remedy:
    """What may help. dial, value: a field of Recipe, or `calibration_images` or `fit_images`, and what it
    should be. why: in words."""

    dial: str
    value: Any
    why: str

    @property
    def option(self) -> str:
        """As it is pasted behind a command."""
        value = ",".join(self.value) if isinstance(self.value, tuple) else self.value
        return f"--{self.dial.replace('_', '-')} {value}"


@dataclass(frozen=True)
class Finding:
    """The first population that goes wrong. error: its total's mean_squared, of 1. part: its largest of
    PARTS, by mean_squared (of integers, by contribution), of which it is `value`. cause: the same where that
    is its own; where it is inherited, the largest own part of any population up to it, of the population
    `origin`, of which it is `cause_value`. sentence: all of it, for people, with the remedy. remedy: what to
    do about the cause, in words; remedies: the same, the likeliest first."""

    population: str
    error: float
    part: str
    value: float
    origin: str
    cause: str
    cause_value: float
    sentence: str
    remedy: str
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True)
class Disagreement:
    """An image whose class the integer SNN tells otherwise than the ANN. image: index into the images given.
    place: pixel of an output that is a map (flat index, that which disagrees most), else 0. ann, integer:
    classes. label: None if none was given. ann_margin: the ANN's score of its class less that of the other;
    integer_margin: the same of the integer SNN for its class, potential by T in real units. Both are 0 or
    more; the images stand in the order of their sum, the largest first."""

    image: int
    place: int
    ann: int
    integer: int
    label: int | None
    ann_margin: float
    integer_margin: float


@dataclass(frozen=True)
class Explanation:
    """What `explain` found, on so many `images`, over `steps` time steps.

    populations: in the order of the graph. first: the first that goes wrong, None where no error exceeds
    `tolerance` (of mean_squared). sentence: the finding in words, also where there is none. measure: what was
    measured. agreements: {"float", "integer": answers (one an image, or one a pixel of maps) that are the
    ANN's}. scores: {"ann", "float", "integer": labels met}, empty without labels. `agreement` and `accuracy`
    are their values, shares; of values, both are R2, and there are no disagreements. disagreements: the
    largest first, at most as many as asked for; disagreeing: how many images there are in all. raster_image:
    index of the image of all rasters. map_sets: what the two sets of the threshold maps are, in words:
    (train, test). clipped_inputs: image values outside the integer input's 8 bits. alarms: what makes all of
    it meaningless, or the integers worse than they need be (`sanity`). remedies: the likeliest first, also
    where there is no `first`, for the largest error then."""

    images: int
    steps: int
    tolerance: float
    populations: tuple[Explained, ...]
    first: Finding | None
    sentence: str
    agreements: Mapping[str, Score]
    scores: Mapping[str, Score]
    disagreements: tuple[Disagreement, ...]
    disagreeing: int
    raster_image: int
    map_sets: tuple[str, str]
    clipped_inputs: int
    measure: Measure
    alarms: tuple[Alarm, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @property
    def agreement(self) -> dict[str, float]:
        return {key: score.value for key, score in self.agreements.items()}

    @property
    def accuracy(self) -> dict[str, float]:
        return {key: score.value for key, score in self.scores.items()}

    def __getitem__(self, name: str) -> Explained:
        return {p.name: p for p in self.populations}[name]
