from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava.ir import dynamics
from dnisnm_lava.ir.curves import Curve
from dnisnm_lava.procs.snm.process import SNM


class AbstractPySNM(PyLoihiProcessModel):
    """Windows of SNM: reset at the first step, but where it carries its state; silent before the first window
    and between windows.

    What the population shares is an array of one: after `.set()` of an `int`, which Lava makes a float,
    `.get()` hangs.
    """

    levels: np.ndarray = LavaPyType(np.ndarray, np.int64)
    lead: np.ndarray = LavaPyType(np.ndarray, np.int64)
    two_sided: np.ndarray = LavaPyType(np.ndarray, np.int64)
    down: np.ndarray = LavaPyType(np.ndarray, float)
    band: np.ndarray = LavaPyType(np.ndarray, float)
    most: np.ndarray = LavaPyType(np.ndarray, np.int64)
    carry: np.ndarray = LavaPyType(np.ndarray, np.int64)
    curved: np.ndarray = LavaPyType(np.ndarray, np.int64)
    channels: np.ndarray = LavaPyType(np.ndarray, np.int64)
    steps: np.ndarray = LavaPyType(np.ndarray, np.int64)
    period: np.ndarray = LavaPyType(np.ndarray, np.int64)
    offset: np.ndarray = LavaPyType(np.ndarray, np.int64)
    saturations: np.ndarray = LavaPyType(np.ndarray, np.int64)

    def run_spk(self) -> None:
        a = self.a_in.recv()
        steps, lead = self.steps.item(), self.lead.item()
        window, local = divmod(self.time_step - 1 - self.offset.item(), self.period.item())  # counted from 0
        local = local if window >= 0 else -1
        carry = bool(self.carry.item())
        if local == 0 and not carry:
            self.v[:] = self.v_init
            self.m[:] = 0
        if 0 <= local < steps:
            bias = np.zeros_like(self.bias) if carry and window else self.bias
            self.v[:], saturated = dynamics.integrate(self.v, a, bias)
            self.saturations += saturated
        spikes = np.zeros_like(self.payload)
        if lead <= local < steps + lead:
            summed = steps if carry and window else min(local + 1, steps)
            fired = self._followed(summed) if self.curved.item() else self._fired()
            self.v[:], self.m[:] = fired.v, fired.m
            spikes[:] = fired.k * self.payload
        self.s_out.send(spikes)

    def _fired(self) -> dynamics.Fired:
        lower = dynamics.lower_threshold(self.vth, self.down.item())
        band = dynamics.band_of(self.vth, self.band.item())
        two_sided, most = bool(self.two_sided.item()), self.most.item()
        return dynamics.fire(self.v, self.m, self.vth, self.levels.item(), two_sided, lower, band, most)

    def _followed(self, summed: int) -> dynamics.Fired:
        """The firing of neurons with a curve, after so many steps were summed; `dynamics.follow` takes
        channels first."""
        curve, axis = Curve("", self.knots, self.slopes, self.offsets), self.channels.item()
        v, m, vth = (np.moveaxis(a, axis, 0)[None] for a in (self.v, self.m, self.vth))
        band = dynamics.band_of(vth, self.band.item())
        two_sided, most = bool(self.two_sided.item()), self.most.item()
        allowed = dynamics.Allowed(self.levels.item(), two_sided, band, most)
        fired = dynamics.follow(v, m, vth, curve, summed, allowed)
        return dynamics.Fired(*(np.moveaxis(a[0], 0, axis) for a in fired))


@implements(proc=SNM, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySNMModelFloat(AbstractPySNM):
    """SNM in float64."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v: np.ndarray = LavaPyType(np.ndarray, float)
    m: np.ndarray = LavaPyType(np.ndarray, np.int64)
    vth: np.ndarray = LavaPyType(np.ndarray, float)
    payload: np.ndarray = LavaPyType(np.ndarray, float)
    v_init: np.ndarray = LavaPyType(np.ndarray, float)
    bias: np.ndarray = LavaPyType(np.ndarray, float)
    knots: np.ndarray = LavaPyType(np.ndarray, float)
    slopes: np.ndarray = LavaPyType(np.ndarray, float)
    offsets: np.ndarray = LavaPyType(np.ndarray, float)


@implements(proc=SNM, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySNMModelFixed(AbstractPySNM):
    """SNM in integers, Loihi-compatible: 24-bit saturating potential, integer thresholds and payloads."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    v: np.ndarray = LavaPyType(np.ndarray, np.int64, precision=24)
    m: np.ndarray = LavaPyType(np.ndarray, np.int64)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    payload: np.ndarray = LavaPyType(np.ndarray, np.int32)
    v_init: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    knots: np.ndarray = LavaPyType(np.ndarray, np.int64)
    slopes: np.ndarray = LavaPyType(np.ndarray, np.int64)
    offsets: np.ndarray = LavaPyType(np.ndarray, np.int64)
