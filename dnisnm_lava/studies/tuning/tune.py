"""Which recipe serves a target best: a search over steps, levels, leads, thresholds and corrections that
tells its reasons.

Each phase changes one thing of what is best so far, and says in a sentence what that brought. What cannot
win is not measured to the end (`racing`). Trials are fitted on some images and measured on others; the winner
is fitted on all, and measured once more on images that the search never saw.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dnisnm_lava import measures
from dnisnm_lava.backends import ann, batched
from dnisnm_lava.data.inputs import Device, Images, Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import sanity
from dnisnm_lava.evaluation.sanity import Alarm, SetUp
from dnisnm_lava.evaluation.session import SESSION, Session
from dnisnm_lava.evaluation.tallies import said
from dnisnm_lava.evaluation.trials import Journal
from dnisnm_lava.ir import AnalogGraph, SpikingGraph, checked_pairs
from dnisnm_lava.ir.timing import latency
from dnisnm_lava.measures import AUTO, Ask, Asked, Counts, Measure, Quality, ask
from dnisnm_lava.measures.answers import of_measure, summed
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.calibration import Statistics, calibrate
from dnisnm_lava.stages.fitting import CORRECTIONS
from dnisnm_lava.stages.networks import Networks, follow
from dnisnm_lava.stages.recipes import BEST, Recipe
from dnisnm_lava.studies.tuning import words
from dnisnm_lava.studies.tuning.pareto import Target, Trial, front, lead_told
from dnisnm_lava.studies.tuning.phases import (
    DIALS,
    LEVELS,
    PHASES,
    STEPS,
    Phase,
    Search,
    most_trials,
)
from dnisnm_lava.studies.tuning.racing import ROUNDS, Pruned, beaten, hopeless, is_cheaper
from dnisnm_lava.system.progress import tell
from dnisnm_lava.system.ranks import ALONE, Group

SEARCH_IMAGES = 128  # that a trial is fitted on
LEAST_IMAGES = 8
BATCH = 100


@dataclass(frozen=True)
class Tuning:
    """trials: all that were measured, in their order; pruned: those that could not win. best: of the search.
    confirmed: its recipe, fitted on all fit images, on held-back images that the search did not see;
    `networks` are its. story: a sentence for each phase. images: how many for what. measure: what scores are
    of. alarms: what makes all of it meaningless (`sanity`)."""

    target: Target
    measure: Measure
    trials: tuple[Trial, ...]
    best: Trial
    confirmed: Trial
    networks: Networks
    story: tuple[str, ...]
    images: Mapping[str, int]
    alarms: tuple[Alarm, ...] = ()
    pruned: tuple[Pruned, ...] = ()

    @property
    def wanted(self) -> str:
        """What a score is, in words."""
        return self.measure.aim.removesuffix(", %")

    @property
    def met(self) -> bool:
        """By the search's own measure: is the target reached?"""
        return self.target.met(self.best)

    @property
    def recipe(self) -> Recipe:
        return self.best.recipe

    @property
    def front(self) -> tuple[Trial, ...]:
        return front(self.trials)


@dataclass(frozen=True)
class Held:
    """Images that nothing is fitted on, and the answers that each should get: labels or the ANN's own."""

    measure: Measure
    images: np.ndarray
    wanted: np.ndarray
    spread: Counts
    ann: float  # the ANN's own quality

    def quality(self, answers: np.ndarray) -> Quality:
        counts = self.measure.count(answers, self.wanted)
        score = self.measure.score(counts, self.spread, len(self.images))
        return measures.quality(self.measure, score, answers, self.wanted)

    @property
    def has_single_answers(self) -> bool:
        """Is each image right or wrong as a whole?"""
        return self.measure.is_share and self.measure.answers == 1 and self.measure.ignored is None


@dataclass(frozen=True)
class Space:
    """What is searched. base: the recipe where it begins; of it, `vary` names what the search may change (of
    DIALS; where spikes are 1 and -1 alone, neither levels nor granularity). steps, levels: the T and K that
    it tries. held_back: a share of the images, chosen by `seed`, that nothing is fitted on: half of it
    measures the trials, half the winner. images: that a trial is fitted on; the winner is on all."""

    base: Recipe = BEST
    vary: Iterable[str] = DIALS
    steps: Sequence[int] = STEPS
    levels: Sequence[int] = LEVELS
    held_back: float = 0.5
    images: int = SEARCH_IMAGES
    seed: int = 0


SPACE = Space()


def tune(
    analog: AnalogGraph,
    images: Images,
    target: Target,
    labels: Labels | None = None,
    *,
    measure: Asked = AUTO,
    space: Space = SPACE,
    statistics: Statistics | None = None,
    session: Session = SESSION,
    journal: Journal | None = None,
) -> Tuning:
    """The recipe that serves one target best, found on calibration `images` (N, *input shape), N >= 8,
    without training.

    target: at most so many `steps` T; steps of `latency` until the read-out is done, leads and depth
    included; `spikes` of an image; a `drop` of points (%) below the ANN, or, of values, an `error`, RMSE by
    the standard deviation of the wanted ones, for as few steps of latency as can be. For the first three the
    most accurate. A target that one answer for every image would meet is refused.

    labels: (N, ...) of `images`; without them, also where images bring some, the ANN's own answers are
    wanted, and scores are agreement with the ANN. measure: as in `compare`; labels that images bring help
    `auto`. statistics: maxima from other, or more, images (default: from those that are fitted on). journal:
    keeps each trial, and has those of an attempt before; its `group` are the processes that share the images
    of each trial, each given the same; all find what one alone would.

    Before any trial a UserWarning tells, in the Tuning's `alarms`, too, where labels, given or brought, show
    that the ANN guesses, or is below what `session.set_up` expects. Alarms that it holds are not looked for
    again then, nor told.
    """
    kept = Journal() if journal is None else journal
    group, device, set_up = kept.group, session.device, session.set_up
    x, brought = checked_pairs(analog, images, labels)
    fitted_on, choosing, confirming = split(len(x), space.held_back, space.seed)
    y = None if labels is None else brought
    found = (
        measure
        if isinstance(measure, Measure)
        else measure_of(analog, brought, labels is not None, ask(measure))
    )
    check_quality(target, found)
    stats = maxima(analog, x[fitted_on], device, group) if statistics is None else statistics
    search = _search(target, found, analog, stats, space)
    alarms = (
        _raised(analog, x, brought, ask(measure), set_up, device) if set_up.alarms is None else set_up.alarms
    )
    held, unseen = (
        group.broadcast(_held(analog, found, x[part], None if y is None else y[part], device))
        for part in (choosing, confirming)
    )
    _check_that_it_can_fail(target, held)
    kept.of = most_trials(search)
    story = []
    for phase, (run, dial, why) in PHASES.items():
        if dial not in search.vary and search.trials:
            continue
        before = search.best if search.trials else None
        progress = session.stages(phase)
        count, pruned, asked = len(search.trials), len(search.pruned), run(search)
        for number, found_now in enumerate(
            _trials(asked, search, held, x[fitted_on[: space.images]], phase, device, kept), 1
        ):
            if isinstance(found_now, Trial):
                search.trials.append(found_now)
            else:
                search.pruned.append(found_now)
            tell(progress, number, number)
        told = words.brought(search, before, search.trials[count:], search.pruned[pruned:])
        story.append(f"{phase}: {why} {told}")
    session.stages("confirm")
    networks = follow(search.best.recipe, analog, stats, x[fitted_on], group=group)
    confirmed, _ = _measured(networks, search.best.recipe, unseen, "confirm", device, group)
    assert isinstance(confirmed, Trial)
    counts = {
        "fit": len(fitted_on),
        "search": min(space.images, len(fitted_on)),
        "choose": len(choosing),
        "confirm": len(confirming),
    }
    return Tuning(
        target,
        found,
        tuple(search.trials),
        search.best,
        confirmed,
        networks,
        tuple(story),
        counts,
        tuple(alarms),
        tuple(search.pruned),
    )


# ---------------------------------------------------------------- measuring


def _trials(
    asked: Phase,
    search: Search,
    held: Held,
    fit_images: np.ndarray,
    phase: str,
    device: Device,
    journal: Journal,
) -> Generator[Trial | Pruned, None, None]:
    """What a phase asks for, tried and sent to it, or None where it was pruned; what was tried already is
    sent as it was found."""
    known: dict[str, Trial | None] = {repr(t.recipe): t for t in search.trials}
    known |= {repr(p.recipe): None for p in search.pruned}
    answer: Trial | None = None
    while True:
        try:
            recipe = asked.send(answer)
        except StopIteration:
            return
        key = repr(recipe)
        if key not in known:
            found = _tried(recipe, search, held, fit_images, phase, device, journal)
            known[key] = found if isinstance(found, Trial) else None
            yield found
        answer = known[key]


def _tried(
    recipe: Recipe,
    search: Search,
    held: Held,
    fit_images: np.ndarray,
    phase: str,
    device: Device,
    journal: Journal,
) -> Trial | Pruned:
    """One recipe, measured now or in an attempt before, no further than it can win."""
    best = search.best if search.trials else None
    if best is not None:
        took = search.latency(recipe)
        why = hopeless(search.target, best, took, recipe.steps)
        if why:
            return Pruned(phase, recipe, why, 0, True, took)

    def measured() -> dict[str, Any]:
        networks = follow(recipe, search.analog, search.stats, fit_images, group=journal.group)
        lead = None if best is None else (best, search.right[repr(best.recipe)])
        found, right = _measured(networks, recipe, held, phase, device, journal.group, lead)
        return {"pruned": isinstance(found, Pruned), "found": asdict(found), "right": right.tolist()}

    told = journal.once(repr((recipe, None if best is None else best.recipe)), measured)
    values = {**told["found"], "recipe": recipes.parsed(told["found"]["recipe"])}
    if told["pruned"]:
        return Pruned(**values)
    search.right[repr(recipe)] = np.array(told["right"], bool)
    return Trial(**{**values, "interval": tuple(values["interval"])})


def _measured(
    networks: Networks,
    recipe: Recipe,
    held: Held,
    phase: str,
    device: Device,
    group: Group,
    lead: tuple[Trial, np.ndarray] | None = None,
) -> tuple[Trial | Pruned, np.ndarray]:
    """The trial of all images, and (N,) of which it is right, where each has one answer, else (0,). lead: the
    best so far and of what that is right: what is beaten on the way, and no cheaper, is measured no
    further."""
    graph = group.broadcast(networks.integer)
    took, count = latency(graph, held.measure.output or graph.readout.name, recipe.steps), len(held.images)
    ends = [count // part for part in ROUNDS] if lead is not None and held.has_single_answers else []
    answers: list[np.ndarray] = []
    sent = done = 0
    for end in [*(end for end in ends if end), count]:
        told, spikes = _said(graph, held, slice(done, end), recipe.steps, device, group)
        answers.append(told)
        sent, done = sent + spikes, end
        if lead is not None and end < count:
            best, of_best = lead
            why, certain = beaten(np.concatenate(answers) == held.wanted[:end], of_best)
            if why and not is_cheaper(best, took, recipe.steps, sent / end):
                return Pruned(phase, recipe, why, end, certain, took), np.zeros(0, bool)
    found = np.concatenate(answers)
    score, right = held.quality(found), found == held.wanted if held.has_single_answers else np.zeros(0, bool)
    drop = 100 * (held.ann - score.value)
    return Trial(phase, recipe, score.value, drop, took, sent / count, score.interval), right


def _said(
    graph: SpikingGraph, held: Held, which: slice, steps: int, device: Device, group: Group
) -> tuple[np.ndarray, int]:
    """The answers to some of the held-back images, and the spikes of all of them. Each process of the group
    runs its part."""
    images = held.images[which]
    parts = np.array_split(np.arange(len(images)), min(group.size, len(images)))
    own = []
    if group.rank < len(parts):
        run = batched.run(graph, images[parts[group.rank]], steps=steps, device=device)
        own = [(said(run, held.measure, steps), sum(up + down for up, down in run.spike_counts.values()))]
    of_all = [found for part in group.gather(own) for found in part]
    return np.concatenate([answers for answers, _ in of_all]), sum(spikes for _, spikes in of_all)


def measure_of(analog: AnalogGraph, labels: np.ndarray | None, wanted: bool, asked: Ask) -> Measure:
    """wanted: are the labels (N, ...) to be met, or the ANN's own answers? Those that are not still tell
    answers from values."""
    if wanted:
        return measures.of(analog, labels, asked.kind, asked.output, asked.ignored)
    try:
        found = measures.of(analog, labels, asked.kind, asked.output, asked.ignored)
    except OutOfRange:
        found = measures.of(analog, None, asked.kind, asked.output)
    return replace(found, labels=False, ignored=None)


def _held(
    analog: AnalogGraph, measure: Measure, images: np.ndarray, labels: np.ndarray | None, device: Device
) -> Held:
    own = measure.said(ann.ann(analog, images, readout=measure.output, device=device))
    wanted = own if labels is None or not measure.labels else measure.wanted(labels)
    held = Held(measure, images, wanted, measure.spread(wanted), 0.0)
    return replace(held, ann=held.quality(own).value)


def _raised(
    analog: AnalogGraph,
    images: np.ndarray,
    labels: np.ndarray | None,
    asked: Ask,
    set_up: SetUp,
    device: Device,
) -> tuple[Alarm, ...]:
    """The alarms of what the ANN says of labelled images, each told at once; none where labels are none of
    this output's answers."""
    if labels is None or asked.kind == "values":
        return ()
    try:
        found = measures.of(analog, labels, asked.kind, asked.output, asked.ignored)
        parts = [
            of_measure(
                found, found.said(ann.ann(analog, x, readout=found.output, device=device)), found.wanted(y)
            )
            for x, y in zip(_batches(images), _batches(labels), strict=True)
            if found.is_share
        ]
    except OutOfRange:
        return ()
    alarms = sanity.of_answers(
        summed([part for part in parts if part is not None]),
        "of these images",
        set_up.expected,
        set_up.causes,
    )
    for alarm in alarms:
        warnings.warn(f"tune: {alarm.sentence}", stacklevel=3)
    return alarms


def _batches(values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, range(BATCH, len(values), BATCH))


def maxima(analog: AnalogGraph, images: np.ndarray, device: Device, group: Group = ALONE) -> Statistics:
    """The maxima on images that are fitted on, where there are no others to calibrate on."""
    return calibrate(analog, np.array_split(images, -(-len(images) // BATCH)), device=device, group=group)


# ---------------------------------------------------------------- checks


def check_quality(target: Target, measure: Measure) -> None:
    """A drop is of shares, an error of values."""
    if target.kind == "drop" and not measure.is_share:
        raise OutOfRange(
            f"tune: max_drop counts answers below the ANN's, values have none; give max_error instead "
            f"({measure})"
        )
    if target.kind == "error" and measure.is_share:
        raise OutOfRange(
            f"tune: max_error is of values, answers are counted; give max_drop instead, or "
            f"measure=values ({measure})"
        )


def _check_that_it_can_fail(target: Target, held: Held) -> None:
    """Would one answer for every image do?"""
    constant = held.measure.constant(held.wanted)
    if held.measure.is_share and constant == 1:
        raise OutOfRange(
            f"tune: the same answer is wanted of all {len(held.images)} held-back images, so that no "
            f"recipe could fail; give images of "
            f"several classes, or say measure=values ({held.measure})"
        )
    drop, error = 100 * (held.ann - constant), 1.0
    if (target.kind == "drop" and drop <= target.limit) or (target.kind == "error" and error <= target.limit):
        lost = f"{drop:.1f} points" if target.kind == "drop" else "1"
        raise OutOfRange(
            f"tune: {target} asked for, which one answer for every image would meet ({lost}); ask for "
            f"less ({held.measure})"
        )


def split(count: int, held_back: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of `count` images are fitted on, in this order, which measure the trials, and which the winner:
    indices."""
    if count < LEAST_IMAGES:
        raise OutOfRange(f"tune: {count} images given; give {LEAST_IMAGES} or more, better a thousand")
    if not 0 < held_back < 1:
        raise OutOfRange(f"held_back: {held_back:g} given; give a share between 0 and 1")
    half = max(1, int(count * held_back / 2))
    order = np.random.default_rng(seed).permutation(count)
    fit, choose, confirm = order[2 * half :], order[:half], order[half : 2 * half]
    if not len(fit):
        raise OutOfRange(f"held_back: {held_back:g} of {count} images leaves none to fit on; give less")
    return fit, choose, confirm


def _search(target: Target, measure: Measure, analog: AnalogGraph, stats: Statistics, space: Space) -> Search:
    base, steps, levels = space.base, space.steps, space.levels
    dials = frozenset(space.vary)
    if base.spikes == "binary" and base.levels == 1:
        dials -= {"levels", "granularity"}  # spikes of 1 and -1 alone are asked for
    if not dials <= set(DIALS):
        raise OutOfRange(f"vary: {', '.join(sorted(dials - set(DIALS)))} given; choose of {', '.join(DIALS)}")
    if not steps or not levels or min(*steps, *levels) < 1:
        raise OutOfRange(
            f"tune: steps {tuple(steps)} and levels {tuple(levels)} given; give some, of 1 or more"
        )
    tried = {*steps, int(target.limit)} if target.kind == "steps" else set(steps)
    search = Search(
        target,
        measure,
        base,
        analog,
        stats,
        dials,
        tuple(sorted(tried)) if "steps" in dials else (base.steps,),
        tuple(levels) if "levels" in dials else (base.levels,),
    )
    _check(search)
    return search


def _check(search: Search) -> None:
    unknown = set(search.base.correct) - set(CORRECTIONS)
    if unknown:
        raise OutOfRange(f"correct: {', '.join(sorted(unknown))} given; choose of {', '.join(CORRECTIONS)}")
    first = replace(
        search.base, steps=min(search.steps), lead=0 if "lead" in search.vary else search.base.lead
    )
    if search.target.kind == "steps" and not search.affordable(first):
        raise OutOfRange(
            f"tune: {search.target} asked for, but T = {first.steps} is the least that may be tried; "
            f"give more, or free it"
        )
    if not search.affordable(first):
        raise OutOfRange(
            f"tune: {search.target} asked for, but with T = {first.steps} and {lead_told(first.lead)} "
            f"this network needs "
            f"{search.latency(first)} steps until its read-out is done; give more"
        )
