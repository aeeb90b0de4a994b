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
        images, steps, period, carry = (
            self.proc_params[key] for key in ("images", "steps", "period", "carry")
        )
        sample, local = divmod(self.time_step - 1, period)
        if sample >= len(images) or local >= steps:
            self.s_out.send(np.zeros_like(images[0]))
        elif carry and sample:
            wide = np.float64 if images.dtype.kind == "f" else np.int32  # a change of 8 bits has 9
            self.s_out.send(images[sample].astype(wide) - images[sample - 1])
        else:
            self.s_out.send(images[sample])


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
