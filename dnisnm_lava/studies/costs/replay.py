"""A network's own spikes, replayed on SANA-FE's Loihi preset: joules, seconds, messages, the busiest core and
link.

Its energies and latencies are of Loihi 1, from pre-silicon simulations (Davies et al., IEEE Micro 38(1),
2018). Its authors say that it predicts a Loihi 1's energy within 12 % and its latency within 25 %, on three
applications (IEEE TCAD 44(8), 2025, 10.1109/TCAD.2025.3537971, abstract); none is a network of this project.
A message there carries neither sign nor payload: a spike is one firing, whatever it says, and
`Replay.not_carried` names what is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from dnisnm_lava.backends import watched
from dnisnm_lava.backends.sanafe.parent import Arrays, in_child, require_sanafe
from dnisnm_lava.backends.streams import going
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import BackendFailed, OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, SpikingGraph, checked_images, fanout, lead
from dnisnm_lava.ir.integers import check_state, sent_by_input, steps_of
from dnisnm_lava.ir.timing import early_by, shortest_period
from dnisnm_lava.ir.wiring import heard
from dnisnm_lava.studies.costs.counts import count
from dnisnm_lava.studies.costs.placing import placed_on_cores
from dnisnm_lava.studies.loihi2.cores import Row, ceil_div
from dnisnm_lava.studies.loihi2.layers import estimate
from dnisnm_lava.system.machine import free_memory
from dnisnm_lava.system.progress import Progress

HOUR = 3600.0  # seconds
SYNAPSE, UNIT = (
    1000,
    14_000,
)  # bytes that SANA-FE takes: a synapse; an input unit, the same number on all cores
OF_CORES = ("sending", "receiving", "messages", "operations")  # by `replaying`'s keys
Tile = tuple[int, int]  # column, row
Costs = Mapping[str, float]


@dataclass(frozen=True)
class Core:
    """A core, the population on it, and the seconds that it takes for its neurons or for its messages,
    whichever is longer."""

    core: int
    population: str
    seconds: float


@dataclass(frozen=True)
class Cores:
    """The cores, in their order: the population on each, seconds for its neurons and for the messages that
    come, its firings, such messages, the synapses that they read, updates of its neurons."""

    population: tuple[str, ...]
    sending: tuple[float, ...]
    receiving: tuple[float, ...]
    spikes: tuple[float, ...]
    messages: tuple[float, ...]
    operations: tuple[float, ...]
    updates: tuple[float, ...]

    @property
    def seconds(self) -> tuple[float, ...]:
        """The seconds of each core, of sending or of receiving, whichever is longer."""
        return tuple(map(max, self.sending, self.receiving))

    def fullest(self, what: str) -> tuple[int, str, float]:
        """(core, population, how much) of the core that has most of a field, or of `seconds`."""
        values = getattr(self, what)
        core = max(range(len(values)), key=values.__getitem__)
        return core, self.population[core], values[core]

    def an_image(self, images: int, first: Cores | None = None) -> Cores:
        """By `images`; of what is beyond `first`, where that is given."""
        each = {}
        for name in (f.name for f in fields(self)[1:]):
            own = getattr(self, name)
            before = getattr(first, name) if first else (0,) * len(own)
            each[name] = tuple((a - b) / images for a, b in zip(own, before, strict=True))
        return Cores(self.population, **each)


@dataclass(frozen=True)
class Link:
    """Between two tiles that are neighbours, and the messages that pass it; each goes along its row of tiles
    first. `source` is `target` where no message leaves its tile."""

    source: Tile
    target: Tile
    messages: int


@dataclass(frozen=True)
class Step:
    """One time step of the chip, or all of them. joules, seconds: as SANA-FE says; spikes: firings, the
    image's values with them; operations: synapses that were read; messages: one for each firing and core that
    hears it; hops: from tile to tile; updates: of neurons; core, link: the busiest."""

    joules: float
    seconds: float
    spikes: int
    operations: int
    messages: int
    hops: int
    updates: int
    core: Core
    link: Link


@dataclass(frozen=True)
class Replay:
    """`images` images of T = `steps` steps, one every `period` steps of the chip.

    cores: that the network takes; cores_of_chip: that one chip has. total: all steps of the chip; each: every
    one; of_cores: all steps, core by core. Its spikes and operations are those that `counts` has, or there is
    no result; its updates are of every step of the chip, where `counted_updates` are of the windows alone.
    joules: by what takes them. not_carried: what of the network's spikes is lost. assumed: what else was
    chosen. prices: the preset's, J and s, by unit and attribute. version: of sanafe."""

    images: int
    steps: int
    period: int
    neurons: int
    cores: int
    cores_of_chip: int
    total: Step
    each: tuple[Step, ...]
    of_cores: Cores
    joules: Costs
    counted_updates: int
    not_carried: tuple[str, ...]
    assumed: tuple[str, ...]
    prices: Costs
    version: str

    @property
    def joules_an_image(self) -> float:
        return self.total.joules / self.images

    @property
    def seconds_an_image(self) -> float:
        """The seconds of all steps, by the number of images. Those in which the chip fills and empties are
        among them: with one image, its latency."""
        return self.total.seconds / self.images

    @property
    def chips(self) -> int:
        """Chips that its cores would take."""
        return ceil_div(self.cores, self.cores_of_chip)


def replay(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    deadline: float = HOUR,
    progress: Progress | None = None,
) -> Replay:
    """The spikes of `images` (N, *input shape) over `steps` (default: the graph's), on SANA-FE's chip; of a
    stream's network, images are its frames, of which the first sends all.

    Cores are those of `loihi2.layers.estimate`, cut further where the preset's hold fewer neurons; a network
    of more cores than a chip has gets a larger one of the same tiles, which `assumed` says. A synapse takes
    about 1 kB and some microseconds for each spike that it hears: ResNet-20 takes minutes an image.
    progress(done, of): in steps of the chip. OutOfRange for floats; BackendMissing where sanafe
    is not installed; BackendFailed where its process fails or outlives `deadline` (seconds), or where its
    counts are not ours.
    """
    require_sanafe()
    check_state(graph, "SANA-FE")
    steps = steps_of(graph, steps)
    rows = estimate(graph)  # floats are refused
    x = checked_images(graph, images)
    preset = in_child({"ask": "read"})
    placed, cut = placed_on_cores(rows, int(preset["neurons_of_core"]))
    cores = 1 + max(int(at.max()) for at in placed.values())
    ours = _of_stream(graph, x, steps) if graph.carry else _of_images(graph, x, steps)
    spikes = ours.spikes
    start, period = graph.window_starts(), shortest_period(graph, steps)
    sent = {p.name: start[p.name] + lead(p) for p in graph}
    inputs = int(np.bincount(placed[graph.input.name]).max())
    _check_memory(_read_at_once(graph, spikes, sent, period), cores * inputs)
    found = in_child(
        {
            "ask": "replay",
            "graph": graph,
            "spikes": {name: a != 0 for name, a in spikes.items()},
            "placed": placed,
            "sent": sent,
            "period": period,
            "steps": (len(x) - 1) * period + steps + max(sent.values()),
            "cores": cores,
            "inputs": inputs,
        },
        deadline=deadline,
        progress=progress,
    )
    _check(found, ours)
    of_core = {core: name for name, at in placed.items() for core in np.unique(at).tolist()}
    return Replay(
        images=len(x),
        steps=steps,
        period=period,
        neurons=sum(len(at) for at in placed.values()),
        cores=cores,
        cores_of_chip=int(found["cores"]),
        total=_total(found, of_core),
        each=_each(found, of_core),
        of_cores=_cores(found, of_core, placed, spikes, graph.input.name),
        joules=_starting("joules:", {key: a.sum() for key, a in found.items() if key.startswith("joules:")}),
        counted_updates=ours.updates,
        not_carried=_not_carried(graph, spikes),
        assumed=_assumed(graph, rows, cut, cores, found),
        prices=_starting("price:", found),
        version=str(found["version"]),
    )


# ---------------------------------------------------------------- what is sent, and what is not


@dataclass(frozen=True)
class _Ours:
    """What our executors say. spikes: {population: (N, T, neurons) values sent}, the image's with them.
    fired, operations, updates: as `counts`, or a stream's frames, count them."""

    spikes: Mapping[str, np.ndarray]
    fired: int
    operations: int
    updates: int


def _of_images(graph: SpikingGraph, x: np.ndarray, steps: int) -> _Ours:
    """The image comes in each step."""
    counts = count(graph, x, steps=steps).populations
    return _Ours(
        _flat(graph, x, steps, watched.recorded(graph, x, steps).spikes),
        sum(a.spikes for a in counts),
        sum(s.delivered for a in counts for s in a.synapses),
        sum(a.updates for a in counts),
    )


def _of_stream(graph: SpikingGraph, x: np.ndarray, steps: int) -> _Ours:
    """What our executors say of frames: the change of the image comes in each step."""
    stream = going(replace(graph, steps=steps))
    frames = [stream.step(frame, record=True) for frame in x]
    spikes = {name: np.stack([frame.spikes[name] for frame in frames]) for name in frames[0].spikes}
    neurons = sum(int(np.prod(p.shape)) * (steps + lead(p)) for p in graph if not isinstance(p, Input))
    return _Ours(
        _flat(graph, x, steps, spikes),
        sum(f.inputs + sum(up + down for up, down in f.spike_counts.values()) for f in frames),
        sum(sum(f.delivered.values()) for f in frames),
        len(x) * neurons,
    )


def _flat(
    graph: SpikingGraph, x: np.ndarray, steps: int, spikes: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """{population: (N, T, neurons)}, the input's with them."""
    values = {graph.input.name: sent_by_input(graph, x, steps), **spikes}
    return {name: a.reshape(len(a), steps, -1) for name, a in values.items()}


def _not_carried(graph: SpikingGraph, spikes: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What a message of the chip does not say, by the populations that said it on these images."""
    own = [p for p in graph if isinstance(p, SNM | Gate)]
    levels = {
        p.name: np.unique(np.abs(spikes[p.name]))
        for p in graph
        if p.name in spikes and not isinstance(p, Input)
    }
    lost = {
        "values of the image": [graph.input.name],
        "signs": [name for name in levels if (spikes[name] < 0).any()],
        "payloads and levels": [name for name, values in levels.items() if values.max(initial=0) > 1],
        "max-pools, whose sources' sums no neuron there keeps": [p.name for p in graph.of(MaxPool)],
        "gates, whose products no neuron there takes": [p.name for p in graph.of(Gate)],
        "curves": [p.name for p in own if isinstance(p, SNM) and p.curve is not None],
        "sums of pools and resamplings, each way of which is a synapse": [
            p.name for p in graph if any(q.spatial is not None for q in getattr(p, "projections", ()))
        ],
    }
    return tuple(f"{what}: {', '.join(names)}" for what, names in lost.items() if names)


def _assumed(
    graph: SpikingGraph, rows: tuple[Row, ...], cut: tuple[str, ...], cores: int, found: Arrays
) -> tuple[str, ...]:
    most, chip = int(found["neurons_of_core"]), int(found["cores"])
    said = [
        "neurons fire as ours did, and each is updated in every step of the chip",
        "the image comes from units that cost nothing to fire, and its messages as any",
        "synapses of kernels are read by the preset's unit of convolutions, of matrices by its dense one",
    ]
    if cut:
        said.append(
            f"cores hold {most} neurons, so those of {', '.join(cut)} hold fewer than Loihi 2's would"
        )
    if cores > chip:
        said.append(
            f"{cores} cores, where a chip has {chip}: one larger chip of the same tiles, without the links "
            f"between chips; its time of a barrier is that of a whole chip"
        )
    if not all(row.fits for row in rows):
        said.append("not all fits Loihi 2's cores: " + ", ".join(row.name for row in rows if not row.fits))
    if any(_delays(graph)):
        said.append("paths that arrive early wait at their synapses, which costs nothing")
    return tuple(said)


def _delays(graph: SpikingGraph) -> list[bool]:
    start = graph.window_starts()
    return [
        early_by(start, graph[q.source], p.name) > 0 for p in graph for q in getattr(p, "projections", ())
    ]


# ---------------------------------------------------------------- what it takes


def _read_at_once(
    graph: SpikingGraph, spikes: Mapping[str, np.ndarray], sent: Mapping[str, int], period: int
) -> int:
    """The most synapses that are read in a step of the chip."""
    reads: dict[int, int] = {}
    for p in graph:
        for q in heard(p, graph):
            fan = fanout.of_projection(q, graph[q.source].shape).reshape(-1)
            each = (spikes[q.source] != 0) @ fan
            for (image, t), n in np.ndenumerate(each):
                at = sent[q.source] + image * period + t
                reads[at] = reads.get(at, 0) + int(n)
    return max(reads.values(), default=0)


def _check_memory(synapses: int, units: int) -> None:
    """OutOfRange where SANA-FE would take more than is free, and be killed for it."""
    taken, free = synapses * SYNAPSE + units * UNIT, free_memory()
    if taken > free:
        raise OutOfRange(
            f"SANA-FE: {synapses:,} synapses are read in one step, for which it takes some {taken / 1e9:.1f} "
            f"GB with its chip, and {free / 1e9:.1f} are free; give one image, or fewer steps"
        )


# ---------------------------------------------------------------- what was found


def _check(found: Arrays, ours: _Ours) -> None:
    """BackendFailed where the chip fired or read synapses more or less often than was counted."""
    for what, number in (("spikes", ours.fired), ("operations", ours.operations)):
        theirs = int(found[f"step:{what}"].sum())
        if theirs != number:
            raise BackendFailed(
                f"SANA-FE: {theirs:,} {what} where {number:,} were counted; nothing was kept, tell us"
            )


SUMS = ("spikes", "operations", "messages", "hops", "updates")  # of a step, by `replaying`'s keys


def _total(found: Arrays, of_core: Mapping[int, str]) -> Step:
    busy, links = np.maximum(found["core:sending"], found["core:receiving"]), found["links"]
    heaviest = links[links[:, 2].argmax()] if len(links) else np.zeros(3, np.int64)
    return Step(
        joules=float(found["joules:total"].sum()),
        seconds=float(found["step:seconds"].sum()),
        core=_core(int(busy.argmax()), float(busy.max()), of_core),
        link=_link(heaviest, int(found["height"])),
        **{key: int(found[f"step:{key}"].sum()) for key in SUMS},
    )


def _each(found: Arrays, of_core: Mapping[int, str]) -> tuple[Step, ...]:
    links = np.stack([found[f"step:{key}"] for key in ("link_from", "link_to", "link_messages")], axis=1)
    return tuple(
        Step(
            joules=float(joules),
            seconds=float(found["step:seconds"][i]),
            core=_core(int(found["step:core"][i]), float(found["step:core_seconds"][i]), of_core),
            link=_link(links[i], int(found["height"])),
            **{key: int(found[f"step:{key}"][i]) for key in SUMS},
        )
        for i, joules in enumerate(found["joules:total"])
    )


def _cores(
    found: Arrays,
    of_core: Mapping[int, str],
    placed: Mapping[str, np.ndarray],
    spikes: Mapping[str, np.ndarray],
    image: str,
) -> Cores:
    """placed: {population: (neurons,) core}; spikes: {population: (N, T, neurons)}. The units of the image
    update nothing."""
    count, steps = len(of_core), len(found["step:seconds"])
    fired, updated = np.zeros((2, count), np.int64)
    for name, at in placed.items():
        if name in spikes:
            np.add.at(fired, at, np.count_nonzero(spikes[name], axis=(0, 1)))
        if name != image:
            np.add.at(updated, at, steps)
    each = {key: tuple(found[f"core:{key}"][:count].tolist()) for key in OF_CORES}
    own = {"spikes": tuple(fired.tolist()), "updates": tuple(updated.tolist())}
    return Cores(tuple(of_core[core] for core in range(count)), **own, **each)


def _core(core: int, seconds: float, of_core: Mapping[int, str]) -> Core:
    return Core(core, of_core.get(core, ""), seconds)


def _link(link: np.ndarray, height: int) -> Link:
    """(from tile, to tile, messages); tiles are numbered down the columns."""
    source, target, messages = link.tolist()
    return Link(divmod(source, height), divmod(target, height), messages)


def _starting(key: str, found: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name.removeprefix(key): float(a) for name, a in found.items() if name.startswith(key)}
