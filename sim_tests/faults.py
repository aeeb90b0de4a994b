"""Projections that fail inside a Lava process, each in its own way."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import fields, replace

import numpy as np

from dnisnm_lava.ir import Projection, SpikingGraph


class Raises(Projection):
    def __call__(self, x: np.ndarray) -> np.ndarray:
        raise RuntimeError("on purpose")


class Sleeps(Projection):
    def __call__(self, x: np.ndarray) -> np.ndarray:
        time.sleep(1000)
        raise AssertionError


class KillsTheSimulator(Projection):
    def __call__(self, x: np.ndarray) -> np.ndarray:
        os.kill(os.getsid(0), signal.SIGKILL)  # the child leads the session
        return super().__call__(x)


def infected(graph: SpikingGraph, fault: type[Projection]) -> SpikingGraph:
    """`graph` with the first projection of its read-out replaced by a `fault`."""
    first, *others = graph.readout.projections
    broken = fault(**{f.name: getattr(first, f.name) for f in fields(first)})
    readout = replace(graph.readout, projections=(broken, *others))
    return replace(graph, populations=(*graph.populations[:-1], readout))
