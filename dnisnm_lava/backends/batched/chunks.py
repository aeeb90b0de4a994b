"""Images in chunks that fit memory and stay in cache, each computed by one thread."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from dnisnm_lava.ir import SpikingGraph

SPIKES = 1 << 22  # bytes that the largest population of a chunk sends
T = TypeVar("T")


def chunks(graph: SpikingGraph, steps: int, memory: int, images: int, threads: int) -> tuple[int, int]:
    """How many images are taken at once, and by how many workers at a time. All fit `memory` (the most spikes
    alive at once, and twice the largest population's currents). In threads of a CPU, none sends more than
    SPIKES bytes, so that they stay in cache, and each has something to do; threads = 0: one worker, as large
    as memory allows."""
    width, summed = (1, 4) if graph.is_integer else (8, 8)
    most = 0
    alive: dict[str, int] = {}
    sizes = {p.name: int(np.prod(p.shape)) * steps for p in graph}
    for p, _ in graph.flow(alive):
        alive[p.name] = sizes[p.name]
        most = max(most, width * sum(alive.values()) + 2 * summed * sizes[p.name])
    fitting = max(1, memory // most)
    if threads == 0:
        return min(fitting, images), 1
    workers = min(threads, fitting, images)
    largest = max(1, min(fitting // workers, SPIKES // (width * max(sizes.values()))))
    rounds = -(-images // (workers * largest))
    return -(-images // (workers * rounds)), workers


def in_workers(work: Callable[[int], T], starts: range, workers: int) -> Iterator[T]:
    """Chunks in their order, each in a thread whose torch has its share of the threads: the images need no
    barriers. At most two chunks a worker wait to be read."""
    if workers == 1:
        yield from map(work, starts)
        return
    share = torch.get_num_threads() // workers
    with ThreadPoolExecutor(workers, initializer=_limit_threads, initargs=(share,)) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for start in starts:
                if len(waiting) == 2 * workers:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, start))
            while waiting:
                yield waiting.popleft().result()
        finally:  # an interruption waits for those that are being computed alone
            for future in waiting:
                future.cancel()


def _limit_threads(count: int) -> None:
    """Limit the threads of this thread's own parallel regions, for its life: OpenMP's setting is each
    thread's own. torch sets it when a thread first asks, and not again."""
    torch.get_num_threads()
    _libraries().limit(limits=count, user_api="openmp")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums of floats whose last bit does not depend on the threads: of torch's linear systems and of NumPy's
    products."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
