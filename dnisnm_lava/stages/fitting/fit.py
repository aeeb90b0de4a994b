"""Population by population, in topological order: what each hears from its converted sources, and what is
made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched.curves import activated
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Activation, AnalogGraph, Gate, Population, ReadOut, Rectifier, SpikingGraph
from dnisnm_lava.stages.calibration import checked_granularity
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting import CORRECTIONS, PERCENTILE, SUBSET, activity, corrections, thresholds
from dnisnm_lava.stages.fitting.activity import Activities, Activity
from dnisnm_lava.stages.fitting.kept import Journal, Keep, OfProjections, journal
from dnisnm_lava.stages.fitting.readings import of_projection
from dnisnm_lava.stages.fitting.spool import Spool, Store
from dnisnm_lava.stages.fitting.through import Each, image, store_of, through
from dnisnm_lava.stages.quantization import Readings
from dnisnm_lava.system.progress import Progress
from dnisnm_lava.system.ranks import ALONE, Group

SCALES = tuple(twentieths / 20 for twentieths in range(5, 21))  # of the maximum, tried as thresholds
MOST_LEVELS = 127


@dataclass(frozen=True)
class Plan:
    """What fit does to each population, and whether it tells what weights read."""

    choice: thresholds.Choice
    corrections: frozenset[str]
    reading: bool = False

    @property
    def told(self) -> str:
        """All that it says, for a fingerprint."""
        return repr((self.choice.told, sorted(self.corrections), self.reading))

    @property
    def spiking(self) -> bool:
        """Must populations be run, or does the ANN say it all?"""
        return self.reading or bool(self.corrections) or self.choice.rule is thresholds.sequential


@dataclass(frozen=True)
class Fitting:
    """What `fit` does to each population.

    threshold: one of thresholds.RULES, of rectifiers; activations take `mmse`, per channel, whichever rule
    but `max`. correct: of CORRECTIONS. granularity: what thresholds are shared within. scales: of the maxima,
    tried by `mmse` and `sequential`. percentile, subset: of the rules of that name.
    """

    threshold: str = "sequential"
    correct: Iterable[str] = CORRECTIONS
    granularity: str = "channel"
    scales: tuple[float, ...] = SCALES
    percentile: float = PERCENTILE
    subset: int = SUBSET

    @property
    def plan(self) -> Plan:
        """OutOfRange for what is no rule, no correction, or out of bounds."""
        wanted = frozenset(self.correct)
        if self.threshold not in thresholds.RULES:
            raise OutOfRange(f"threshold: {self.threshold!r} given; choose {', '.join(thresholds.RULES)}")
        if not wanted <= set(CORRECTIONS):
            raise OutOfRange(
                f"correct: {', '.join(sorted(wanted))} given; choose of {', '.join(CORRECTIONS)}"
            )
        if not self.scales or min(self.scales) <= 0:
            raise OutOfRange(f"scales: {self.scales} given; give numbers above 0")
        if not 0 < self.percentile <= 100:
            raise OutOfRange(f"percentile: {self.percentile} given; give one above 0, at most 100")
        if self.subset < 1:
            raise OutOfRange(f"subset: {self.subset} images given; give 1 or more")
        rule, shared = thresholds.RULES[self.threshold], checked_granularity(self.granularity)
        line = "weights" in wanted
        choice = thresholds.Choice(rule, shared, self.scales, self.percentile, self.subset, line)
        return Plan(choice, wanted)


@dataclass(frozen=True)
class Passes:
    """How `fit` goes over the images.

    memory: bytes for what populations send (default: a quarter of what is free, 512 MiB at most); the rest
    goes to the folder for temporary files. progress(done, of): in passes of the ANN. group: of the processes
    that share the images; each is given all of them, and has the same network in the end, which one alone
    would have. keep: where the populations that are done are kept; those that are there already are taken,
    where they are of the same networks, images and options.
    """

    memory: int | None = None
    progress: Progress | None = None
    group: Group = ALONE
    keep: Keep | None = None


FITTING, PASSES = Fitting(), Passes()


def fit(
    analog: AnalogGraph,
    spiking: SpikingGraph,
    images: Images,
    how: Fitting = FITTING,
    passes: Passes = PASSES,
) -> SpikingGraph:
    """`spiking`, the float network of `convert`, with what `images` tell: an array (N, *input shape), or an
    iterable of such. No labels, no training.

    Of each population, in this order: weights, bias (`how.correct`): moved so that its mean currents are the
    ANN's pre-activations, by least squares and per channel; thresholds (`how.threshold`), shared within
    `how.granularity`; of rectifiers then payloads (`how.correct`), shared likewise: as many thresholds as
    make mean spikes vary as the ANN's activations do; and v_init (`how.correct`): T * mean error more, per
    neuron, by at most half a threshold; where weights are corrected, of the error less its channel's.
    OutOfRange for integers, and for what `how` cannot mean.
    """
    return _made(analog, spiking, images, how.plan, passes)[0]


def fit_and_read(
    analog: AnalogGraph,
    spiking: SpikingGraph,
    images: Images,
    how: Fitting = FITTING,
    passes: Passes = PASSES,
) -> tuple[SpikingGraph, Readings]:
    """`fit`, and `readings` of what it makes, by the same passes: weights are corrected by what they read."""
    return _made(analog, spiking, images, replace(how.plan, reading=True), passes)


def _made(
    analog: AnalogGraph,
    spiking: SpikingGraph,
    images: Images,
    plan: Plan,
    passes: Passes,
) -> tuple[SpikingGraph, Readings]:
    _check(spiking)
    keep, group = passes.keep, passes.group
    steps, store = spiking.steps, store_of(passes.memory)
    state = None if keep is None else hashlib.sha256()
    shown = image(spiking, images, store, group, state)
    if keep is not None and state is not None:
        graphs = {"network": analog.digest(), "float": spiking.digest()}
        keep = keep.of(**graphs, images=state.hexdigest(), plan=plan.told)
    known = journal(spiking, keep, group)
    if known.is_whole:
        shown.close()
        return known.graph, known.reads

    def neurons(p: SNM, activities: Activities, store: Store) -> tuple[SNM, Activity]:
        return _fitted(p, analog[p.name], activities, steps, plan, store, known)

    def gate(p: Gate, activities: Activities, store: Store) -> tuple[Gate, Activity]:
        sources = activities[p.source], activities[p.gate]
        ann = activity.of_product(*sources, store)
        p = known.once(p, lambda: (thresholds.of_gate(p, sources[0].share, ann, steps, plan.choice), ()))
        return p, activity.of_gate(p, ann, *sources, steps, store, plan.spiking)

    def read_out(p: ReadOut, activities: Activities, store: Store) -> ReadOut:
        return known.once(p, lambda: _read_out(p, activities, steps, plan, store))

    each = Each(neurons, gate, read_out, 1 + (steps if plan.spiking else 0))
    made = through(spiking, shown, each, store, spiking=plan.spiking, progress=passes.progress)
    return made, known.reads


def _check(spiking: SpikingGraph) -> None:
    if spiking.is_integer:
        raise OutOfRange(
            "fit: the graph holds integers already; give the float graph of convert, then quantize"
        )
    most = max((p.levels for p in spiking.of(SNM)), default=1)
    if most > MOST_LEVELS:
        raise OutOfRange(
            f"fit: {most} levels a step, it keeps them in 8 bits; convert with {MOST_LEVELS} or fewer"
        )
    if any((p.unit != 1).any() for p in spiking.of(SNM)):
        raise OutOfRange("fit: the graph's weights are normalized; convert with branch='balance'")


def _fitted(
    p: SNM,
    own: Population,
    activities: Activities,
    steps: int,
    plan: Plan,
    store: Store,
    known: Journal,
) -> tuple[SNM, Activity]:
    z = _spooled(activity.preactivations(p, activities), store)
    ann = _spooled((_activation(own, part, p.bias) for part in z), store)
    kept: list[activity.Currents] = []

    def made() -> tuple[SNM, OfProjections]:
        right, reads = _heard_right(p, activities, z, steps, plan)
        kept.append(activity.Currents(right, activities, steps, store))
        chosen = _with_thresholds(right, p, own, activities, ann, kept[0], steps, plan)
        return activity.share_of(p, activities).agreed(chosen), _what_is_read(right, activities, reads, plan)

    fitted = known.once(p, made)
    z.close()
    currents = kept[0] if kept else activity.Currents(fitted, activities, steps, store)
    does = activity.of_neurons(fitted, ann, activities, steps, store, plan.spiking, currents)
    currents.close()
    return fitted, does


def _with_thresholds(
    p: SNM,
    meant: SNM,
    own: Population,
    activities: Activities,
    ann: Spool,
    currents: activity.Currents,
    steps: int,
    plan: Plan,
) -> SNM:
    """p, with thresholds and initial potentials. meant: as the ANN has its weights and biases."""
    share = activity.share_of(p, activities)
    if isinstance(own, Activation):
        return thresholds.of_activation(p, own.function, share, ann, steps, plan.choice)
    if not isinstance(own, Rectifier):
        return p
    bias = torch.tensor(np.broadcast_to(meant.bias, p.shape), dtype=torch.float64)
    heard = thresholds.Heard(
        plan.choice,
        share,
        ann,
        lambda: (part + bias for part in activity.preactivations(meant, activities)),
        own.ceiling,
        currents,
        steps,
    )
    p = thresholds.with_thresholds(p, plan.choice.rule(p, heard), steps)
    if not plan.corrections & {"payload", "v_init"}:
        return p
    sums, images = corrections.gaps_of(p, share, ann, currents), share.images
    if "payload" in plan.corrections:
        p = corrections.with_payload(p, sums, images, plan.choice.granularity)
    if "v_init" not in plan.corrections:
        return p
    gap = corrections.gap_of(p, sums, images, within=plan.choice.line)
    return corrections.with_v_init(p, gap, steps)


def _read_out(
    p: ReadOut, activities: Activities, steps: int, plan: Plan, store: Store
) -> tuple[ReadOut, OfProjections]:
    if not plan.corrections & {"weights", "bias"}:
        return p, _what_is_read(p, activities, {}, plan)
    z = _spooled(activity.preactivations(p, activities), store)
    p, reads = _heard_right(p, activities, z, steps, plan)
    z.close()
    return p, _what_is_read(p, activities, reads, plan)


def _what_is_read(
    p: corrections.P, activities: Activities, known: dict[int, tuple[Reads, ...]], plan: Plan
) -> OfProjections:
    if not plan.reading:
        return ()
    projections = enumerate(p.projections)
    return tuple(known[i] if i in known else of_projection(q, activities[q.source]) for i, q in projections)


def _heard_right(
    p: corrections.P, activities: Activities, z: Spool, steps: int, plan: Plan
) -> tuple[corrections.P, dict[int, tuple[Reads, ...]]]:
    reads: dict[int, tuple[Reads, ...]] = {}
    if "weights" in plan.corrections:
        p, reads = corrections.with_weights(p, activities, z)
    if plan.corrections & {"weights", "bias"}:
        p = corrections.with_bias(p, activities, z, steps)
    return p, reads


def _activation(own: Population, z: Tensor, bias: np.ndarray) -> Tensor:
    z = z + activity.tensor(np.broadcast_to(bias, z.shape[1:]))
    return activated(own, z)


def _spooled(chunks: Iterable[Tensor], store: Store) -> Spool:
    spool = Spool(store, 1)
    for chunk in chunks:
        spool.append(chunk)
    return spool
