from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava import dynamics
from dnisnm_lava.procs.snm.process import SNM


class AbstractPySNM(PyLoihiProcessModel):
    """Windows of SNM: reset at the first step, silent before the first window and between windows."""

    levels: int = LavaPyType(int, int)
    lead: int = LavaPyType(int, int)
    two_sided: int = LavaPyType(int, int)
    steps: int = LavaPyType(int, int)
    period: int = LavaPyType(int, int)
    offset: int = LavaPyType(int, int)
    saturations: int = LavaPyType(int, int)

    def run_spk(self) -> None:
        a = self.a_in.recv()
        local = self.time_step - 1 - int(self.offset)  # time_step counts from 1
        local = local % int(self.period) if local >= 0 else -1
        if local == 0:
            self.v[:] = self.v_init
            self.m[:] = 0
        if 0 <= local < self.steps:
            self.v[:], saturated = dynamics.integrate(self.v, a, self.bias)
            self.saturations += saturated
        spikes = np.zeros_like(self.payload)
        if self.lead <= local < self.steps + self.lead:
            k, self.v[:], self.m[:] = dynamics.fire(self.v, self.m, self.vth, int(self.levels), bool(self.two_sided))
            spikes[:] = k * self.payload
        self.s_out.send(spikes)


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
