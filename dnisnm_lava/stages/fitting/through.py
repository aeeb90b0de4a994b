"""Population by population, in topological order: what each is told of its sources, chunk by chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.data.inputs import Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut, SpikingGraph, checked_batches
from dnisnm_lava.stages.fitting import activity
from dnisnm_lava.stages.fitting.activity import Activities, Activity
from dnisnm_lava.stages.fitting.spool import Store
from dnisnm_lava.system import machine, ranks
from dnisnm_lava.system.progress import Progress, tell
from dnisnm_lava.system.ranks import ALONE, Group

CHUNK, FEWEST, MOST = 1 << 25, 2, 50  # bytes of currents at once; images
KEPT = 1 << 29  # bytes in memory at most, where nobody says how many: the network's own come on top
LARGEST = 1e15  # 10**8 squares of it add up to less than float32's largest, 3e38


@dataclass(frozen=True)
class Each:
    """What becomes of neurons, gates and read-outs, each told the activities of its sources. passes: of the
    images through the projections, which that takes."""

    neurons: Callable[[SNM, Activities, Store], tuple[SNM, Activity]]
    gate: Callable[[Gate, Activities, Store], tuple[Gate, Activity]]
    read_out: Callable[[ReadOut, Activities, Store], ReadOut]
    passes: int


def store_of(memory: int | None) -> Store:
    """memory: bytes (default: a quarter of what is free, shared with the job's other processes here, and KEPT
    at most)."""
    return Store(min(KEPT, machine.free_memory() // 4 // ranks.size_here()) if memory is None else memory)


def image(
    graph: SpikingGraph,
    images: Images,
    store: Store,
    group: Group = ALONE,
    state: hashlib._Hash | None = None,
) -> Activity:
    """The images, as the input sends them. state: takes in all of them."""
    _check_range(graph)
    return activity.of_input(graph.input.shape, _taken_in(_chunks(graph, images), state), store, group)


def through(
    graph: SpikingGraph,
    shown: Activity,
    each: Each,
    store: Store,
    *,
    spiking: bool,
    progress: Progress | None,
) -> SpikingGraph:
    """The graph of what `each` makes of its populations; shown: what the input sends. spiking: must
    populations be run, or does the ANN say it all? progress(done, of): in passes of the ANN."""
    activities: dict[str, Activity] = {}
    freed = graph.last_readers()
    done: list[Population] = []
    told = _Told(_work(graph), each.passes, progress)
    try:
        with torch.inference_mode():
            for p in graph:
                if isinstance(p, Input):
                    activities[p.name] = shown
                elif isinstance(p, MaxPool):
                    activities[p.name] = activity.of_pool(p, activities[p.source], store, spiking)
                elif isinstance(p, SNM):
                    p, activities[p.name] = each.neurons(p, activities, store)
                elif isinstance(p, Gate):
                    p, activities[p.name] = each.gate(p, activities, store)
                else:
                    assert isinstance(p, ReadOut)
                    p = each.read_out(p, activities, store)
                done.append(p)
                for name in freed[p.name]:
                    activities.pop(name).close()
                told.is_done(p)
    finally:
        for left in (*activities.values(), shown):
            left.close()
    return SpikingGraph(tuple(done), steps=graph.steps)


@dataclass
class _Told:
    """How far it is. work: multiplications of each population."""

    work: Mapping[str, int]
    passes: int
    progress: Progress | None
    spent: int = 0
    last: int = 0

    def is_done(self, p: Population) -> None:
        self.spent += self.work.get(p.name, 0)
        done = self.passes * self.spent // max(1, sum(self.work.values()))
        if done > self.last:
            self.last = done
            tell(self.progress, done, self.passes)


def _work(graph: SpikingGraph) -> dict[str, int]:
    shapes = {p.name: p.shape for p in graph}
    readers = (p for p in graph if isinstance(p, SNM | ReadOut))
    return {p.name: sum(q.macs(shapes[q.source]) for q in p.projections) for p in readers}


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
    """As many images at once as the largest population's currents allow, and few enough that processes can
    share them."""
    largest = max(int(np.prod(p.shape)) for p in spiking)
    some = min(MOST, max(FEWEST, CHUNK // (4 * spiking.steps * largest)))
    batches = [images] if hasattr(images, "shape") else images
    count = 0
    for x in checked_batches(spiking, batches):
        count += len(x)
        yield from torch.split(torch.as_tensor(spiking.input.arranged(x), dtype=torch.float32), some)
    if count == 0:
        raise OutOfRange("fit: 0 images given; give at least 1, better some hundreds")


def _taken_in(chunks: Iterable[Tensor], state: hashlib._Hash | None) -> Iterator[Tensor]:
    for chunk in chunks:
        if state is not None:
            state.update(f"{tuple(chunk.shape)}".encode())
            state.update(chunk.contiguous().numpy().data)
        yield chunk
