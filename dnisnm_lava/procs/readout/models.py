from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava.ir import dynamics
from dnisnm_lava.procs.readout.process import ReadOut


class AbstractPyReadOut(PyLoihiProcessModel):
    """Sums over each window; resets at its first step, but where it carries its sums."""

    steps: int = LavaPyType(int, int)
    period: int = LavaPyType(int, int)
    offset: int = LavaPyType(int, int)
    carry: int = LavaPyType(int, int)
    saturations: int = LavaPyType(int, int)

    def run_spk(self) -> None:
        a = self.a_in.recv()
        window, local = divmod(self.time_step - 1 - int(self.offset), int(self.period))
        local = local if window >= 0 else -1
        carry = bool(int(self.carry))
        if local == 0 and not carry:
            self.v[:] = 0
        if 0 <= local < self.steps:
            self.v[:], saturated = dynamics.integrate(
                self.v, a, np.zeros_like(self.bias) if carry and window else self.bias
            )
            self.saturations += saturated
        self.s_out.send(self.v)


@implements(proc=ReadOut, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyReadOutModelFloat(AbstractPyReadOut):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    v: np.ndarray = LavaPyType(np.ndarray, float)
    bias: np.ndarray = LavaPyType(np.ndarray, float)


@implements(proc=ReadOut, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyReadOutModelFixed(AbstractPyReadOut):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    v: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
