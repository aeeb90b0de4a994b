"""A bound on how long a network takes on Loihi 2: the model of Timcheck, Pierro and Shrestha (arXiv
2601.10035, Eq. 1), with the cores of the estimate and counted spikes.

    a step takes at least   max(updates * neuron_update,  operations * synaptic_operation,
                                words * synapse_read,  bits * link_bit,  barrier)

updates, operations, words: of the core that has most of each; bits: of messages, on the link that has most.
Rates are
those of a file, each with its source (`rates`); what has no known rate is counted and left out of the
maximum. Every neuron is updated in every step. Curves, gates and the host are in no term: it is a bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from dnisnm_lava.backends import watched
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, Population, ReadOut, SpikingGraph, checked_images, lead
from dnisnm_lava.ir.integers import check_state, sent_by_input, steps_of
from dnisnm_lava.ir.timing import longest_way, most_ahead, shortest_period
from dnisnm_lava.studies.loihi2.layers import estimate
from dnisnm_lava.studies.loihi2.rates import TERMS, Rates, rates
from dnisnm_lava.studies.loihi2.traffic import Placed, loads, message_bits, placed, ways


@dataclass(frozen=True)
class Term:
    """One of TERMS. total: what all cores, or all links, have of it for an image; most: the fullest of them,
    in its fullest step; where: which that is; population: whose core. seconds: of this term alone for an
    image, or None where its rate is unknown."""

    name: str
    total: float
    most: float
    where: str
    population: str
    seconds: float | None


@dataclass(frozen=True)
class Relief:
    """What the bound would be if `population` lay on `cores` cores, twice as many."""

    population: str
    cores: int
    seconds: float


@dataclass(frozen=True)
class Runtime:
    """Means over `images`. steps: until the answer to an image stands, and latency: seconds of them, alone on
    the chip. period: steps from one image to the next, and seconds: of them, when images follow one another.
    cores: in use. terms: in the order of TERMS, of images that follow one another; limiting: the one of most
    seconds. relief: where a core limits."""

    images: int
    steps: int
    period: int
    cores: int
    latency: float
    seconds: float
    terms: tuple[Term, ...]
    limiting: str
    relief: Relief | None
    rates: Rates

    @property
    def frames_a_second(self) -> float:
        return 1 / self.seconds


def runtime(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    period: int | None = None,
    given: Rates | None = None,
) -> Runtime:
    """The bound for an integer graph, on spikes counted on `images` (N, *input shape), a handful, over
    `steps` (default: the graph's). Of a stream's network images are its frames, two or more, and means are
    over those behind the first. period: from one image to the next (default: the shortest). given: the rates
    of a chip (default: `rates()`)."""
    steps = steps_of(graph, steps)
    shortest = shortest_period(graph, steps)
    if period is not None and period < shortest:
        raise OutOfRange(
            f"runtime: a period of {period} given, and windows take {shortest} steps; give as many"
        )
    x = _checked(graph, images, (steps,))
    work = counted(graph, _sent(graph, x, steps), (steps,))[steps]
    return bound(work, period or shortest, rates() if given is None else given)


def runtimes(
    graph: SpikingGraph, images: Images, steps: Sequence[int], *, given: Rates | None = None
) -> dict[int, Runtime]:
    """{T: the same over T steps, one image right behind the other}; one simulation tells of all where no
    population leads."""
    asked = tuple(steps_of(graph, t) for t in steps)
    x = _checked(graph, images, asked)
    runs = [(t,) for t in asked] if any(map(lead, graph)) else [asked] if asked else []
    found: dict[int, Runtime] = {}
    for ends in runs:
        found |= bounds(graph, _sent(graph, x, max(ends)), ends, given)
    return found


def bounds(
    graph: SpikingGraph, sent: Mapping[str, np.ndarray], steps: Sequence[int], given: Rates | None = None
) -> dict[int, Runtime]:
    """{T: the same}, of what was sent: {population: (N, T, *shape) whether a neuron sends}, over the most of
    `steps` or longer."""
    ahead, chosen = most_ahead(graph), rates() if given is None else given
    return {t: bound(work, t + ahead, chosen) for t, work in counted(graph, sent, steps).items()}


def _checked(graph: SpikingGraph, images: Images, steps: Sequence[int]) -> np.ndarray:
    if not graph.is_integer:
        raise OutOfRange("runtime: the graph holds floats; quantize it first")
    check_state(graph, "the runtime")
    x = checked_images(graph, images)
    for t in steps if graph.carry else ():
        _check_frames(graph, x, t)
    return x


# ---------------------------------------------------------------- what each step asks for


@dataclass(frozen=True)
class Work:
    """The work of each image alone on the chip. operations, words: (steps, N, cores); bits: {direction:
    (steps, N, ...)} on each link; neurons: (cores,)."""

    where: dict[str, Placed]
    neurons: np.ndarray
    operations: np.ndarray
    words: np.ndarray
    bits: dict[str, np.ndarray]

    def each(self, term: str, period: int) -> np.ndarray:
        """(period, N, cores) of a term of cores, when images follow one another."""
        if term == "neuron_update":
            shape = period, self.operations.shape[1], len(self.neurons)
            return np.broadcast_to(self.neurons.astype(np.float64), shape)
        return _wrapped(self.operations if term == "synaptic_operation" else self.words, period)


def counted(graph: SpikingGraph, sent: Mapping[str, np.ndarray], steps: Sequence[int]) -> dict[int, Work]:
    """{T: what the first T steps ask for} of `steps`. sent: {population: (N, T, *shape) whether a neuron
    sends}. Spikes of population p in its step t are sent in step o(p) + lead(p) + t of the chip
    (`SpikingGraph.window_starts`)."""
    images, ends = len(next(iter(sent.values()))), np.array(steps)
    where, starts = placed(estimate(graph)), graph.window_starts()
    neurons = np.concatenate([p.neurons for p in where.values()])
    behind = longest_way(graph)
    length = behind + max(steps)
    operations, words = np.zeros((2, len(ends), length, images, len(neurons)))
    bits: dict[str, np.ndarray] = {}
    of_message = message_bits(graph)
    for source, reader, way, synapses in ways(graph, where):
        senders, readers = where[source].cores, where[reader].cores
        entries, of_list = synapses.list_of(where[reader].tile[0], prod(where[reader].tile))
        begin = starts[source] + lead(graph[source])
        for t in range(max(steps)):
            within = ends > t
            spikes = sent[source][:, t].astype(np.float64).reshape(images, *where[source].shape)
            found = way.operations(spikes)
            operations[within, begin + t, :, readers] += found
            words[within, begin + t, :, readers] += of_list / entries * found  # a spike reads a whole list
            for key, load in loads(
                way.messages(spikes, where[source]), senders, readers, len(neurons)
            ).items():
                at = bits.setdefault(key, np.zeros((len(ends), length, *load.shape)))
                at[within, begin + t] += load * of_message[source]
    return {
        t: Work(
            where,
            neurons,
            operations[i, : behind + t],
            words[i, : behind + t],
            {key: a[i, : behind + t] for key, a in bits.items()},
        )
        for i, t in enumerate(steps)
    }


class Sending:
    """An observer (`backends.observing`) of an integer graph of images. images: that it was told of."""

    def __init__(self) -> None:
        self.images = 0
        self.chunks: dict[str, list[list[np.ndarray]]] = {}  # population -> by chunk of images -> by step

    def __call__(self, p: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray) -> None:
        if isinstance(p, Input) and step == 1:
            self.images += len(k)
        if isinstance(p, ReadOut) or step <= lead(p):
            return  # which send nothing
        chunks = self.chunks.setdefault(p.name, [])
        if step == lead(p) + 1:
            chunks.append([])
        chunks[-1].append((k * p.payload if isinstance(p, SNM | Gate) else k) != 0)

    def sent(self) -> dict[str, np.ndarray]:
        """{population: (N, T, *shape) whether a neuron sends}."""
        return {
            name: np.concatenate([np.stack(chunk, axis=1) for chunk in chunks])
            for name, chunks in self.chunks.items()
        }


def _sent(graph: SpikingGraph, images: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """{population: (N, T, *shape) whether a neuron sends}; of a stream, of its frames behind the first."""
    values = {
        graph.input.name: sent_by_input(graph, images, steps),
        **watched.recorded(graph, images, steps).spikes,
    }
    return {name: a[int(graph.carry) :] != 0 for name, a in values.items()}


def _check_frames(graph: SpikingGraph, frames: np.ndarray, steps: int) -> None:
    if len(frames) < 2:
        raise OutOfRange("runtime: 1 frame given of a stream; give 2 or more, of which the first is an image")
    if steps != graph.steps:
        raise OutOfRange(
            f"runtime: {steps} steps given, and the stream's network has {graph.steps}; give none"
        )


# ---------------------------------------------------------------- the bound


def bound(work: Work, period: int, given: Rates) -> Runtime:
    """The bound from what was counted, with the rates of a chip."""
    steps, images, cores = work.operations.shape
    terms = tuple(_term(work, name, period, given) for name in TERMS)
    known = [t for t in terms if t.seconds is not None]
    limiting = max(known, key=lambda t: t.seconds or 0.0)
    relief = None
    if limiting.population:
        of = work.where[limiting.population].cores
        relief = Relief(limiting.population, 2 * (of.stop - of.start), _seconds(work, period, given, of))
    return Runtime(
        images,
        steps,
        period,
        cores,
        _seconds(work, steps, given),
        _seconds(work, period, given),
        terms,
        limiting.name,
        relief,
        given,
    )


def _seconds(work: Work, period: int, given: Rates, halved: slice = slice(0)) -> float:
    """The seconds of `period` steps, images as many steps apart: the largest term of each. halved: cores of
    which two share what one has."""
    steps = np.full((period, work.operations.shape[1]), given.of["barrier"].value or 0.0)
    for name in TERMS[:-1]:
        rate = given.of[name].value
        if rate is not None:
            steps = np.maximum(steps, rate * _most(work, name, period, halved))
    return float(steps.sum(axis=0).mean())


def _most(work: Work, name: str, period: int, halved: slice = slice(0)) -> np.ndarray:
    """(period, N) what the fullest core or link has of a term in each step."""
    if name == "link_bit":
        return np.maximum.reduce([_wrapped(a, period).max((2, 3), initial=0) for a in work.bits.values()])
    each = work.each(name, period).copy()
    each[:, :, halved] /= 2
    return each.max(axis=2)


def _wrapped(each: np.ndarray, period: int) -> np.ndarray:
    """(period, ...) of (steps, ...): images follow one another, `period` steps apart."""
    found = np.zeros((period, *each.shape[1:]))
    for step, values in enumerate(each):
        found[step % period] += values
    return found


def _term(work: Work, name: str, period: int, given: Rates) -> Term:
    rate = given.of[name].value
    if name == "barrier":
        return Term(name, period, 1, "", "", None if rate is None else rate * period)
    most = _most(work, name, period)
    seconds = None if rate is None else float(rate * most.sum(axis=0).mean())
    return Term(
        name, _total(work, name, period), float(most.max(axis=0).mean()), *_where(work, name, period), seconds
    )


def _total(work: Work, name: str, period: int) -> float:
    """The total of a term, over all cores, for an image; of bits, those sent by cores."""
    each = work.bits["out of a core"] if name == "link_bit" else work.each(name, period)
    return float(each.sum() / each.shape[1])


def _where(work: Work, name: str, period: int) -> tuple[str, str]:
    """(the fullest core or link, whose core it is)."""
    if name == "link_bit":
        means = {key: _wrapped(a, period).mean(axis=1) for key, a in work.bits.items()}
        key = max(means, key=lambda k: means[k].max(initial=0))
        at = np.unravel_index(int(means[key].argmax()), means[key].shape)
        if "core" in key:
            return f"{key}: {at[2]}", _whose(work, int(at[2]))
        return f"{key} of router {at[2]}, {at[1]}", ""
    core = int(work.each(name, period).mean(axis=1).max(axis=0).argmax())
    return f"core {core}", _whose(work, core)


def _whose(work: Work, core: int) -> str:
    return next(name for name, p in work.where.items() if p.cores.start <= core < p.cores.stop)
