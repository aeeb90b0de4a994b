"""Population by population, in topological order: what each hears from its converted sources, and what is
made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched.curves import activated
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import (
    SNM,
    Activation,
    AnalogGraph,
    Gate,
    Input,
    MaxPool,
    Population,
    ReadOut,
    Rectifier,
    SpikingGraph,
    checked_batches,
)
from dnisnm_lava.stages.calibration import checked_granularity
from dnisnm_lava.stages.fitting import CORRECTIONS, PERCENTILE, SUBSET, activity, corrections, thresholds
from dnisnm_lava.stages.fitting.activity import Activities, Activity
from dnisnm_lava.stages.fitting.spool import Spool, Store
from dnisnm_lava.system import machine
from dnisnm_lava.system.progress import Progress, tell

SCALES = tuple(twentieths / 20 for twentieths in range(5, 21))  # of the maximum, tried as thresholds
CHUNK, FEWEST = 1 << 25, 8  # bytes of currents at once; images
MOST_LEVELS = 127
LARGEST = 1e15  # 10**8 squares of it add up to less than float32's largest, 3e38


@dataclass(frozen=True)
class Plan:
    """What fit does to each population."""

    choice: thresholds.Choice
    corrections: frozenset[str]

    @property
    def spiking(self) -> bool:
        """Must populations be run, or does the ANN say it all?"""
        return bool(self.corrections) or self.choice.rule is thresholds.sequential


def fit(
    analog: AnalogGraph,
    spiking: SpikingGraph,
    images: Images,
    *,
    threshold: str = "sequential",
    correct: Iterable[str] = CORRECTIONS,
    granularity: str = "channel",
    scales: tuple[float, ...] = SCALES,
    percentile: float = PERCENTILE,
    subset: int = SUBSET,
    memory: int | None = None,
    progress: Progress | None = None,
) -> SpikingGraph:
    """`spiking`, the float network of `convert`, with what `images` tell: an array (N, *input shape), or an
    iterable of such. No labels, no training.

    Of each population, in this order: weights, bias (`correct`): moved so that its mean currents are the
    ANN's pre-activations, by least squares and per channel; thresholds (`threshold`: one of
    thresholds.RULES), shared within `granularity`: of rectifiers, and of activations by `mmse`, per channel,
    whichever rule but `max`; v_init (`correct`): T * mean error more, per neuron, by at most half a
    threshold: of rectifiers.

    scales: of the maxima, tried by `mmse` and `sequential`. percentile, subset: of the rules of that name.
    memory: bytes for what populations send (default: a quarter of what is free); the rest goes to the folder
    for temporary files. progress(done, of): in populations.
    """
    plan = _plan(threshold, correct, granularity, scales, percentile, subset)
    _check(spiking)
    steps = spiking.steps

    def neurons(p: SNM, activities: Activities, store: Store) -> tuple[SNM, Activity]:
        return _fitted(p, analog[p.name], activities, steps, plan, store)

    def gate(p: Gate, activities: Activities, store: Store) -> tuple[Gate, Activity]:
        sources = activities[p.source], activities[p.gate]
        ann = activity.of_product(*sources, store)
        p = thresholds.of_gate(p, ann, steps, plan.choice)
        return p, activity.of_gate(p, ann, *sources, steps, store, plan.spiking)

    def read_out(p: ReadOut, activities: Activities, store: Store) -> ReadOut:
        return _read_out(p, activities, steps, plan, store)

    return through(
        spiking, images, neurons, gate, read_out, spiking=plan.spiking, memory=memory, progress=progress
    )


def through(
    graph: SpikingGraph,
    images: Images,
    neurons: Callable[[SNM, Activities, Store], tuple[SNM, Activity]],
    gate: Callable[[Gate, Activities, Store], tuple[Gate, Activity]],
    read_out: Callable[[ReadOut, Activities, Store], ReadOut],
    *,
    spiking: bool,
    memory: int | None,
    progress: Progress | None,
) -> SpikingGraph:
    """The graph of what `neurons`, `gate` and `read_out` make of its populations, each told the activities of
    its sources."""
    _check_range(graph)
    store = Store(machine.free_memory() // 4 if memory is None else memory)
    activities: dict[str, Activity] = {}
    freed = graph.last_readers()
    done: list[Population] = []
    try:
        with torch.inference_mode():
            for i, p in enumerate(graph, 1):
                if isinstance(p, Input):
                    activities[p.name] = activity.of_input(_chunks(graph, images), store)
                elif isinstance(p, MaxPool):
                    activities[p.name] = activity.of_pool(p, activities[p.source], store, spiking)
                elif isinstance(p, SNM):
                    p, activities[p.name] = neurons(p, activities, store)
                elif isinstance(p, Gate):
                    p, activities[p.name] = gate(p, activities, store)
                else:
                    assert isinstance(p, ReadOut)
                    p = read_out(p, activities, store)
                done.append(p)
                for name in freed[p.name]:
                    activities.pop(name).close()
                tell(progress, i, len(graph.populations))
    finally:
        for left in activities.values():
            left.close()
    return SpikingGraph(tuple(done), steps=graph.steps)


def _plan(
    threshold: str,
    correct: Iterable[str],
    granularity: str,
    scales: tuple[float, ...],
    percentile: float,
    subset: int,
) -> Plan:
    wanted = frozenset(correct)
    if threshold not in thresholds.RULES:
        raise OutOfRange(f"threshold: {threshold!r} given; choose {', '.join(thresholds.RULES)}")
    if not wanted <= set(CORRECTIONS):
        raise OutOfRange(f"correct: {', '.join(sorted(wanted))} given; choose of {', '.join(CORRECTIONS)}")
    if not scales or min(scales) <= 0:
        raise OutOfRange(f"scales: {scales} given; give numbers above 0")
    if not 0 < percentile <= 100:
        raise OutOfRange(f"percentile: {percentile} given; give one above 0, at most 100")
    if subset < 1:
        raise OutOfRange(f"subset: {subset} images given; give 1 or more")
    choice = thresholds.Choice(
        thresholds.RULES[threshold], checked_granularity(granularity), scales, percentile, subset
    )
    return Plan(choice, wanted)


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


def _check_range(spiking: SpikingGraph) -> None:
    for p in spiking:
        reached = p.v_range if isinstance(p, SNM | ReadOut) else p.scale if isinstance(p, Input) else None
        if reached is not None and reached.max() > LARGEST:
            raise OutOfRange(
                f"{p.name}: values up to {reached.max():.3g}, whose squares fit's float32 does not hold "
                f"beyond {LARGEST:.0e}; "
                "scale images or weights down, or fit nothing (--recipe paper)"
            )


def _chunks(spiking: SpikingGraph, images: Images) -> Iterator[Tensor]:
    """As many images at once as the largest population's currents allow; some, since each chunk prepares
    every neuron anew."""
    largest = max(int(np.prod(p.shape)) for p in spiking)
    some = max(FEWEST, CHUNK // (4 * spiking.steps * largest))
    batches = [images] if hasattr(images, "shape") else images
    count = 0
    for x in checked_batches(spiking, batches):
        count += len(x)
        yield from torch.split(torch.as_tensor(spiking.input.arranged(x), dtype=torch.float32), some)
    if count == 0:
        raise OutOfRange("fit: 0 images given; give at least 1, better some hundreds")


def _fitted(
    p: SNM, own: Population, activities: Activities, steps: int, plan: Plan, store: Store
) -> tuple[SNM, Activity]:
    z = _spooled(activity.preactivations(p, activities), store)
    ann = _spooled((_activation(own, part, p.bias) for part in z), store)
    meant = p
    p = _heard_right(p, activities, z, steps, plan)
    z.close()
    currents = activity.Currents(p, activities, steps, store)
    if isinstance(own, Rectifier):
        bias = torch.tensor(np.broadcast_to(meant.bias, p.shape), dtype=torch.float64)
        heard = thresholds.Heard(
            plan.choice,
            ann,
            lambda: (part + bias for part in activity.preactivations(meant, activities)),
            own.ceiling,
            currents,
            steps,
        )
        chosen = plan.choice.rule(p, heard)
        p = thresholds.with_thresholds(p, chosen.theta, steps)
        if "v_init" in plan.corrections:
            gap = corrections.summed_gap(p, ann, currents) if chosen.gap is None else chosen.gap
            p = corrections.with_v_init(p, gap / ann.images, steps)
    elif isinstance(own, Activation):
        p = thresholds.of_activation(p, own.function, ann, steps, plan.choice)
    does = activity.of_neurons(p, ann, activities, steps, store, plan.spiking, currents)
    currents.close()
    return p, does


def _read_out(p: ReadOut, activities: Activities, steps: int, plan: Plan, store: Store) -> ReadOut:
    if not plan.corrections & {"weights", "bias"}:
        return p
    z = _spooled(activity.preactivations(p, activities), store)
    p = _heard_right(p, activities, z, steps, plan)
    z.close()
    return p


def _heard_right(p: corrections.P, activities: Activities, z: Spool, steps: int, plan: Plan) -> corrections.P:
    if "weights" in plan.corrections:
        p = corrections.with_weights(p, activities, z)
    if plan.corrections & {"weights", "bias"}:
        p = corrections.with_bias(p, activities, z, steps)
    return p


def _activation(own: Population, z: Tensor, bias: np.ndarray) -> Tensor:
    z = z + activity.tensor(np.broadcast_to(bias, z.shape[1:]))
    return activated(own, z)


def _spooled(chunks: Iterable[Tensor], store: Store) -> Spool:
    spool = Spool(store, 1)
    for chunk in chunks:
        spool.append(chunk)
    return spool
