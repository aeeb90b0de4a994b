"""Which population goes wrong first, in a sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dnisnm_lava.studies.explain import remedies
from dnisnm_lava.studies.explain.values import OWN, Explained, Finding, Remedy

Advice = Callable[[Explained, str], tuple[Remedy, ...]]

MEANINGS = {
    "clipping": "activations above what K levels of theta a step can say",
    "function": "the straight lines that neurons have in place of the ANN's function",
    "discreteness": "rounding to theta / T",
    "inherited": "what its sources sent wrongly",
    "asynchronism": "currents that come unevenly or late, against the same total in equal steps",
    "integers": "the integer SNN against the float SNN",
}


def first_wrong(rows: Sequence[Explained], tolerance: float, advice: Advice) -> Finding | None:
    """The first population whose error exceeds `tolerance` of its power; what dominates there, and where that
    comes from. advice: the remedies for a population's part."""
    wrong = next((p for p in rows if p.total.mean_squared > tolerance), None)
    return None if wrong is None else _finding(wrong, _upstream(wrong, rows), tolerance, advice)


def _upstream(p: Explained, rows: Sequence[Explained]) -> list[Explained]:
    """p, and all that it hears of, in the order of the graph."""
    heard = {p.name}
    for q in reversed(rows):
        if q.name in heard:
            heard.update(q.sources)
    return [q for q in rows if q.name in heard]


def all_well(rows: Sequence[Explained], tolerance: float, advice: Advice) -> tuple[str, tuple[Remedy, ...]]:
    """The sentence where no population goes wrong, and what would lower the largest error."""
    worst = max(rows, key=lambda p: p.total.mean_squared)
    part = _largest(worst, tuple(worst.parts))
    origin, cause = _cause(worst, part, _upstream(worst, rows))
    found = advice(origin, cause)
    traced = "" if part != "inherited" else f", most of it {cause} in {origin.name}"
    return (
        f"No population's error exceeds {_percent(tolerance)} of its activations' power; the largest is "
        f"that of {worst.name}, "
        f"{_percent(worst.total.mean_squared)}; its largest part is {part}, "
        f"{_percent(size(worst, part))}{_beyond(worst, part)}{traced}. "
        f"What would lower it: {remedies.told(found)}."
    ), found


def _cause(p: Explained, part: str, upstream: Sequence[Explained]) -> tuple[Explained, str]:
    """Where a part of p comes from: p itself, or, of what is inherited, the population with the largest own
    part, and that."""
    if part != "inherited":
        return p, part
    origin = max(upstream, key=lambda q: size(q, _largest(q, OWN)))
    return origin, _largest(origin, OWN)


def size(p: Explained, part: str) -> float:
    """How large a part is: its mean square; of integers, what they add to the float SNN's."""
    return p.parts[part].contribution if part == "integers" else p.parts[part].mean_squared


def _beyond(p: Explained, part: str) -> str:
    """A word on a part that is larger than the whole, as it is where another part has the other sign."""
    if size(p, part) <= p.total.mean_squared:
        return ""
    return ", more than the whole, since other parts undo some of it"


def _largest(p: Explained, parts: Sequence[str]) -> str:
    return max(parts, key=lambda part: size(p, part))


def _finding(p: Explained, upstream: Sequence[Explained], tolerance: float, advice: Advice) -> Finding:
    part = _largest(p, tuple(p.parts))
    origin, cause = _cause(p, part, upstream)
    value, cause_value = size(p, part), size(origin, cause)
    told = (
        f"{p.name} is the first population whose error exceeds {_percent(tolerance)} of its activations' "
        f"power: it is "
        f"{_percent(p.total.mean_squared)}, and its largest part is {part} ({_percent(value)}"
        f"{_beyond(p, part)}), {MEANINGS[part]}"
    )
    if part == "inherited":
        told += (
            f"; of what the populations up to it add themselves, the largest is {cause} in "
            f"{origin.name} ({_percent(cause_value)})"
        )
    found = advice(origin, cause)
    remedy = remedies.told(found)
    sentence = f"{told}. What to do: {remedy}."
    return Finding(
        p.name, p.total.mean_squared, part, value, origin.name, cause, cause_value, sentence, remedy, found
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
