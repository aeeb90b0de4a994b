from __future__ import annotations

import numpy as np
import numpy.typing as npt
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig
from lava.magma.core.process.variable import Var


class Gate(AbstractProcess):
    """Sends, one step late, the change of the product of two running sums (`ir.dynamics.gate`).

    shape: of what arrives at a_in and of what is sent. gate_shape: of what arrives at gate_in; `shape`, or 1
    along some of its axes. vth: what a level of the product is worth (in integers a power of two), payload:
    what is sent per level; scalars or arrays that broadcast to `shape`. gain: (C,) worth of a product of sums
    of 1, in a step; int64 for `fixed_pt`. levels, two_sided, band, most: as of SNM. steps: spikes per window,
    of which the n-th of both sources arrive together. offset: steps before the sources' first window of
    spikes; the sums restart every `period` steps (default: `steps`) from there, but for `carry`: in a stream
    they go on.

    Ports: a_in (shape), gate_in (gate_shape), s_out (shape). Vars to read: a, b, m.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        gate_shape: tuple[int, ...],
        vth: npt.ArrayLike,
        payload: npt.ArrayLike,
        gain: npt.ArrayLike,
        steps: int,
        levels: int = 1,
        two_sided: bool = False,
        band: float = 0.0,
        most: int = 0,
        carry: bool = False,
        period: int | None = None,
        offset: int = 0,
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        period = steps if period is None else period
        gains = np.asarray(gain)
        super().__init__(shape=shape, name=name, log_config=log_config)
        _check(shape, gate_shape, gains, steps, levels, period, offset)
        self.a_in = InPort(shape=shape)
        self.gate_in = InPort(shape=gate_shape)
        self.s_out = OutPort(shape=shape)
        self.a = Var(shape=shape, init=0)
        self.b = Var(shape=gate_shape, init=0)
        self.m = Var(shape=shape, init=0)
        self.change = Var(shape=shape, init=0)
        self.vth = Var(shape=shape, init=np.broadcast_to(vth, shape).copy())
        self.payload = Var(shape=shape, init=np.broadcast_to(payload, shape).copy())
        self.gain = Var(shape=gains.shape, init=gains)
        self.levels = Var(shape=(1,), init=levels)
        self.two_sided = Var(shape=(1,), init=int(two_sided))
        self.band = Var(shape=(1,), init=float(band))
        self.most = Var(shape=(1,), init=most)
        self.carry = Var(shape=(1,), init=int(carry))
        self.steps = Var(shape=(1,), init=steps)
        self.period = Var(shape=(1,), init=period)
        self.offset = Var(shape=(1,), init=offset)


def _check(
    shape: tuple[int, ...],
    gate_shape: tuple[int, ...],
    gain: np.ndarray,
    steps: int,
    levels: int,
    period: int,
    offset: int,
) -> None:
    if len(gate_shape) != len(shape) or any(
        n not in (1, of) for n, of in zip(gate_shape, shape, strict=True)
    ):
        raise ValueError(f"Gate: a gate of {gate_shape} does not broadcast to {shape}; give 1 or the same")
    if gain.shape != shape[:1]:
        raise ValueError(f"Gate: gain has shape {gain.shape}; give one for each of {shape[0]} channels")
    if steps < 1 or levels < 1 or offset < 0 or period < steps:
        raise ValueError(
            f"Gate: steps {steps}, levels {levels}, period {period}, offset {offset}; steps and levels must "
            f"be >= 1, the period >= steps, the offset >= 0"
        )
