"""What the spikes, the integers and the simulator cost: accuracy, or R2 of values, at every T, and what
equals what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dnisnm_lava.backends import ann, batched, lava_cpu
from dnisnm_lava.backends.lava_cpu import LAVA, Lava
from dnisnm_lava.backends.results import Difference, Run
from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import marks, outputs, sanity, tallies, weak_spots
from dnisnm_lava.evaluation.marks import Marks
from dnisnm_lava.evaluation.outputs import Targets
from dnisnm_lava.evaluation.sanity import Alarm, SetUp
from dnisnm_lava.evaluation.session import NOTHING_KNOWN, SESSION, Session
from dnisnm_lava.evaluation.tallies import (
    Tally,
    activity,
    alone,
    branch,
    guessed,
    measured,
    number,
    said,
    scores,
)
from dnisnm_lava.evaluation.verification import verify
from dnisnm_lava.ir import SNM, SpikingGraph, checked_pairs
from dnisnm_lava.ir.integers import check_images
from dnisnm_lava.ir.timing import most_ahead
from dnisnm_lava.measures import AUTO, Asked, Measure, Score
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.system.progress import Progress

STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Activity:
    """One population over all images and steps of the integer run."""

    name: str
    neurons: int
    dead_neurons: int
    spikes_up: int
    spikes_down: int
    saturations: int


@dataclass(frozen=True)
class Comparison:
    """measure: what was measured. scores: {"ann": Score, "float": {T: Score}, "integer": ..., "lava": ...}
    against the labels on so many `images`, Lava on the first of them; without labels, of values alone,
    against the ANN's own, which has none then. agreements: {"float": {T: Score against the ANN's own
    answers}, "integer": ...}. equality: what was compared, and how much differed. saturations,
    clipped_inputs, populations: of the integer run at the largest T. alone: {"float": {T: images that get the
    ANN's answer from it and not from the integer SNN}, "integer": the other way}, where an image has one
    answer. outputs: {"float": {output: {T: its values against the ANN's own}}, "integer": ...}, where a
    network has several. further: {output: what is measured of it}, of other outputs with labels or targets of
    their own, and met: {"ann": {output: {0: Score}}, "float": {output: {T: ...}}, "integer": ...}. alarms:
    what makes all of it meaningless, or the integers worse than they need be (`sanity`). marks: what each
    image got, where that is known."""

    measure: Measure
    scores: Mapping[str, Score | Mapping[int, Score]]
    images: Mapping[str, int]
    equality: tuple[Difference, ...]
    saturations: int
    clipped_inputs: int
    dead_neurons: int
    populations: tuple[Activity, ...]
    agreements: Mapping[str, Mapping[int, Score]]
    alone: Mapping[str, Mapping[int, int]]
    alarms: tuple[Alarm, ...] = ()
    outputs: Mapping[str, Mapping[str, Mapping[int, Score]]] = field(default_factory=dict)
    marks: Marks | None = None
    further: Mapping[str, Measure] = field(default_factory=dict)
    met: Mapping[str, Mapping[str, Mapping[int, Score]]] = field(default_factory=dict)

    @property
    def accuracy(self) -> dict[str, float | dict[int, float]]:
        """The values of `scores`: shares, or R2 where values are measured."""
        return {
            key: _values(found) if isinstance(found, Mapping) else found.value
            for key, found in self.scores.items()
        }

    @property
    def agreement(self) -> dict[str, dict[int, float]]:
        """The values of `agreements`, likewise."""
        return {key: _values(found) for key, found in self.agreements.items()}

    @property
    def all_equal(self) -> bool:
        return all(row.different == 0 for row in self.equality)


def _values(found: Mapping[int, Score]) -> dict[int, float]:
    return {t: score.value for t, score in found.items()}


def compare(
    nets: Networks,
    images: Images,
    labels: Labels | None = None,
    *,
    steps: tuple[int, ...] = STEPS,
    measure: Asked = AUTO,
    targets: Targets | None = None,
    lava: Lava = LAVA,
    session: Session = SESSION,
) -> Comparison:
    """Accuracy (or R2 of values) of the ANN, the float SNN, the integer SNN and Lava after each of `steps`
    (those up to the graph's own), and the equalities of `verify` on the first images of `lava` (0: no Lava at
    all).

    images: (N, *input shape). labels: class indices (N,), or (N, H, W) of maps, 0 and 1 for binary answers,
    or targets in the shape of the output (default: what comes with the images). measure: `auto`, one of
    measures.KINDS, or an `Ask`; `values` needs no labels: it is the distance from the ANN's own then.
    targets: {output, by name or index: its own labels or targets (N, ...)}; outputs other than the measured
    one are measured by theirs, too.
    """
    check_images(nets.integer, "compare")
    steps = checked(steps, nets.integer.steps, lava.images)
    x, y = checked_pairs(nets.analog, images, labels)
    aim = outputs.wanted(nets.analog, len(x), y, targets, measure)
    found, y = aim.measure, aim.labels
    heard = answered(nets, x, y, measure=found, further=aim.further, steps=steps, session=session)
    on_lava = first_on_lava(nets, x, y, measure=found, steps=steps, lava=lava, session=session)
    return comparison(nets.integer, found, tally_of(heard, found), on_lava, session.set_up, aim.measures)


def wanted(values: np.ndarray, measure: Measure, labels: np.ndarray | None) -> dict[str, np.ndarray]:
    """{"labels": (N, *spots), where there are some, "ann": the ANN's own answers}, of its values (N,
    *shape)."""
    told = {} if labels is None or not measure.labels else {"labels": measure.wanted(labels)}
    return {**told, "ann": measure.said(values)}


@dataclass(frozen=True, eq=False)
class Answered:
    """What each network says of the same images. ann: (N, *shape of the output), the ANN's values. right:
    {"labels": (N, *spots), where there are some, "ann": the ANN's answers}. said: {"float": {T: answers (N,
    *spots)}, "integer": ...}. activities: {"float": spikes and saturations, as a tally, "integer": ...}.
    outputs: {"float": the raw values of each of several outputs, as a tally, "integer": ...}. met: {"ann": of
    further outputs with labels, as a tally, "float": ..., "integer": ...}."""

    ann: np.ndarray
    right: Mapping[str, np.ndarray]
    said: Mapping[str, Mapping[int, np.ndarray]]
    activities: Mapping[str, Tally]
    outputs: Mapping[str, Tally]
    met: Mapping[str, Tally] = field(default_factory=dict)


def answered(
    nets: Networks,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    measure: Measure,
    steps: tuple[int, ...],
    further: Mapping[str, tuple[Measure, np.ndarray]] | None = None,
    session: Session = SESSION,
) -> Answered:
    """The ANN, the float and the integer SNN on images (N, *input shape), read after each of `steps`.
    further: {another output: (its measure, its labels (N, ...))}."""
    others = further or {}
    output = measure.output or nets.analog.readout.name
    names = list(dict.fromkeys((output, *outputs.measures(nets.analog))))
    progress = session.stages("ANN")
    all_values = ann.outputs(nets.analog, images, names, device=session.device, progress=progress)
    values, each = all_values[output], outputs.own(nets.analog, all_values)
    answers, activities, raw = {}, {}, {}
    own = {name: {0: other.said(all_values[name])} for name, (other, _) in others.items()}
    met = {"ann": outputs.met(own, others)}
    for key, graph in (("float", nets.spiking), ("integer", nets.integer)):
        progress = session.stages(f"{key} SNN")

        def runner(t: int, graph: SpikingGraph = graph, progress: Progress | None = progress) -> Run:
            return batched.run(
                graph, images, steps=t, device=session.device, memory=session.memory, progress=progress
            )

        run, answers[key] = answers_at_each(graph, runner, measure, steps)
        activities[key] = activity(run)
        raw[key] = outputs.counted(graph, run, each, readable(graph, steps))
        met[key] = outputs.met_by(run, others, readable(graph, steps))
    return Answered(values, wanted(values, measure, labels), answers, activities, raw, met)


def tallied(
    nets: Networks,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    measure: Measure,
    steps: tuple[int, ...],
    further: Mapping[str, tuple[Measure, np.ndarray]] | None = None,
    session: Session = SESSION,
) -> Tally:
    """The tally of what they say: tallies of parts of the images add up."""
    found = answered(nets, images, labels, measure=measure, steps=steps, further=further, session=session)
    return tally_of(found, measure)


def tally_of(found: Answered, measure: Measure) -> Tally:
    """{ann, float, integer: what each says of the images; alone: images with the ANN's answer from one of the
    two SNNs}."""
    right = found.right
    told = guessed(measure, right["ann"], right.get("labels"))
    summed: Tally = {
        "ann": {
            "images": len(found.ann),
            **measured({0: right["ann"]}, measure, right),
            "guessed": told,
            "met": found.met.get("ann", {}),
        }
    }
    met: dict[str, dict[int, np.ndarray]] = {}
    for key, answers in found.said.items():
        summed[key] = {
            **measured(answers, measure, right),
            **found.activities[key],
            "outputs": found.outputs[key],
            "met": found.met.get(key, {}),
        }
        met[key] = {t: own == right["ann"] for t, own in answers.items()} if measure.is_share else {}
    summed["alone"] = alone(met["float"], met["integer"])
    summed[tallies.MARKS] = marks.tallied(found.said, right, measure)
    return summed


def readable(graph: SpikingGraph, steps: tuple[int, ...]) -> tuple[int, ...]:
    """Those of `steps` at which one run of the last of them can be read."""
    return steps[-1:] if most_ahead(graph) else steps


@dataclass(frozen=True)
class OnLava:
    """The first images on Lava: `equality` as in `verify`, and the tally."""

    equality: tuple[Difference, ...]
    tally: Tally


def first_on_lava(
    nets: Networks, images: np.ndarray, labels: np.ndarray | None, *, lava: Lava, **how: Any
) -> OnLava | None:
    """The first images of `lava` on Lava, as of `compared_on_lava`; None where it has none."""
    if not lava.images:
        return None
    first = images[: lava.images], None if labels is None else labels[: lava.images]
    return compared_on_lava(nets, *first, lava=lava, **how)


def compared_on_lava(
    nets: Networks,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    measure: Measure,
    steps: tuple[int, ...],
    lava: Lava = LAVA,
    session: Session = SESSION,
) -> OnLava:
    """All of `images` on Lava, whatever number `lava` says."""
    checked = verify(
        nets.integer,
        images,
        steps=steps[-1],
        spiking=nets.spiking,
        device=session.device,
        lava=lava,
        stages=session.stages,
    )

    def runner(t: int) -> Run:
        if t == steps[-1]:
            return checked.lava
        return lava_cpu.run(
            nets.integer, images, steps=t, record=False, deadline=lava.deadline, lava_python=lava.python
        )

    values = ann.ann(nets.analog, images, readout=measure.output, device=session.device)
    right = wanted(values, measure, labels)
    run, answers = answers_at_each(nets.integer, runner, measure, steps)
    return OnLava(checked.equality, {**measured(answers, measure, right), **activity(run)})


def comparison(
    integer: SpikingGraph,
    measure: Measure,
    summed: Tally,
    on_lava: OnLava | None,
    set_up: SetUp = NOTHING_KNOWN,
    further: Mapping[str, Measure] | None = None,
) -> Comparison:
    """From the tallies of all images, and of the first ones on Lava. further: what is measured of other
    outputs."""
    others = further or {}
    runs = {"float": branch(summed, "float"), "integer": branch(summed, "integer")}
    if on_lava is not None:
        runs["lava"] = on_lava.tally
    against = "labels" if measure.labels else "ann"
    around = {name: branch(summed, "ann", name, "spread") for name in {against, "ann"}}
    found: dict[str, Score | Mapping[int, Score]] = {
        key: scores(t, measure, against, around[against]) for key, t in runs.items()
    }
    own = scores(branch(summed, "ann"), measure, against)[0] if measure.labels else None
    if own is not None:
        found = {"ann": own, **found}
    images = {"ann": number(summed, "ann", "images"), **{key: number(t, "images") for key, t in runs.items()}}
    populations = tuple(_activity(p, runs["integer"]) for p in integer.of(SNM))
    saturations = branch(runs["integer"], "saturations")
    parted = {
        key: {int(t): number(summed, "alone", key, t) for t in branch(summed, "alone", key)}
        for key in ("float", "integer")
    }
    broken = tallies.alarms(branch(summed, "ann", "guessed"), "test images", set_up.expected, set_up.causes)
    broken += sanity.of_values(own, "test images", set_up.causes)
    worse = integers_alarm(
        integer, {name: number(saturations, name) for name in saturations}, parted, images["integer"]
    )
    return Comparison(
        measure,
        found,
        images,
        () if on_lava is None else on_lava.equality,
        sum(number(saturations, name) for name in saturations),
        number(runs["integer"], "clipped_inputs"),
        sum(integer.dead_neurons.values()),
        populations,
        {key: scores(runs[key], measure, "ann", around["ann"]) for key in ("float", "integer")},
        parted,
        (*(broken or set_up.alarms or ()), *worse),
        {key: outputs.fits(integer, runs[key]) for key in ("float", "integer")},
        marks.joined([summed], measure),
        others,
        {key: outputs.scores_of(branch(summed, key), others) for key in ("ann", "float", "integer")},
    )


def integers_alarm(
    integer: SpikingGraph,
    saturations: Mapping[str, int],
    parted: Mapping[str, Mapping[int, int]],
    images: int,
) -> tuple[Alarm, ...]:
    """An alarm for the T at which the integer SNN loses most, by a test that counts all of them."""
    worst = max(parted["float"], key=lambda t: (parted["float"][t] - parted["integer"][t], t), default=None)
    if worst is None:
        return ()
    where = weak_spots.look_at(integer, saturations)
    return sanity.integers(
        parted["float"][worst], parted["integer"][worst], images, worst, where, len(parted["float"])
    )


def checked(steps: tuple[int, ...], most: int, lava_images: int) -> tuple[int, ...]:
    """Those of `steps` that a graph of `most` steps can run, ascending; OutOfRange where there is none."""
    fitting = tuple(sorted({t for t in steps if 1 <= t <= most}))
    if not fitting:
        raise OutOfRange(
            f"steps: none of {steps} lies within 1 and the graph's {most}; convert with more steps"
        )
    if lava_images < 0:
        raise OutOfRange(f"lava_images: {lava_images} given; give 0 (no Lava) or more")
    return fitting


def meaningful_steps(graph: SpikingGraph, steps: int) -> tuple[int, ...]:
    """The T at which a run of `steps` can be read: each of STEPS up to it, as a run is the beginning of every
    longer one; only `steps` itself where a population leads, as a neuron's first spike then already knows
    currents that a shorter run lacks."""
    if most_ahead(graph):
        return (steps,)
    return tuple(sorted({t for t in STEPS if t <= steps} | {steps}))


def answers_at_each(
    graph: SpikingGraph, runner: Callable[[int], Run], measure: Measure, steps: tuple[int, ...]
) -> tuple[Run, dict[int, np.ndarray]]:
    """The longest run, and {T: answers (N, *spots)} after each of `steps`."""
    longest = runner(steps[-1])
    apart = most_ahead(graph)  # then no run is the beginning of a longer one
    return longest, {t: said(runner(t) if apart and t != steps[-1] else longest, measure, t) for t in steps}


def _activity(p: SNM, run: Tally) -> Activity:
    up, down = number(run, "spikes", p.name, "up"), number(run, "spikes", p.name, "down")
    return Activity(
        p.name, p.vth.size, int(np.count_nonzero(p.vth == 0)), up, down, number(run, "saturations", p.name)
    )
