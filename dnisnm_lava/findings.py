"""Which population goes wrong first, in a sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from dnisnm_lava.explanation import OWN, Explained, Finding

MEANINGS = {
    "clipping": "activations above what K levels of theta a step can say",
    "discreteness": "rounding to theta / T",
    "inherited": "what its sources sent wrongly",
    "asynchronism": "currents that come unevenly or late, against the same total in equal steps",
    "integers": "the integer SNN against the float SNN",
}


def first_wrong(rows: Sequence[Explained], tolerance: float, steps: int) -> Finding | None:
    """The first population whose error exceeds `tolerance` of its power; what dominates there, and where that comes from."""
    wrong = next((p for p in rows if p.total.mean_squared > tolerance), None)
    return None if wrong is None else _finding(wrong, _upstream(wrong, rows), tolerance, steps)


def _upstream(p: Explained, rows: Sequence[Explained]) -> list[Explained]:
    """p, and all that it hears of, in the order of the graph."""
    heard = {p.name}
    for q in reversed(rows):
        if q.name in heard:
            heard.update(q.sources)
    return [q for q in rows if q.name in heard]


def all_well(rows: Sequence[Explained], tolerance: float) -> str:
    """The sentence where no population goes wrong."""
    worst = max(rows, key=lambda p: p.total.mean_squared)
    part = _largest(worst, tuple(worst.parts))
    return (
        f"No population's error exceeds {_percent(tolerance)} of its activations' power; the largest is that of {worst.name}, "
        f"{_percent(worst.total.mean_squared)}; its largest part is {part}, {_percent(size(worst, part))} (parts may cancel)."
    )


def size(p: Explained, part: str) -> float:
    """How large a part is: its mean square; of integers, what they add to the float SNN's."""
    return p.parts[part].contribution if part == "integers" else p.parts[part].mean_squared


def _largest(p: Explained, parts: Sequence[str]) -> str:
    return max(parts, key=lambda part: size(p, part))


def _finding(p: Explained, upstream: Sequence[Explained], tolerance: float, steps: int) -> Finding:
    part = _largest(p, tuple(p.parts))
    origin = p if part != "inherited" else max(upstream, key=lambda q: size(q, _largest(q, OWN)))
    cause = part if part != "inherited" else _largest(origin, OWN)
    value, cause_value = size(p, part), size(origin, cause)
    told = (
        f"{p.name} is the first population whose error exceeds {_percent(tolerance)} of its activations' power: it is "
        f"{_percent(p.total.mean_squared)}, and its largest part is {part} ({_percent(value)}), {MEANINGS[part]}"
    )
    if part == "inherited":
        told += f"; of what the populations up to it add themselves, the largest is {cause} in {origin.name} ({_percent(cause_value)})"
    remedy = _remedy(origin, cause, steps)
    return Finding(p.name, p.total.mean_squared, part, value, origin.name, cause, cause_value, f"{told}. What to do: {remedy}.", remedy)


def _remedy(p: Explained, part: str, steps: int) -> str:
    levels = f"{'relay_levels' if p.kind == 'Relay' else 'levels'}={2 * max(p.levels, 1)}"
    if part == "clipping":
        return f"larger thresholds (threshold=max, more calibration images) or more levels ({levels})"
    if part == "discreteness":
        return f"more steps (steps={2 * steps}) or more levels ({levels})"
    if part == "asynchronism":
        longest = f", or a lead (lead={steps - 1} takes all of it away, for its latency; `dnisnm tune` tries shorter ones)"
        return f"more levels ({levels}), more steps (steps={2 * steps})" + (longest if p.lead < steps - 1 else "")
    if p.saturations:
        return f"quantize again with calibration images like these, since its 24-bit state saturates ({p.saturations:,} times)"
    return "more weight_bits or payload_bits, or rounding=compensated (`dnisnm precision` tells which of them matters)"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
