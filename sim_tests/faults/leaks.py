"""Many Lava runs from one process: what it holds after each."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.backends import lava_cpu
from dnisnm_lava.ir import SpikingGraph
from faults.left import orphans


@dataclass(frozen=True)
class Held:
    """By this process. megabytes: resident."""

    descriptors: int
    threads: int
    children: int
    segments: int
    megabytes: float


def held() -> Held:
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        children = len(file.read().split())
    return Held(
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        children,
        len(orphans("dnisnm-lava-")),
        pages * resource.getpagesize() / 2**20,
    )


def runs(graph: SpikingGraph, x: np.ndarray, count: int) -> Iterator[Held]:
    """What is held before the first of `count` runs on Lava, and after each."""
    yield held()
    for _ in range(count):
        lava_cpu.run(graph, x, deadline=120)
        yield held()
