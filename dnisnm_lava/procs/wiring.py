"""A graph as Lava processes, wired: projections, delays, windows (design 1.3). One function, for the backend
and for the process that a user puts into a Lava network of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from lava.magma.core.process.process import AbstractProcess

from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Population, ReadOut, SpikingGraph
from dnisnm_lava.ir.timing import early_by
from dnisnm_lava.procs.conv.process import Conv
from dnisnm_lava.procs.delay.process import Delay
from dnisnm_lava.procs.dense.process import Dense
from dnisnm_lava.procs.gate.process import Gate as GateProcess
from dnisnm_lava.procs.maxpool.process import MaxPool as MaxPoolProcess
from dnisnm_lava.procs.readout.process import ReadOut as ReadOutProcess
from dnisnm_lava.procs.snm.process import SNM as SNMProcess


class Connecting(Protocol):
    """What sends the image: a process's out-port, or the in-port of the process around all of them."""

    def connect(self, ports: Any) -> None: ...


@dataclass(frozen=True)
class Wired:
    """populations: {name: its process}, without the input. others: synapses and delays between them."""

    populations: dict[str, AbstractProcess]
    others: tuple[AbstractProcess, ...]


def wired(graph: SpikingGraph, image: Connecting, *, steps: int, period: int, offset: int = 0) -> Wired:
    """The processes of all populations but the input. image: from where the input's spikes come, one sample
    every `period` steps, in `steps` of them, the first behind `offset` steps."""
    begins = {name: offset + start for name, start in graph.window_starts().items()}
    out: dict[str, Connecting] = {graph.input.name: image}
    delayed: dict[tuple[str, int], Delay] = {}
    found: dict[str, AbstractProcess] = {}
    synapses: list[AbstractProcess] = []

    def connect(source: str, reader: Population, port: Any) -> None:
        """As late as the last of all that `reader` hears."""
        early = early_by(begins, graph[source], reader.name)
        if early and (source, early) not in delayed:
            line = delayed[source, early] = Delay(shape=graph[source].shape, delay=early)
            out[source].connect(line.a_in)
        (delayed[source, early].s_out if early else out[source]).connect(port)

    for p in graph:
        if isinstance(p, Input):
            continue
        process = _process(p, graph, steps, period, begins[p.name])
        found[p.name], out[p.name] = process, process.s_out
        if isinstance(p, MaxPool):
            connect(p.source, p, process.a_in)
        elif isinstance(p, Gate):
            connect(p.source, p, process.a_in)
            connect(p.gate, p, process.gate_in)
        elif isinstance(p, SNM | ReadOut):
            for q in p.projections:
                kind = Conv if q.is_conv else Dense
                synapse = kind(projection=q, input_shape=graph[q.source].shape)
                connect(q.source, p, synapse.s_in)
                synapse.a_out.connect(process.a_in)
                synapses.append(synapse)
    return Wired(found, (*synapses, *delayed.values()))


def _process(p: Population, graph: SpikingGraph, steps: int, period: int, begin: int) -> Any:
    """A population's own; a max-pool and a gate buffer one step themselves."""
    if isinstance(p, MaxPool):
        channels, rows, columns = graph[p.source].shape
        return MaxPoolProcess(
            input_shape=(channels, rows, columns),
            window=p.window,
            period=period,
            offset=begin - 1,
            carry=graph.carry,
        )
    if isinstance(p, Gate):
        return GateProcess(
            shape=p.shape,
            gate_shape=graph[p.gate].shape,
            vth=p.vth,
            payload=p.payload,
            gain=p.gain,
            steps=steps,
            levels=p.levels,
            two_sided=p.two_sided,
            band=p.band,
            most=p.most,
            carry=graph.carry,
            period=period,
            offset=begin - 1,
        )
    assert isinstance(p, SNM | ReadOut)
    window: dict[str, Any] = {
        "shape": p.shape,
        "bias": p.bias,
        "steps": steps,
        "period": period,
        "offset": begin,
        "carry": graph.carry,
    }
    if isinstance(p, ReadOut):
        return ReadOutProcess(**window)
    return SNMProcess(
        **window,
        vth=p.vth,
        payload=p.payload,
        v_init=p.v_init,
        levels=p.levels,
        lead=p.lead,
        two_sided=p.two_sided,
        down=p.down,
        band=p.band,
        most=p.most,
        curve=p.curve,
    )
