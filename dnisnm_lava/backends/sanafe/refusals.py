"""What SANA-FE's neurons have not: refused by name, before anything runs there."""

from __future__ import annotations

from dnisnm_lava.backends.results import Run
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, MaxPool, Population, SpikingGraph
from dnisnm_lava.ir.integers import check_images, check_state


def refuse(graph: SpikingGraph) -> None:
    """OutOfRange for the first of what SANA-FE's neurons have not, by the population's name."""
    if not graph.is_integer:
        raise OutOfRange("SANA-FE: the graph holds floats, and it compares integers; quantize it first")
    check_images(graph, "SANA-FE")
    check_state(graph, "SANA-FE")
    for p in graph:
        reason = _reason(p)
        if reason:
            raise OutOfRange(
                f"{p.name}: {reason}, and SANA-FE's neurons send 1 or nothing; convert for binary spikes "
                f"(--spikes binary --levels 1) without it, or replay its spikes instead"
            )


def _reason(p: Population) -> str:
    if isinstance(p, MaxPool | Gate):
        return f"is a {type(p).__name__}, whose values go up and down"
    if not isinstance(p, SNM):
        return ""
    found = {
        "has a curve": p.curve is not None,
        "is two-sided, and sends values below 0": p.two_sided,
        f"sends up to {p.levels} levels in a step": p.levels > 1,
        "has a dead band": p.band > 0,
        f"holds {p.most} levels at most": p.most > 0,
    }
    return next((reason for reason, it_is in found.items() if it_is), "")


def refuse_run(ours: Run) -> None:
    """OutOfRange where, on these images, a neuron took a spike back, or saturated: there SANA-FE's differ."""
    for name, (_, down) in ours.spike_counts.items():
        if down:
            raise OutOfRange(
                f"{name}: takes back {down} spikes on these images, and SANA-FE's neurons take nothing back; "
                f"convert with --lead {ours.steps - 1}, with which no neuron does, give images without, or "
                f"replay its spikes instead"
            )
    for name, saturated in ours.saturations.items():
        if saturated:
            raise OutOfRange(
                f"{name}: {saturated} potentials saturate at 24 bits on these images, and SANA-FE's never "
                f"do; give images without"
            )
