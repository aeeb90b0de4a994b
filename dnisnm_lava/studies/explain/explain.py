"""`explain`: the error of each population in parts, and what else tells why the accuracy is what it is. See
`values`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnisnm_lava import measures
from dnisnm_lava.backends.observing import Observe
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import sanity, weak_spots
from dnisnm_lava.evaluation.sanity import Alarm, SetUp
from dnisnm_lava.evaluation.session import SESSION, Session
from dnisnm_lava.ir import SNM, AnalogGraph, Input, checked_pairs, checked_steps
from dnisnm_lava.ir.integers import check_images, state_ranges
from dnisnm_lava.measures import AUTO, Ask, Asked, Measure, Score, ask
from dnisnm_lava.stages.calibration import Statistics
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.explain import disagreements, rates, remedies
from dnisnm_lava.studies.explain import first_wrong as findings
from dnisnm_lava.studies.explain.disagreements import Outcome
from dnisnm_lava.studies.explain.observed import Observed, explained
from dnisnm_lava.studies.explain.rates import Runs
from dnisnm_lava.studies.explain.remedies import Setting
from dnisnm_lava.studies.explain.values import Explained, Explanation, Remedy
from dnisnm_lava.system.machine import free_memory
from dnisnm_lava.system.progress import tell

AT_ONCE = 16  # images; more gain nothing
ENOUGH = 1 << 30  # bytes of spikes and activations: of large networks a few images at once are as fast


@dataclass(frozen=True)
class Detail:
    """What `explain` keeps. tolerance: mean squared error, by the mean squared activation, above which a
    population counts as wrong. raster: index of the image whose spikes are drawn. disagreements: to keep.
    observe: is told of the integer network's run (`backends.observing`), for who counts on the same images.
    """

    tolerance: float = 0.1
    raster: int = 0
    disagreements: int = 16
    observe: Observe | None = None


DETAIL = Detail()


def explain(
    nets: Networks,
    images: Any,
    labels: Any = None,
    *,
    steps: int | None = None,
    measure: Asked = AUTO,
    detail: Detail = DETAIL,
    session: Session = SESSION,
) -> Explanation:
    """Why the integer network of `nets` says what it says of `images` (N, *input shape), in `steps` (default:
    the graph's).

    labels: (N,) classes, or (N, H, W) of outputs that are maps, 0 and 1, or targets, for accuracies. measure:
    as in `compare`; without labels, the values of outputs that may hold anything are compared with the ANN's.
    Where `nets` has statistics, the threshold maps compare what calibration saw with `images`, else the even
    images with the odd; where it has its recipe, no remedy says what is set already. session: memory for
    spikes and activations is 1 GiB at most: as many images are taken at once, one at least, 16 at most.
    """
    _check(nets)
    check_images(nets.integer, "explain")
    analog, spiking, integer = nets.analog, nets.spiking, nets.integer
    x, y = checked_pairs(analog, images, labels)
    y = None if labels is None else y
    asked = measure if isinstance(measure, Measure) else _measure(analog, y, ask(measure))
    wanted = None if y is None or not asked.labels else asked.wanted(y)
    steps = checked_steps(integer.steps if steps is None else steps)
    raster, tolerance = detail.raster, detail.tolerance
    if not 0 <= raster < len(x):
        raise OutOfRange(
            f"raster: image {raster} asked for, of {len(x)}; give an index from 0 to {len(x) - 1}"
        )
    stats, setting = nets.statistics, Setting.of(nets)
    train = {} if stats is None else {name: stats.maxima(name) for name in stats.high}
    seen = {p.name: Observed(p, spiking[p.name], integer[p.name]) for p in analog if not isinstance(p, Input)}
    outcomes: list[Outcome] = []
    clipped, progress = 0, session.stages("explain")
    for first, chunk in _chunks(x, nets, steps, session.memory):
        runs = rates.run(nets, chunk, steps, session.device, detail.observe)
        right = None if wanted is None else wanted[first : first + len(chunk)]
        outcomes.append(_observe(nets, runs, seen, first, raster, asked, right))
        clipped += runs.integer.clipped_inputs
        tell(progress, first + len(chunk), len(x))
    found = disagreements.summed(outcomes)
    ranges = {r.name: r for r in state_ranges(integer)}
    rows = tuple(explained(o, steps, len(x), ranges, train.get(name)) for name, o in seen.items())
    codes = tuple(weak_spots.codes(integer, spiking))

    saturating = max((p for p in rows if p.saturations), key=lambda p: p.saturations, default=None)

    def advice(p: Explained, part: str) -> tuple[Remedy, ...]:
        return remedies.remedies(
            p, part, setting, steps, tuple(c for c in codes if c.population == p.name), saturating
        )

    first_wrong = findings.first_wrong(rows, tolerance, advice)
    sentence, advised = (
        (first_wrong.sentence, first_wrong.remedies)
        if first_wrong
        else findings.all_well(rows, tolerance, advice)
    )
    own = disagreements.scores(asked, found, "labels", len(x))
    return Explanation(
        len(x),
        steps,
        tolerance,
        rows,
        first_wrong,
        sentence,
        disagreements.scores(asked, found, "ann", len(x)),
        own,
        found.disagreements[: detail.disagreements],
        len(found.disagreements),
        raster,
        _sets(stats, len(x)),
        clipped,
        asked,
        (*_broken(found, own, session.set_up), *_worse(nets, rows, found, len(x), steps)),
        advised,
    )


def _broken(found: Outcome, own: Mapping[str, Score], set_up: SetUp) -> Sequence[Alarm]:
    """The alarms of the ANN on these images, by answers or by `own` scores against labels, else those raised
    before."""
    return (
        sanity.of_answers(found.answers, "of these images", set_up.expected, set_up.causes)
        or sanity.of_values(own.get("ann"), "of these images", set_up.causes)
        or set_up.alarms
        or ()
    )


def _worse(
    nets: Networks, rows: Sequence[Explained], found: Outcome, images: int, steps: int
) -> tuple[Alarm, ...]:
    """The alarm of integers that lose what the float SNN has, and where."""
    where = weak_spots.look_at(nets.integer, {p.name: p.saturations for p in rows}, nets.spiking)
    return sanity.integers(found.alone["float"], found.alone["integer"], images, steps, where)


def _check(nets: Networks) -> None:
    names = [[p.name for p in g] for g in (nets.analog, nets.spiking, nets.integer)]
    if names[0] != names[1] or names[1] != names[2]:
        raise OutOfRange(
            "explain: the three graphs have other populations; give the ANN, its float network and that "
            "one's integers"
        )
    if nets.spiking.is_integer or not nets.integer.is_integer:
        raise OutOfRange(
            "explain: give the float network of convert or fit, then the integer network that quantize "
            "made of it"
        )
    if any((p.unit != 1).any() for p in nets.spiking.of(SNM)):
        raise OutOfRange("explain: the float network's weights are normalized; convert with branch='balance'")


def _measure(analog: AnalogGraph, labels: np.ndarray | None, wanted: Ask) -> Measure:
    """Without labels, and where none is asked for: classes of outputs that hold nothing else, the values of
    others."""
    try:
        return measures.of(analog, labels, wanted.kind, wanted.output, wanted.ignored)
    except OutOfRange:
        if labels is not None or wanted.kind != AUTO:
            raise
        return measures.of(analog, None, "values", wanted.output)


def _sets(stats: Statistics | None, images: int) -> tuple[str, str]:
    """What the threshold maps compare, in words."""
    if stats is None:
        return "the even images", "the odd images"
    return f"{stats.images:,} calibration images", f"these {images:,} images"


def _chunks(
    x: np.ndarray, nets: Networks, steps: int, memory: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """(index of the first, images): all spikes of both networks, and a few times the largest population's
    currents and rates, fit."""
    sizes = [int(np.prod(p.shape)) for p in nets.integer]
    bytes_each = steps * (12 * sum(sizes) + 24 * max(sizes)) + 100 * max(sizes)
    count = max(
        1, min(AT_ONCE, (min(free_memory() // 4, ENOUGH) if memory is None else memory) // bytes_each)
    )
    for first in range(0, len(x), count):
        yield first, x[first : first + count]


def _observe(
    nets: Networks,
    runs: Runs,
    seen: dict[str, Observed],
    first: int,
    raster: int,
    measure: Measure,
    labels: np.ndarray | None,
) -> Outcome:
    """Add to `seen` what some images show, from index `first` on; their answers."""
    values: list[np.ndarray] = []
    for name, found in rates.rates(nets, runs):
        seen[name].add_rates(found, first)
        if name == measure.output:
            values = [
                r.cpu().numpy().reshape(len(r), *measure.shape) for r in (found[0], found[-2], found[-1])
            ]
    for name, spikes in runs.integer.spikes.items():
        seen[name].add_spikes(spikes)
        if first <= raster < first + len(spikes):
            seen[name].draw(spikes[raster - first])
    for name, (v, m) in runs.reached.items():
        seen[name].add_state(v, m, runs.integer.saturations[name])
    return disagreements.outcome(measure, values, labels, first)
