from __future__ import annotations

from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from dnisnm_lava.procs.network.process import Network, counted
from dnisnm_lava.procs.wiring import wired


@implements(proc=Network, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt", "floating_pt")
class PyNetworkModel(AbstractSubProcessModel):
    """Its processes as attributes, which is where Lava looks for them."""

    def __init__(self, proc: AbstractProcess) -> None:
        graph, steps, period, offset, sent = (
            proc.proc_params[key] for key in ("graph", "steps", "period", "offset", "sent")
        )
        made = wired(graph, proc.a_in, steps=steps, period=period, offset=offset)
        for i, process in enumerate((*made.populations.values(), *made.others)):
            setattr(self, f"process{i}", process)
        for name in sent:
            made.populations[name].s_out.connect(proc.out(name))
        for p in counted(graph):
            proc.saturations_of(p.name).alias(made.populations[p.name].saturations)
