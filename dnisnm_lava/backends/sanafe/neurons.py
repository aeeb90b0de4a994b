"""Networks of binary spikes on SANA-FE, neuron for neuron."""

from __future__ import annotations

from dnisnm_lava.backends import reference
from dnisnm_lava.backends.lava_cpu.parent import DEADLINE
from dnisnm_lava.backends.results import Difference, Run, count_spikes, difference
from dnisnm_lava.backends.sanafe.parent import in_child, require_sanafe
from dnisnm_lava.backends.sanafe.refusals import refuse, refuse_run
from dnisnm_lava.backends.sanafe.windows import Plan
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import SNM, SpikingGraph
from dnisnm_lava.ir.integers import encode_images, steps_of
from dnisnm_lava.ir.timing import shortest_period
from dnisnm_lava.system.progress import Progress


def verify(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    deadline: float = DEADLINE,
    progress: Progress | None = None,
) -> Difference:
    """Every spike of every population and every sum of the read-outs on `images` (N, *input shape), as the
    reference and as SANA-FE have them. `evaluation.equalities.told([...])` says it in a line.

    progress(done, of): in time steps of the chip. OutOfRange, before anything runs there, where the graph has
    what its neurons have not (`refusals.refuse`), or where on these images a neuron takes back or saturates;
    BackendMissing where sanafe is not installed, BackendFailed where its process fails or outlives `deadline`
    (seconds).
    """
    require_sanafe()
    steps = steps_of(graph, steps)
    refuse(graph)
    ours = reference.run(graph, images, steps=steps)
    refuse_run(ours)
    theirs = run(graph, images, steps=steps, deadline=deadline, progress=progress)
    return difference("integer reference", ours, "SANA-FE", theirs)


def run(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    deadline: float = DEADLINE,
    progress: Progress | None = None,
) -> Run:
    """What SANA-FE's neurons say, whatever ours would: they take nothing back, and saturate at nothing."""
    steps = steps_of(graph, steps)
    refuse(graph)
    x, clipped = encode_images(graph, images)
    plan = Plan(graph, steps, shortest_period(graph, steps), len(x))
    last = (len(x) - 1) * plan.period + max(plan.start[p.name] + plan.length(p) for p in graph)
    job = {
        "ask": "simulate",
        "groups": plan.groups(),
        "edges": plan.edges(),
        "events": plan.events(x),
        "steps": last,
    }
    arrays = in_child(job, deadline=deadline, progress=progress)
    spikes = {p.name: plan.spikes(p, arrays) for p in graph.of(SNM)}
    counts = {name: count_spikes(trace) for name, trace in spikes.items()}
    sums, further = graph.outputs({p.name: plan.sums(p, arrays) for p in graph.readouts})
    return Run(sums, spikes, counts, {}, clipped, further, graph.units, graph.functions)
