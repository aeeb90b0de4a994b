"""What the weights of a network read from its own spikes on calibration images: for `compensation`."""

from __future__ import annotations

import torch

from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import SNM, Gate, Projection, ReadOut, SpikingGraph
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting import activity, least_squares
from dnisnm_lava.stages.fitting.activity import Activities, Activity
from dnisnm_lava.stages.fitting.fit import through
from dnisnm_lava.stages.fitting.least_squares import Moments
from dnisnm_lava.stages.fitting.spool import Spool, Store
from dnisnm_lava.stages.quantization import Readings
from dnisnm_lava.system.progress import Progress


def readings(
    spiking: SpikingGraph, images: Images, *, memory: int | None = None, progress: Progress | None = None
) -> Readings:
    """What each projection's weights read, per step, when `spiking`, the float network, runs on `images` (N,
    *input shape), or an iterable of such."""
    found: dict[str, tuple[tuple[Reads, ...], ...]] = {}

    def read(p: SNM | ReadOut, activities: Activities) -> None:
        found[p.name] = tuple(_reads(q, activities[q.source]) for q in p.projections)

    def neurons(p: SNM, activities: Activities, store: Store) -> tuple[SNM, Activity]:
        read(p, activities)
        return p, activity.of_neurons(p, Spool(store, 1), activities, spiking.steps, store)

    def gate(p: Gate, activities: Activities, store: Store) -> tuple[Gate, Activity]:
        sources = activities[p.source], activities[p.gate]
        return p, activity.of_gate(p, Spool(store, 1), *sources, spiking.steps, store, True)

    def read_out(p: ReadOut, activities: Activities, store: Store) -> ReadOut:
        read(p, activities)
        return p

    through(spiking, images, neurons, gate, read_out, spiking=True, memory=memory, progress=progress)
    return found


def _reads(q: Projection, source: Activity) -> tuple[Reads, ...]:
    return tuple(_block(q, source, columns) for columns in least_squares.blocks(q))


def _block(q: Projection, source: Activity, columns: slice) -> Reads:
    total: Moments | None = None
    places = least_squares.Places(q, source.shape, source.images)
    for i in range(len(source)):
        mean = source.mean(i)
        u = least_squares.patches(q, mean, places.of(len(mean)))[:, :, columns]
        total = least_squares.plus(total, least_squares.moments(u, torch.zeros(*u.shape[:2], 0)))
    assert total is not None
    return Reads(columns, (total.u / total.count).numpy(), total.centred()[0].numpy())
