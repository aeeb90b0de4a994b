"""What the weights of a network read from its own spikes on calibration images: for `compensation`."""

from __future__ import annotations

from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import SNM, Gate, Projection, ReadOut, SpikingGraph
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting import activity, least_squares
from dnisnm_lava.stages.fitting.activity import Activities, Activity
from dnisnm_lava.stages.fitting.spool import Spool, Store
from dnisnm_lava.stages.fitting.through import Each, image, store_of, through
from dnisnm_lava.stages.quantization import Readings
from dnisnm_lava.system.progress import Progress
from dnisnm_lava.system.ranks import ALONE, Group


def readings(
    spiking: SpikingGraph,
    images: Images,
    *,
    memory: int | None = None,
    progress: Progress | None = None,
    group: Group = ALONE,
) -> Readings:
    """What each projection's weights read, per step, when `spiking`, the float network, runs on `images` (N,
    *input shape), or an iterable of such. What `fit_and_read` tells of the same network is the same. memory,
    progress, group: as of `fit`."""
    found: dict[str, tuple[tuple[Reads, ...], ...]] = {}

    def read(p: SNM | ReadOut, activities: Activities) -> None:
        found[p.name] = tuple(of_projection(q, activities[q.source]) for q in p.projections)

    def neurons(p: SNM, activities: Activities, store: Store) -> tuple[SNM, Activity]:
        read(p, activities)
        return p, activity.of_neurons(p, Spool(store, 1), activities, spiking.steps, store)

    def gate(p: Gate, activities: Activities, store: Store) -> tuple[Gate, Activity]:
        sources = activities[p.source], activities[p.gate]
        return p, activity.of_gate(p, Spool(store, 1), *sources, spiking.steps, store, True)

    def read_out(p: ReadOut, activities: Activities, store: Store) -> ReadOut:
        read(p, activities)
        return p

    store = store_of(memory)
    shown = image(spiking, images, store, group)
    each = Each(neurons, gate, read_out, passes=spiking.steps)
    through(spiking, shown, each, store, spiking=True, progress=progress)
    return found


def of_projection(q: Projection, source: Activity) -> tuple[Reads, ...]:
    """What q's weights read of its source, block of columns by block."""
    return tuple(_of_block(q, source, columns) for columns in least_squares.blocks(q))


def _of_block(q: Projection, source: Activity, columns: slice) -> Reads:
    places = least_squares.Places(q, source.shape, source.share.images)
    samples = ((source.mean(i), least_squares.nothing_lacks) for i in range(len(source)))
    return least_squares.reads(least_squares.halves(q, source.share, places, columns, samples), columns)
