from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava.procs.source.process import Source


class AbstractPySource(PyLoihiProcessModel):
    def run_spk(self) -> None:
        images, steps, period = (self.proc_params[key] for key in ("images", "steps", "period"))
        sample, local = divmod(self.time_step - 1, period)
        shown = sample < len(images) and local < steps
        self.s_out.send(images[sample] if shown else np.zeros_like(images[0]))


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class PySourceModelFloat(AbstractPySource):
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySourceModelFixed(AbstractPySource):
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
