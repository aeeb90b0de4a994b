"""Networks that fail inside Lava, each in its own way."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from dnisnm_lava.ir import Projection, SpikingGraph

NOISE = b"noise that nobody asked for\n" * 40_000  # 1.1 MB


def raises() -> None:
    raise RuntimeError("on purpose")


def sleeps() -> None:
    time.sleep(1000)
    raise AssertionError


def is_deaf() -> None:
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    sleeps()


def is_sent(sign: signal.Signals) -> Callable[[], None]:
    """The process that runs into the fault gets `sign`."""
    return lambda: os.kill(os.getpid(), sign)


def leader_is_sent(sign: signal.Signals) -> Callable[[], None]:
    """The child, which leads its session, gets `sign` from one of Lava's processes."""
    return lambda: os.kill(os.getsid(0), sign)


def _limit_memory(more: int) -> None:
    """To what the process has, and `more` bytes."""
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + more, size + more))


def runs_out_of_memory() -> None:
    _limit_memory(64 << 20)
    np.ones(1 << 28)


def starves_at(more: int) -> Callable[[], None]:
    """Of what the child needs, only so many MB are there: its imports fail, or its threads do."""
    return lambda: _limit_memory(more << 20)


def chatters() -> None:
    for _ in range(8):
        os.write(2, NOISE)


def chatters_and_raises() -> None:
    chatters()
    raises()


def raises_after_a_line_without_end() -> None:
    for _ in range(4):
        os.write(2, b"x" * (1 << 20))
    os.write(2, b"\n")
    raises()


def raises_in_init() -> None:
    """In the __init__ of the process model, which Lava calls in a process of its own."""
    from dnisnm_lava.procs.synapses import AbstractPyProjection

    def fails(self: object, _: object) -> None:
        raise RuntimeError("__init__ fails on purpose")

    AbstractPyProjection.__init__ = fails  # type: ignore[assignment, method-assign]


def cannot_write_its_result() -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    np.savez = fails  # type: ignore[assignment]


SIGNS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP)
FAULTS: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        raises,
        sleeps,
        is_deaf,
        runs_out_of_memory,
        chatters,
        chatters_and_raises,
        raises_after_a_line_without_end,
        raises_in_init,
        cannot_write_its_result,
    )
}
FAULTS |= {f"starves at {more} MB": starves_at(more) for more in (8, 48, 200)}
FAULTS |= {f"is sent {sign.name}": is_sent(sign) for sign in SIGNS}
FAULTS |= {f"leader is sent {sign.name}": leader_is_sent(sign) for sign in SIGNS}


@dataclass(frozen=True, eq=False)
class InStep(Projection):
    """Runs into its fault in each step, in one of Lava's processes."""

    fault: str = ""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        FAULTS[self.fault]()
        return super().__call__(x)


@dataclass(frozen=True, eq=False)
class AtStart(Projection):
    """Runs into its fault when the child reads it, before Lava begins."""

    fault: str = ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        FAULTS[self.fault]()


def infected(graph: SpikingGraph, where: type[InStep | AtStart], fault: str) -> SpikingGraph:
    """`graph` with the first projection of its read-out replaced by a faulty one."""
    first, *others = graph.readout.projections
    broken = where(**{f.name: getattr(first, f.name) for f in fields(first)}, fault=fault)
    readout = replace(graph.readout, projections=(broken, *others))
    return replace(graph, populations=(*graph.populations[:-1], readout))
