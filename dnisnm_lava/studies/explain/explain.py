"""`explain`: the error of each population in parts, and what else tells why the accuracy is what it is. See `explanation`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dnisnm_lava.backends import ann
from dnisnm_lava.backends.results import Progress
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import sanity, weak_spots
from dnisnm_lava.evaluation.sanity import Alarm
from dnisnm_lava.ir import SNM, AnalogGraph, Input, SpikingGraph, checked_pairs, checked_steps
from dnisnm_lava.measures import AUTO, Measure
from dnisnm_lava.stages import calibration as maxima
from dnisnm_lava.stages.quantization import state_ranges
from dnisnm_lava.studies.explain import disagreements, headroom, rates, remedies
from dnisnm_lava.studies.explain import first_wrong as findings
from dnisnm_lava.studies.explain.disagreements import Outcome
from dnisnm_lava.studies.explain.observed import Observed, explained
from dnisnm_lava.studies.explain.rates import Graphs, Runs
from dnisnm_lava.studies.explain.remedies import Setting
from dnisnm_lava.studies.explain.values import Explained, Explanation, Remedy
from dnisnm_lava.system.machine import free_memory

TOLERANCE = 0.1  # of a population's power
SHOWN = 16  # images that disagree
AT_ONCE = 16  # images; more gain nothing
ENOUGH = 1 << 30  # bytes of spikes and activations: of large networks a few images at once are as fast
UNKNOWN = Setting()


def explain(
    analog: AnalogGraph,
    spiking: SpikingGraph,
    integer: SpikingGraph,
    images: Any,
    *,
    steps: int | None = None,
    labels: Any = None,
    measure: str | Measure = AUTO,
    output: str | int | None = None,
    ignore_label: int | None = None,
    calibration: Any = None,
    tolerance: float = TOLERANCE,
    raster: int = 0,
    shown: int = SHOWN,
    memory: int | None = None,
    device: str = "cpu",
    expected: float | None = None,
    causes: Sequence[str] = sanity.CAUSES,
    alarms: Sequence[Alarm] = (),
    setting: Setting = UNKNOWN,
    progress: Progress | None = None,
) -> Explanation:
    """Why the integer network `integer`, of the float network `spiking` of `analog`, says what it says of `images`
    (N, *input shape), in `steps` (default: the graph's).

    labels: (N,) classes, or (N, H, W) of outputs that are maps, 0 and 1, or targets, for accuracies. measure, output, ignore_label: as
    in `compare`; without labels, the values of outputs that may hold anything are compared with the ANN's.
    calibration: the images of the thresholds, an array or
    an iterable of batches, or their Statistics: the threshold maps compare them with `images` (default: the even images with the
    odd). tolerance: mean squared error, by the mean squared activation, above which a population counts as wrong. raster: index of
    the image whose spikes are drawn. shown: disagreements to keep. memory: bytes for spikes and activations (default: a quarter of
    what is free, 1 GiB at most): as many images are taken at once, one at least, 16 at most. expected: the ANN's accuracy, a share;
    causes: what may be wrong with the set-up, the likeliest first; alarms: those raised before. setting: what the networks were made
    with, so that no remedy says what is set already. progress(done, of): in images.
    """
    graphs = Graphs(analog, spiking, integer)
    _check(graphs)
    x, y = checked_pairs(analog, images, labels)
    y = None if labels is None else y
    asked = measure if isinstance(measure, Measure) else _measure(analog, y, measure, output, ignore_label)
    wanted = None if y is None or not asked.labels else asked.wanted(y)
    steps = checked_steps(integer.steps if steps is None else steps)
    if not 0 <= raster < len(x):
        raise OutOfRange(f"raster: image {raster} asked for, of {len(x)}; give an index from 0 to {len(x) - 1}")
    stats = None if calibration is None else _statistics(analog, calibration, device)
    train = {} if stats is None else {name: stats.maxima(name) for name in stats.high}
    seen = {p.name: Observed(p, spiking[p.name], integer[p.name]) for p in analog if not isinstance(p, Input)}
    outcomes: list[Outcome] = []
    clipped = 0
    for first, chunk in _chunks(x, graphs, steps, memory):
        runs = rates.run(graphs, chunk, steps, device)
        right = None if wanted is None else wanted[first : first + len(chunk)]
        outcomes.append(_observe(graphs, runs, seen, first, raster, asked, right))
        clipped += runs.integer.clipped_inputs
        if progress:
            progress(first + len(chunk), len(x))
    found = disagreements.summed(outcomes)
    ranges = {r.name: r for r in state_ranges(integer)}
    rows = tuple(explained(o, steps, len(x), ranges, train.get(name)) for name, o in seen.items())
    codes = tuple(weak_spots.codes(integer, spiking))

    saturating = max((p for p in rows if p.saturations), key=lambda p: p.saturations, default=None)

    def advice(p: Explained, part: str) -> tuple[Remedy, ...]:
        return remedies.remedies(p, part, setting, steps, tuple(c for c in codes if c.population == p.name), saturating)

    first_wrong = findings.first_wrong(rows, tolerance, advice)
    sentence, advised = (first_wrong.sentence, first_wrong.remedies) if first_wrong else findings.all_well(rows, tolerance, advice)
    return Explanation(
        len(x), steps, tolerance, rows, first_wrong, sentence,
        disagreements.scores(asked, found, "ann", len(x)),
        disagreements.scores(asked, found, "labels", len(x)), found.disagreements[:shown], len(found.disagreements),
        raster, _sets(stats, len(x)), clipped, asked,
        (*_broken(found, expected, causes, alarms), *_worse(graphs, rows, found, len(x), steps)), advised,
    )  # fmt: skip


def _broken(found: Outcome, expected: float | None, causes: Sequence[str], alarms: Sequence[Alarm]) -> Sequence[Alarm]:
    """The alarms of the ANN on these images, else those raised before."""
    return sanity.of_answers(found.answers, "of these images", expected, causes) or alarms


def _worse(graphs: Graphs, rows: Sequence[Explained], found: Outcome, images: int, steps: int) -> tuple[Alarm, ...]:
    """The alarm of integers that lose what the float SNN has, and where."""
    where = weak_spots.look_at(graphs.integer, {p.name: p.saturations for p in rows}, graphs.spiking)
    return sanity.integers(found.alone["float"], found.alone["integer"], images, steps, where)


def _check(graphs: Graphs) -> None:
    names = [[p.name for p in g] for g in (graphs.analog, graphs.spiking, graphs.integer)]
    if names[0] != names[1] or names[1] != names[2]:
        raise OutOfRange("explain: the three graphs have other populations; give the ANN, its float network and that one's integers")
    if graphs.spiking.is_integer or not graphs.integer.is_integer:
        raise OutOfRange("explain: give the float network of convert or fit, then the integer network that quantize made of it")
    if any((p.unit != 1).any() for p in graphs.spiking.of(SNM)):
        raise OutOfRange("explain: the float network's weights are normalized; convert with branch='balance'")


def _measure(analog: AnalogGraph, labels: np.ndarray | None, kind: str, output: str | int | None, ignored: int | None) -> Measure:
    """Without labels, and where none is asked for: classes of outputs that hold nothing else, the values of others."""
    try:
        return analog.measure(labels, kind, output, ignored)
    except OutOfRange:
        if labels is not None or kind != AUTO:
            raise
        return analog.measure(None, "values", output)


def _statistics(analog: AnalogGraph, calibration: Any, device: str) -> maxima.Statistics:
    if isinstance(calibration, maxima.Statistics):
        return calibration
    batches = [calibration] if hasattr(calibration, "shape") else calibration
    return maxima.calibrate(analog, batches, lambda graph, batch: ann.preactivations(graph, batch, device))


def _sets(stats: maxima.Statistics | None, images: int) -> tuple[str, str]:
    """What the threshold maps compare, in words."""
    if stats is None:
        return "the even images", "the odd images"
    return f"{stats.images:,} calibration images", f"these {images:,} images"


def _chunks(x: np.ndarray, graphs: Graphs, steps: int, memory: int | None) -> Iterator[tuple[int, np.ndarray]]:
    """(index of the first, images): all spikes of both networks, and a few times the largest population's currents and rates, fit."""
    sizes = [int(np.prod(p.shape)) for p in graphs.integer]
    bytes_each = steps * (12 * sum(sizes) + 24 * max(sizes)) + 100 * max(sizes)
    count = max(1, min(AT_ONCE, (min(free_memory() // 4, ENOUGH) if memory is None else memory) // bytes_each))
    for first in range(0, len(x), count):
        yield first, x[first : first + count]


def _observe(
    graphs: Graphs, runs: Runs, seen: dict[str, Observed], first: int, raster: int, measure: Measure, labels: np.ndarray | None
) -> Outcome:
    """Add to `seen` what some images show, from index `first` on; their answers."""
    values: list[np.ndarray] = []
    for name, found in rates.rates(graphs, runs):
        seen[name].add_rates(found, first)
        if name == measure.output:
            values = [r.cpu().numpy().reshape(len(r), *measure.shape) for r in (found[0], found[4], found[5])]
    for name, spikes in runs.integer.spikes.items():
        seen[name].add_spikes(spikes)
        if first <= raster < first + len(spikes):
            seen[name].draw(spikes[raster - first])
    for name, (v, m) in headroom.reached(graphs.integer, runs.images, runs.integer, runs.device).items():
        seen[name].add_state(v, m, runs.integer.saturations[name])
    return disagreements.outcome(measure, values, labels, first)
