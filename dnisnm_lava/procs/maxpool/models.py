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
from dnisnm_lava.procs.maxpool.process import MaxPool


class AbstractPyMaxPool(PyLoihiProcessModel):
    """Sends the change of the step before, then takes this step's spikes into the running sums."""

    a_in: Any
    s_out: Any
    total: np.ndarray
    largest: np.ndarray
    change: np.ndarray
    period: int = LavaPyType(int, int)
    offset: int = LavaPyType(int, int)
    carry: int = LavaPyType(int, int)

    def run_spk(self) -> None:
        self.s_out.send(self.change)
        spikes = self.a_in.recv()
        if not int(self.carry) and (self.time_step - 1 - int(self.offset)) % int(self.period) == 0:
            self.total[:] = 0
            self.largest[:] = 0
        total, largest = dynamics.pool(self.total[None], spikes[None], self.proc_params["window"])
        self.total[:] = total[0]
        self.change = (largest[0] - self.largest).astype(self.change.dtype)
        self.largest[:] = largest[0]


@implements(proc=MaxPool, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyMaxPoolModelFloat(AbstractPyMaxPool):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    total: np.ndarray = LavaPyType(np.ndarray, float)
    largest: np.ndarray = LavaPyType(np.ndarray, float)
    change: np.ndarray = LavaPyType(np.ndarray, float)


@implements(proc=MaxPool, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyMaxPoolModelFixed(AbstractPyMaxPool):
    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    total: np.ndarray = LavaPyType(np.ndarray, np.int64)
    largest: np.ndarray = LavaPyType(np.ndarray, np.int64)
    change: np.ndarray = LavaPyType(np.ndarray, np.int32)
