from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava.procs.conv.process import Conv


class AbstractPyConv(PyLoihiProcessModel):
    """Sends the current of the step before, then computes this step's; nothing for silence, and nothing
    new for the same spikes as before (a constant image)."""

    def __init__(self, proc_params: dict) -> None:
        super().__init__(proc_params)
        self.before: np.ndarray | None = None

    def run_spk(self) -> None:
        self.a_out.send(self.current)
        spikes = self.s_in.recv()
        if self.before is not None and np.array_equal(spikes, self.before):
            return
        self.before = np.array(spikes)
        if spikes.any():
            self.current = self.proc_params["projection"](spikes[None])[0].astype(self.current.dtype)
        else:
            self.current = np.zeros_like(self.current)


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PyConvModelFloat(AbstractPyConv):
    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    current: np.ndarray = LavaPyType(np.ndarray, float)


@implements(proc=Conv, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyConvModelFixed(AbstractPyConv):
    """Exact integers: no 24-bit wrap, no weight truncation, any number of groups."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    current: np.ndarray = LavaPyType(np.ndarray, np.int32)
