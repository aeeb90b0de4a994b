from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava.ir import dynamics
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.procs.gate.process import Gate


class AbstractPyGate(PyLoihiProcessModel):
    """Sends the change of the step before, then takes this step's spikes into the running sums; still before
    the first window and between windows."""

    a_in: Any
    gate_in: Any
    s_out: Any
    a: np.ndarray
    b: np.ndarray
    change: np.ndarray
    vth: np.ndarray
    payload: np.ndarray
    gain: np.ndarray
    m: np.ndarray = LavaPyType(np.ndarray, np.int64)
    levels: np.ndarray = LavaPyType(np.ndarray, np.int64)
    two_sided: np.ndarray = LavaPyType(np.ndarray, np.int64)
    band: np.ndarray = LavaPyType(np.ndarray, float)
    most: np.ndarray = LavaPyType(np.ndarray, np.int64)
    carry: np.ndarray = LavaPyType(np.ndarray, np.int64)
    steps: np.ndarray = LavaPyType(np.ndarray, np.int64)
    period: np.ndarray = LavaPyType(np.ndarray, np.int64)
    offset: np.ndarray = LavaPyType(np.ndarray, np.int64)

    def run_spk(self) -> None:
        self.s_out.send(self.change)
        spikes, gates = self.a_in.recv(), self.gate_in.recv()
        steps, carry = self.steps.item(), bool(self.carry.item())
        window, local = divmod(self.time_step - 1 - self.offset.item(), self.period.item())  # counted from 0
        self.change = np.zeros_like(self.change)
        if window < 0 or local >= steps:
            return
        if local == 0 and not carry:
            self.a[:], self.b[:], self.m[:] = 0, 0, 0
        self.a += spikes
        self.b += gates
        self.change[:] = self._levels(steps if carry and window else local + 1) * self.payload

    def _levels(self, summed: int) -> np.ndarray:
        """Those sent after so many steps were summed, taken into m."""
        band = dynamics.band_of(self.vth, self.band.item())
        two_sided, most = bool(self.two_sided.item()), self.most.item()
        allowed = dynamics.Allowed(self.levels.item(), two_sided, band, most)
        gain = per_channel(self.gain, self.vth.shape)
        k = dynamics.gate(self.a, self.b, self.m, self.vth, gain, summed, allowed)
        self.m += k
        return k


@implements(proc=Gate, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyGateModelFloat(AbstractPyGate):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    gate_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    a: np.ndarray = LavaPyType(np.ndarray, float)
    b: np.ndarray = LavaPyType(np.ndarray, float)
    change: np.ndarray = LavaPyType(np.ndarray, float)
    vth: np.ndarray = LavaPyType(np.ndarray, float)
    payload: np.ndarray = LavaPyType(np.ndarray, float)
    gain: np.ndarray = LavaPyType(np.ndarray, float)


@implements(proc=Gate, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyGateModelFixed(AbstractPyGate):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    gate_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    a: np.ndarray = LavaPyType(np.ndarray, np.int64)
    b: np.ndarray = LavaPyType(np.ndarray, np.int64)
    change: np.ndarray = LavaPyType(np.ndarray, np.int32)
    vth: np.ndarray = LavaPyType(np.ndarray, np.int32)
    payload: np.ndarray = LavaPyType(np.ndarray, np.int32)
    gain: np.ndarray = LavaPyType(np.ndarray, np.int64)
