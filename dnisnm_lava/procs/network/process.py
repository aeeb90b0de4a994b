from __future__ import annotations

from collections.abc import Collection

from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess, LogConfig
from lava.magma.core.process.variable import Var

from dnisnm_lava.ir import SNM, ReadOut, SpikingGraph
from dnisnm_lava.ir.integers import check_int32, check_state, steps_of
from dnisnm_lava.ir.timing import latency, shortest_period


class Network(AbstractProcess):
    """A whole network as one process with an in-port and an out-port, for a Lava network of one's own: any
    graph, with shortcuts, pools, gates and several outputs.

    In the steps offset + n * period + 1 ... offset + n * period + steps, the image of sample n arrives at
    a_in, the same in each step (of a stream's network, by how much it changed); in all others zeros. For
    `fixed_pt` an image is integers, as `dnisnm_lava.ir.integers.encode_images` makes them. s_out sends in
    each step what the read-out has summed of the sample so far; in step `answer(n)` and until the next
    sample reaches it, all `steps` of it.

    graph: integer, for `fixed_pt`, or of floats, for `floating_pt`. steps: of a sample (the graph's).
    period: from one sample to the next (default: the shortest, steps + the largest lead). offset: steps
    before the first sample arrives. also: names of populations whose spikes leave through ports of their
    own. OutOfRange for a graph that Lava would not compute as it is.

    Ports: a_in (the input's shape), s_out (the first read-out's), `out(name)` of further read-outs and of
    `also`. `saturations` are Vars, by `saturations_of(name)`.
    """

    _runtime = None  # Lava asks for it when a process goes that was refused here

    def __init__(
        self,
        *,
        graph: SpikingGraph,
        steps: int | None = None,
        period: int | None = None,
        offset: int = 0,
        also: Collection[str] = (),
        name: str | None = None,
        log_config: LogConfig | None = None,
    ) -> None:
        if not isinstance(graph, SpikingGraph):
            kind = type(graph).__name__
            raise TypeError(f"Network: graph is a {kind}; give a graph of integers, as netx.read(file) does")
        steps = steps_of(graph, steps)
        shortest = shortest_period(graph, steps)
        period = shortest if period is None else period
        if period < shortest or offset < 0:
            raise ValueError(
                f"Network: period {period}, offset {offset}; a sample takes {shortest} steps: give a period "
                f"of as many or more, and an offset of 0 or more"
            )
        unknown = sorted(set(also) - {p.name for p in graph} | set(also) & {graph.input.name})
        if unknown:
            raise ValueError(f"Network: {', '.join(unknown)}: no populations that send spikes; see graph")
        check_state(graph, "Lava")
        check_int32(graph)
        sent = tuple(dict.fromkeys([*(p.name for p in graph.readouts), *also]))
        super().__init__(
            graph=graph,
            steps=steps,
            period=period,
            offset=offset,
            sent=sent,
            name=name,
            log_config=log_config,
        )
        self.a_in = InPort(shape=graph.input.shape)
        self.s_out = OutPort(shape=graph.readout.shape)
        for i, population in enumerate(sent[1:], 1):
            setattr(self, f"s_out{i}", OutPort(shape=graph[population].shape))
        for i, p in enumerate(counted(graph)):
            setattr(self, f"saturations{i}", Var(shape=(1,), init=0, name=p.name))

    def out(self, name: str) -> OutPort:
        """The port of a read-out, or of a population of `also`."""
        sent: tuple[str, ...] = self.proc_params["sent"]
        if name not in sent:
            raise ValueError(f"Network: {name} has no port; give {', '.join(sent)}, or name it in `also`")
        index = sent.index(name)
        port: OutPort = getattr(self, f"s_out{index}" if index else "s_out")
        return port

    def saturations_of(self, name: str) -> Var:
        """How often a potential of that population was clipped: 0, or what arrived was more than calibration
        showed."""
        names = [p.name for p in counted(self.proc_params["graph"])]
        if name not in names:
            raise ValueError(f"Network: {name} has no potentials; give {', '.join(names)}")
        var: Var = getattr(self, f"saturations{names.index(name)}")
        return var

    def answer(self, sample: int) -> int:
        """The step, from 1, in which the read-out first holds all of a sample."""
        graph, steps, period, offset = (
            self.proc_params[key] for key in ("graph", "steps", "period", "offset")
        )
        return offset + sample * period + latency(graph, graph.readout.name, steps)


def counted(graph: SpikingGraph) -> list[SNM | ReadOut]:
    """The populations that have potentials which may be clipped."""
    return [p for p in graph if isinstance(p, SNM | ReadOut)]
