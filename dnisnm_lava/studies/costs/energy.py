"""What an integer network costs on images, seen in four ways: the paper's, a quantized ANN's, a chip's, and
NeuroBench's.

Operations are counted (`counts`); energies are *estimated by the rules* of `prices`, never measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, SpikingGraph
from dnisnm_lava.ir.integers import largest_spikes, signed_bits
from dnisnm_lava.studies.costs import neurobench as neurobench_metrics
from dnisnm_lava.studies.costs import prices
from dnisnm_lava.studies.costs.counts import Activity, Counts, Synapses, count_each
from dnisnm_lava.studies.costs.neurobench import NeuroBench
from dnisnm_lava.system.progress import Progress


@dataclass(frozen=True)
class Paper:
    """Eq. (24) to (26), pJ an image. `own` and `arriving`: two readings of (25). drop: of energy, as a share
    of the ANN's."""

    operations_ann: float
    operations_snn: dict[str, float]
    energy_ann: float
    energy_snn: dict[str, float]
    drop: dict[str, float]


@dataclass(frozen=True)
class Quantized:
    """Arithmetic of weights alone, pJ an image; max-pools are left out on both sides.

    activation_bits: {population: of the ANN's activation in its place}. ann: all synapses that exist;
    ann_skipping: those of activations other than 0. snn_image, snn_spikes: the same network, spiking; the
    image comes in each of T steps. spike_rate: spikes a neuron and step. break_even: the rate at which the
    SNN costs what `ann` does, all spikes scaled alike; below 0 where the image alone costs more.
    break_even_skipping: what `ann_skipping` does.
    """

    weight_bits: int
    activation_bits: dict[str, int]
    ann: float
    ann_skipping: float
    snn_image: float
    snn_spikes: float
    spike_rate: float
    break_even: float
    break_even_skipping: float

    @property
    def snn(self) -> float:
        return self.snn_image + self.snn_spikes


@dataclass(frozen=True)
class Chip:
    """A chip like Loihi, pJ an image: synaptic operations (their memory access with them) and, of graded
    spikes, multiplications; updates of neurons that change, and that do not; messages, one for each spike and
    population that reads it; and what neurons with curves, and gates, compute beyond an
    update. Without leakage, the
    host, and what is read out."""

    synaptic_operations: float
    multiplications: float
    updates_active: float
    updates_inactive: float
    messages: float
    functions: float = 0.0

    @property
    def total(self) -> float:
        return (
            self.synaptic_operations
            + self.multiplications
            + self.updates_active
            + self.updates_inactive
            + self.messages
            + self.functions
        )


@dataclass(frozen=True)
class PopulationCosts:
    """What one population takes, an image: spikes sent; synaptic operations that arrive, adding alone (ACs)
    or multiplying too (MACs); updates of its neurons. quantized, chip: its energies, pJ; messages are the
    sender's."""

    name: str
    kind: str
    neurons: int
    spikes: float
    ACs: float
    MACs: float
    updates: float
    quantized: float
    chip: float


@dataclass(frozen=True)
class Costs:
    """All views of one network on `images` images of `steps` steps. packed_bytes: the integers in the fewest
    bits."""

    images: int
    steps: int
    paper: Paper
    quantized: Quantized
    chip: Chip
    neurobench: NeuroBench
    packed_bytes: dict[str, float]
    populations: tuple[PopulationCosts, ...]


def energy(
    graph: SpikingGraph, images: Images, *, steps: int | None = None, progress: Progress | None = None
) -> Costs:
    """Costs of an integer network on `images` (N, *input shape) over `steps` (default: the graph's).
    progress(done, of): images."""
    (found,) = energies(graph, images, (graph.steps if steps is None else steps,), progress=progress).values()
    return found


def energies(
    graph: SpikingGraph, images: Images, steps: Sequence[int], *, progress: Progress | None = None
) -> dict[int, Costs]:
    """{T: what `energy` tells of T steps}, in the order of `steps`, in one simulation of the longest where no
    population leads."""
    if not graph.is_integer:
        raise OutOfRange(
            "energy: the graph holds floats, and what integers cost is asked for; quantize it first"
        )
    return {
        t: costs(graph, counts) for t, counts in count_each(graph, images, steps, progress=progress).items()
    }


def costs(graph: SpikingGraph, counts: Counts) -> Costs:
    """The same of what was counted."""
    widths = widths_of(graph, counts.steps)
    chips = {a.name: _chip(widths, counts, a) for a in counts.populations}
    rows = tuple(_row(widths, counts.images, a, chips[a.name]) for a in counts.populations)
    parts = (sum(getattr(c, name) for c in chips.values()) for name in Chip.__dataclass_fields__)
    metrics = neurobench_metrics.metrics(graph, counts)
    packed = neurobench_metrics.packed_bytes(graph)
    return Costs(
        counts.images,
        counts.steps,
        _paper(graph, counts),
        _quantized(widths, counts, graph.input.name),
        Chip(*parts),
        metrics,
        packed,
        rows,
    )


@dataclass(frozen=True)
class Widths:
    """Bits of the operands: of weights; of what a population sends (a sign aside); of the ANN's activation in
    its place. functions: {population with a curve, gate: pJ of what
    one neuron computes of it in a step}."""

    weights: int
    spikes: dict[str, int]
    activations: dict[str, int]
    functions: dict[str, float]

    def spiking(self, s: Synapses) -> float:
        """pJ of all spikes that were delivered."""
        each = (
            prices.accumulate() if s.adds else prices.multiply_accumulate(self.spikes[s.source], self.weights)
        )
        return each * s.delivered

    def quantized(self, s: Synapses, operations: float) -> float:
        """pJ of so many operations of the ANN."""
        return prices.multiply_accumulate(self.activations[s.source], self.weights) * operations


def widths_of(graph: SpikingGraph, steps: int) -> Widths:
    activations: dict[str, int] = {}
    for p in graph:
        if isinstance(p, Input):
            activations[p.name] = p.bits
        elif isinstance(p, MaxPool):
            activations[p.name] = activations[p.source]
        elif isinstance(p, SNM | Gate):
            activations[p.name] = prices.activation_bits(steps, p.levels, p.two_sided)
    spikes = {name: largest.bit_length() for name, largest in largest_spikes(graph).items()}
    weights = max(signed_bits(q.weight) for q in neurobench_metrics.projections(graph))
    functions = {p.name: prices.gate() for p in graph.of(Gate)}
    for p in graph.of(SNM):
        if p.curve is not None:
            functions[p.name] = prices.curve(p.curve.slopes.shape[1])
    return Widths(weights, {**spikes, graph.input.name: graph.input.bits}, activations, functions)


def _paper(graph: SpikingGraph, counts: Counts) -> Paper:
    found = prices.layers(graph)
    first = [layer.first for layer in found]
    rate = prices.rates(
        graph, {a.name: (a.spikes, 0) for a in counts.populations}, counts.images, counts.steps
    )
    ann = [float(layer.operations) for layer in found]
    snn = {
        reading: [prices.operations(layer, rate, reading) for layer in found] for reading in prices.READINGS
    }
    return Paper(
        sum(ann),
        {reading: sum(ops) for reading, ops in snn.items()},
        prices.MAC * sum(ann),
        {reading: prices.spent(ops, first) for reading, ops in snn.items()},
        {reading: prices.energy_drop(ann, ops, first) for reading, ops in snn.items()},
    )


def _quantized(widths: Widths, counts: Counts, input_name: str) -> Quantized:
    weighted = [s for a in counts.populations for s in weights_of(a)]
    images, steps = counts.images, counts.steps
    ann = sum(widths.quantized(s, s.existing / steps) for s in weighted) / images
    skipping = sum(widths.quantized(s, s.delivered_once) for s in weighted) / images
    image = sum(widths.spiking(s) for s in weighted if s.source == input_name) / images
    spikes = sum(widths.spiking(s) for s in weighted if s.source != input_name) / images
    firing = counts.of(SNM)
    rate = sum(a.spikes for a in firing) / (images * steps * max(1, sum(a.neurons for a in firing)))
    even = [rate * (budget - image) / spikes if spikes else 0.0 for budget in (ann, skipping)]
    return Quantized(widths.weights, widths.activations, ann, skipping, image, spikes, rate, *even)


def weights_of(a: Activity) -> tuple[Synapses, ...]:
    """Those that have weights; a max-pool's and a gate's have none."""
    return () if a.kind in (MaxPool.__name__, Gate.__name__) else a.synapses


def _chip(widths: Widths, counts: Counts, a: Activity) -> Chip:
    readers = sum(any(s.source == a.name for s in other.synapses) for other in counts.populations)
    extra = sum(
        prices.graded_extra(widths.spikes[s.source], widths.weights) * s.delivered
        for s in a.synapses
        if not s.adds
    )
    parts = (
        prices.SYNAPTIC_OPERATION * sum(s.delivered for s in a.synapses),
        extra,
        prices.NEURON_ACTIVE * a.changes,
        prices.NEURON_INACTIVE * (a.updates - a.changes),
        prices.message() * a.spikes * readers,
        widths.functions.get(a.name, 0.0) * a.updates,
    )
    return Chip(*(part / counts.images for part in parts))


def _row(widths: Widths, images: int, a: Activity, chip: Chip) -> PopulationCosts:
    acs, macs = (sum(s.delivered for s in a.synapses if s.adds is adds) / images for adds in (True, False))
    arithmetic = sum(widths.spiking(s) for s in weights_of(a)) / images
    return PopulationCosts(
        a.name, a.kind, a.neurons, a.spikes / images, acs, macs, a.updates / images, arithmetic, chip.total
    )
