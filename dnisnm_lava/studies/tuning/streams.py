"""Which dials of a stream spare most for what they cost: every combination tried on a few frames of a clip,
and of those that nothing beats the one that serves a target."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dnisnm_lava.data import inputs
from dnisnm_lava.data.inputs import Device, Images, Pool
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import intervals
from dnisnm_lava.evaluation.session import SESSION, Session
from dnisnm_lava.evaluation.trials import Journal
from dnisnm_lava.ir import AnalogGraph, SpikingGraph
from dnisnm_lava.measures import AUTO, Asked, Counts, Measure, Score
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.calibration import Statistics, calibrate
from dnisnm_lava.stages.networks import SAMPLES, Networks, Samples, follow, traced
from dnisnm_lava.stages.recipes import BEST, Recipe
from dnisnm_lava.stages.streaming import check_dials, streaming
from dnisnm_lava.studies.streams.bills import Bill
from dnisnm_lava.studies.streams.following import checked, stream
from dnisnm_lava.studies.streams.references import Analog
from dnisnm_lava.studies.streams.watching import answers_of, measure_of
from dnisnm_lava.studies.tuning.pareto import QUALITIES, Target, error_of
from dnisnm_lava.studies.tuning.tune import check_quality
from dnisnm_lava.system.progress import Stages, tell

if TYPE_CHECKING:
    import torch

    from dnisnm_lava.frontend.walk import Traced

LEVELS = (7, 15, 31, 63)
STEPS = (1, 2)
HYSTERESIS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
AT_ONCE = (None, 4)
FRAMES = 60
SLACK = 1e-9  # points: 100 * (a - b) of two shares is off by less than 100 * 4 roundings of 2 ** -53


@dataclass(frozen=True)
class StreamSpace:
    """What is searched: every combination. base: the recipe but for its levels and steps. levels: K of the
    network of images; steps: T of a frame, which the recipe has too, so that the resolution is R = T K.
    hysteresis: h. at_once: levels that may be sent in a step, None: all; of R or more it is all, and not
    tried again. Spikes of 1 and -1 alone keep the levels of `base`. frames: so many are followed. samples:
    of the images, for each network."""

    base: Recipe = BEST
    levels: Sequence[int | Mapping[str, int]] = LEVELS
    steps: Sequence[int] = STEPS
    hysteresis: Sequence[float] = HYSTERESIS
    at_once: Sequence[int | None] = AT_ONCE
    frames: int = FRAMES
    samples: Samples = SAMPLES

    @property
    def recipes(self) -> list[Recipe]:
        """One for each network."""
        levels = (self.base.levels,) if self.base.spikes == "binary" else self.levels
        return [replace(self.base, levels=k, steps=t) for k in levels for t in self.steps]

    def dials(self, recipe: Recipe) -> list[tuple[float, int | None]]:
        """(h, at once) that are tried with its network."""
        at_once = [k for k in self.at_once if k is None or k < resolution(recipe)]
        return list(itertools.product(self.hysteresis, at_once or [None]))


SPACE = StreamSpace()


@dataclass(frozen=True)
class StreamTrial:
    """One setting of the dials on all frames. resolution: R, the largest. score: share of the ANN's answers
    that the stream has; of values, R2; interval: 95 % of it, with frames as independent. Of a frame on
    average: operations, of which the ANN needs ratio as many, and spikes. saturations: in all."""

    recipe: Recipe
    hysteresis: float
    at_once: int | None
    resolution: int
    score: float
    interval: tuple[float, float]
    operations: float
    ratio: float
    spikes: float
    saturations: int

    @property
    def steps(self) -> int:
        return self.recipe.steps

    @property
    def error(self) -> float:
        """The error of values: RMSE by the standard deviation of the ANN's."""
        return error_of(self.score)


@dataclass(frozen=True)
class StreamTuning:
    """trials: all, in their order. best: the chosen one; networks: those of its recipe. multiplications: of
    the ANN, a frame."""

    target: Target
    measure: Measure
    frames: int
    multiplications: int
    trials: tuple[StreamTrial, ...]
    best: StreamTrial
    networks: Networks

    @property
    def met(self) -> bool:
        return below(self.target, self.trials, self.best) <= self.target.limit + SLACK

    @cached_property
    def front(self) -> tuple[StreamTrial, ...]:
        return front(self.trials)

    @cached_property
    def graph(self) -> SpikingGraph:
        """The stream's network with the chosen dials."""
        return _graph(self.networks, self.best.hysteresis, self.best.at_once)


def tune_stream(
    model: torch.nn.Module | Traced | AnalogGraph,
    images: Images,
    frames: Iterable[np.ndarray],
    target: Target,
    *,
    space: StreamSpace = SPACE,
    measure: Asked = AUTO,
    statistics: Statistics | None = None,
    session: Session = SESSION,
    journal: Journal | None = None,
) -> StreamTuning:
    """The dials of a stream with the fewest operations that still agree with the ANN, frame by frame.

    images: what networks are calibrated on and fitted to, one for each K and T, as `dn.build` makes it.
    frames: prepared as in training; the first of them are followed, and held. target: a `drop`, at most so
    many points (%) below the agreement of the best setting tried, or, of values, an `error`, RMSE by the
    standard deviation of the ANN's. measure: of the answers, as of `watch`. statistics: maxima, where they
    are known. journal: keeps each trial, and has those of an attempt before. A UserWarning tells where the
    ANN says the same of all frames.
    """
    if target.kind not in QUALITIES:
        raise OutOfRange(f"tune: {target.kind} is of images; give a stream max_drop, or of values max_error")
    check(space)
    pool = inputs.pool(images)
    analog, _ = traced(model, pool)
    measured = measure_of(analog, measure)
    check_quality(target, measured)
    held = _held(analog, measured, frames, space.frames, session.device)
    stats = statistics or _calibrated(analog, pool, space.samples, session)
    nets = _Builder(analog, stats, pool, space.samples)
    found = tuple(_search(space, nets, held, Journal() if journal is None else journal, session.stages))
    best = chosen(target, found)
    networks = nets(best.recipe)
    cost = Bill(networks.integer, best.steps).multiplications
    return StreamTuning(target, measured, len(held.frames), cost, found, best, networks)


# ---------------------------------------------------------------- choosing


def front(trials: Sequence[StreamTrial]) -> tuple[StreamTrial, ...]:
    """Those that no other beats or equals in score and operations; the cheapest first, each once."""
    unbeaten = intervals.front([t.score for t in trials], [t.operations for t in trials])
    kept: dict[tuple[float, float], StreamTrial] = {}
    for trial in itertools.compress(trials, unbeaten):
        kept.setdefault((trial.score, trial.operations), trial)
    return tuple(sorted(kept.values(), key=lambda t: t.operations))


def below(target: Target, trials: Sequence[StreamTrial], trial: StreamTrial) -> float:
    """By what the target limits: points below the best score, or the error."""
    return trial.error if target.kind == "error" else 100 * (max(t.score for t in trials) - trial.score)


def chosen(target: Target, trials: Sequence[StreamTrial]) -> StreamTrial:
    """The trial of the front that meets the target with the fewest operations; where none does, what comes
    nearest."""
    found = front(trials)
    met = [t for t in found if below(target, trials, t) <= target.limit + SLACK]
    return met[0] if met else found[-1]


def resolution(recipe: Recipe) -> int:
    """R, the largest of a rectifier."""
    levels = recipe.levels
    most = max(levels.values(), default=1) if isinstance(levels, Mapping) else levels
    return recipe.steps * most


# ---------------------------------------------------------------- measuring


@dataclass(frozen=True)
class _Held:
    """Frames, and what the ANN says of each."""

    measure: Measure
    frames: Sequence[np.ndarray]
    wanted: np.ndarray
    spread: Counts

    def score(self, said: np.ndarray) -> Score:
        return self.measure.score(self.measure.count(said, self.wanted), self.spread, len(self.frames))


@dataclass
class _Builder:
    """The networks of each recipe, made when they are first asked for, and once."""

    analog: AnalogGraph
    statistics: Statistics
    pool: Pool
    samples: Samples
    made: dict[str, Networks] = field(default_factory=dict)

    def __call__(self, recipe: Recipe) -> Networks:
        if repr(recipe) not in self.made:
            images = self.pool.sample(self.samples.fit, self.samples.seed) if recipe.needs_images else None
            self.made[repr(recipe)] = follow(recipe, self.analog, self.statistics, images)
        return self.made[repr(recipe)]


def _calibrated(analog: AnalogGraph, pool: inputs.Pool, samples: Samples, session: Session) -> Statistics:
    sample = pool.sample(samples.calibration, samples.seed, session.stages("calibrate"))
    return calibrate(analog, sample, device=session.device)


def _held(
    analog: AnalogGraph, measure: Measure, frames: Iterable[np.ndarray], limit: int, device: Device
) -> _Held:
    if limit < 1:
        raise OutOfRange(f"limit: {limit} given; give 1 frame or more to measure on")
    shape = analog.input.image_shape
    taken = [
        np.asarray(checked(frame, index, shape), np.float32)
        for index, frame in enumerate(itertools.islice(frames, limit))
    ]
    if not taken:
        raise OutOfRange("frames: 0 given; give 1 or more")
    answers = Analog(analog, measure, str(device))
    wanted = np.stack([answers(frame) for frame in taken])
    spread = measure.spread(wanted)
    if not measure.varies(spread):
        raise OutOfRange(
            f"tune: the ANN's values are the same in all {len(taken)} frames, so nothing tells an error by "
            f"their deviation; give frames in which something happens ({measure})"
        )
    if measure.is_share and measure.constant(wanted) == 1:
        warnings.warn(
            f"tune: the ANN says the same of all {len(taken)} frames, so agreement tells little; give other "
            f"frames, or measure=values ({measure})",
            stacklevel=3,
        )
    return _Held(measure, taken, wanted, spread)


def _search(
    space: StreamSpace, nets: _Builder, held: _Held, journal: Journal, stages: Stages
) -> Iterator[StreamTrial]:
    settings = [(recipe, *dials) for recipe in space.recipes for dials in space.dials(recipe)]
    journal.of = len(settings)
    progress = stages("search")
    for number, (recipe, hysteresis, at_once) in enumerate(settings, 1):

        def measured(
            recipe: Recipe = recipe, hysteresis: float = hysteresis, at_once: int | None = at_once
        ) -> dict[str, Any]:
            return asdict(_measured(nets(recipe), hysteresis, at_once, held))

        told = journal.once(repr((recipe, hysteresis, at_once)), measured)
        read = {"recipe": recipes.parsed(told["recipe"]), "interval": tuple(told["interval"])}
        yield StreamTrial(**{**told, **read})
        tell(progress, number, len(settings))


def _measured(networks: Networks, hysteresis: float, at_once: int | None, held: _Held) -> StreamTrial:
    assert networks.recipe is not None
    graph = _graph(networks, hysteresis, at_once)
    said, operations, spikes, saturations = [], 0, 0, 0
    for frame in stream(graph, held.frames):
        said.append(answers_of(graph, frame, held.measure)[0])
        operations += frame.operations
        spikes += frame.spikes
        saturations += frame.saturations
    score, count = held.score(np.stack(said)), len(said)
    ratio = operations / count / Bill(graph, graph.steps).multiplications
    return StreamTrial(
        networks.recipe,
        hysteresis,
        at_once,
        resolution(networks.recipe),
        score.value,
        score.interval,
        operations / count,
        ratio,
        spikes / count,
        saturations,
    )


def _graph(networks: Networks, hysteresis: float, at_once: int | None) -> SpikingGraph:
    assert networks.recipe is not None
    return streaming(networks.integer, steps=networks.recipe.steps, hysteresis=hysteresis, levels=at_once)


def check(space: StreamSpace) -> None:
    """OutOfRange for nothing to try, and for dials out of range, before anything costs time."""
    for name in ("levels", "steps", "hysteresis", "at_once"):
        if not len(getattr(space, name)):
            raise OutOfRange(f"{name}: none given; give one or more to try")
    for recipe in space.recipes:
        recipes.check(recipe)
        for hysteresis, at_once in space.dials(recipe):
            check_dials(recipe.steps, hysteresis, at_once)
