"""Is the set-up sound? Alarms that stand before any result: an ANN at chance, and integers that lose what the
float SNN has.

Values and free functions: what a network said of labelled images, and sentences where that cannot be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb, exp, floor, fsum, lgamma, log, log1p, sqrt

import numpy as np

from dnisnm_lava.measures.answers import Answers
from dnisnm_lava.measures.scores import Fit, Score

ERRORS = 3.0  # standard errors, on either side
HALFWAY = 1 / 2000  # an alarm on so few images that a sound network may say as few is worse than none
RARE = 0.00135  # how often a normal number exceeds its mean by three standard errors
ROUNDING = 1e-9  # of a share times a number of images
KAPPA = 0.1  # Cohen's: of the way from a guess to all, what an untrained network may have by luck
LEVEL, LEAST_LOSS = 0.01, 0.005  # of McNemar's test; of the images
CAUSES = (
    "the weights are freshly initialised or those of another network",
    "images are not prepared as in training (mean, std, size, range, order of the channels)",
    "the classes stand in another order",
)
TARGETS = "targets are scaled or ordered otherwise than the output"
FEW_TARGETS = 10  # images of fewer tell nothing of R2
CONSISTENT, SEEN = (
    0.5,
    10,
)  # share of images that get their class's commonest answer; images of a class, on average


@dataclass(frozen=True)
class SetUp:
    """What is known of a set-up before anything is measured. expected: the ANN's accuracy as it should be,
    a share. causes: what may be wrong, the likeliest first. alarms: those raised before; None: nobody
    looked."""

    expected: float | None = None
    causes: Sequence[str] = CAUSES
    alarms: tuple[Alarm, ...] | None = None


@dataclass(frozen=True)
class Alarm:
    """What makes results meaningless or worse than they need be. kind: `chance`, `expectation` or `integers`.
    sentence: for people."""

    kind: str
    sentence: str


def chance(by_class: Sequence[int] | np.ndarray, images: int | None = None) -> float:
    """The share of images that a guess gets. by_class: images of each of the output's classes, or pixels of
    so many `images`.

    1 / classes, the guess of who knows nothing; the share of the commonest class, the best constant guess,
    where classes are uneven: where even ones would make any as common as rarely as three standard errors are
    exceeded, since in few images some class is always the commonest.
    """
    counts = np.asarray(by_class)
    blind, commonest = 1 / len(counts), float(counts.max() / counts.sum())
    trials = int(counts.sum()) if images is None else images
    by_luck = len(counts) * at_least(commonest * trials, trials, blind)
    return commonest if commonest > blind and by_luck < RARE else blind


def standard_error(share: float, images: float) -> float:
    return sqrt(share * (1 - share) / images)


def at_most(right: float, images: int, share: float) -> float:
    """How likely `right` of so many images or fewer are, where each is right with this probability: exactly
    (binomial). Of a share of images, their whole part."""
    return _between(0, floor(right + ROUNDING), images, share)


def at_least(right: float, images: int, share: float) -> float:
    """How likely `right` of so many images or more are: exactly (binomial)."""
    return _between(ceil(right - ROUNDING), images, images, share)


def _between(first: int, last: int, images: int, share: float) -> float:
    """The probability of so many right images."""
    if not 0 < share < 1:
        return float(first <= images * share <= last)
    k = range(max(first, 0), min(last, images) + 1)
    logs = (
        lgamma(images + 1)
        - lgamma(i + 1)
        - lgamma(images - i + 1)
        + i * log(share)
        + (images - i) * log1p(-share)
        for i in k
    )
    return min(1.0, fsum(map(exp, logs)))


def is_at_chance(right: float, images: int, guess: float) -> bool:
    """Is the accuracy no higher than a guess may have by luck, which includes all that is below the guess;
    or less than a tenth of the way from the guess to all (Cohen's kappa below 0.1)? Untrained networks are
    not quite blind, so that many images tell them from the guess.

    By luck: as rarely as three standard errors are exceeded, by exact binomial probabilities, since images
    may be few. False where a network halfway from the guess to all is as low as that once in 2,000 times."""
    if guess >= 1 or at_most(right, images, (1 + guess) / 2) >= HALFWAY:
        return False
    return right / images <= guess + KAPPA * (1 - guess) or at_least(right, images, guess) >= RARE


def is_below(right: float, images: int, expected: float) -> bool:
    """Is the accuracy below `expected`, a share, by more than the standard error of so many images?"""
    return right / images < expected - standard_error(expected, images)


def of_answers(
    found: Answers | None,
    data: str,
    expected: float | None = None,
    causes: Sequence[str] = CAUSES,
    who: str = "the ANN",
) -> tuple[Alarm, ...]:
    """The alarms of `set_up`; where each class gets an answer of its own that is another's, the order of the
    classes comes first."""
    if found is None:
        return ()
    if found.by_label is not None:
        return _of_several(found, found.by_label, data, expected, causes, who)
    told = [cause for cause in (_other_order(found), *causes) if cause]
    return set_up(
        found.right,
        found.table.sum(axis=1),
        data,
        expected,
        told,
        who,
        said=found.table.sum(axis=0),
        maps=found.maps,
    )


def set_up(
    right: int,
    by_class: Sequence[int] | np.ndarray,
    data: str,
    expected: float | None = None,
    causes: Sequence[str] = CAUSES,
    who: str = "the ANN",
    *,
    said: Sequence[int] | np.ndarray = (),
    maps: int = 0,
) -> tuple[Alarm, ...]:
    """The alarm of an ANN, or `who` else, that says the class of `right` of images of `data`. by_class:
    images of each class of its output. At most one alarm.

    expected: the accuracy that it should have, a share. causes: what may be wrong, the likeliest first. maps:
    so many images, of whose pixels right, by_class and `said`, how many got each class, tell: images are the
    trials then, since pixels of one depend on one another; and where one class is almost everywhere, a sound
    network has hardly more right than a guess, so the pixels' own kappa must be small, too."""
    of = int(np.sum(by_class))
    images, guess = maps or of, chance(by_class, maps or None)
    share = right / of
    told = f"{who} says the class of {right:,} of {_counted(of, maps)}{data} ({_percent(share)})"
    end = _most_likely(causes)
    if is_at_chance(share * images, images, guess) and (not maps or _kappa(share, by_class, said) < KAPPA):
        return (Alarm("chance", f"{told}, where a guess gets {_percent(guess)}{end}"),)
    if expected is not None and is_below(share * images, images, expected):
        return (Alarm("expectation", f"{told}, where {_percent(expected)} are expected{end}"),)
    return ()


def of_values(score: Score | None, data: str, causes: Sequence[str] = CAUSES) -> tuple[Alarm, ...]:
    """The alarm of an ANN whose values are no nearer to the targets of `data` than these targets' own means:
    R2 of 0 or less, of ten images or more. None of a share, nor of values without targets (None)."""
    if not isinstance(score, Fit) or score.images < FEW_TARGETS or score.value > 0:
        return ()
    what = [*(c for c in causes if c != CAUSES[2]), TARGETS]
    return (
        Alarm(
            "chance",
            f"the ANN's values explain nothing of the targets of {score.images:,} {data}: R2 "
            f"{score.value:.3g}, where a constant, the targets' mean, has 0{_most_likely(what)}",
        ),
    )


def _most_likely(causes: Sequence[str]) -> str:
    return f"; most likely {'; or '.join(causes)}; nothing below means anything before that is mended"


def _counted(of: int, maps: int) -> str:
    return f"{of:,} pixels of {maps:,} " if maps else f"{of:,} "


def _kappa(share: float, meant: Sequence[int] | np.ndarray, said: Sequence[int] | np.ndarray) -> float:
    """Cohen's: of the way from answers that do not depend on the labels to all; 0 where both are one class
    alone."""
    a, b = np.asarray(meant, np.float64), np.asarray(said, np.float64)
    blind = float((a / a.sum() * b / b.sum()).sum())
    return (share - blind) / (1 - blind) if blind < 1 else 0.0


def _of_several(
    found: Answers, by_label: np.ndarray, data: str, expected: float | None, causes: Sequence[str], who: str
) -> tuple[Alarm, ...]:
    """The alarms of images that have several labels: a guess is the commonest answer of each."""
    guess = float(by_label.sum(axis=2).max(axis=1).sum() / found.of)
    told = (
        f"{who} gives {found.right:,} of {found.of:,} answers right of {found.images:,} {data} "
        f"({_percent(found.accuracy)})"
    )
    end = _most_likely(causes)
    if says_nothing(by_label, found.maps):
        why = "its answers hardly depend on the labels"
        return (Alarm("chance", f"{told}, where a guess gets {_percent(guess)}: {why}{end}"),)
    if expected is not None and found.accuracy < expected - standard_error(expected, found.images):
        return (Alarm("expectation", f"{told}, where {_percent(expected)} are expected{end}"),)
    return ()


def says_nothing(by_label: np.ndarray, maps: int = 0) -> bool:
    """Are there no more right answers than where answers and labels are drawn one by one, within three
    standard errors, or less than a tenth of the way from there to all (Cohen's kappa, each label's own, since
    some are rare)? by_label: (labels, 2, 2). maps: images whose pixels these are.

    The errors of an image's labels are taken to go together, so their standard errors add up. False where so
    few images cannot tell a network that is halfway."""
    by_label = by_label[by_label.sum(axis=(1, 2)) > 0]
    if maps:
        by_label = by_label * (maps / by_label.sum(axis=(1, 2), keepdims=True))
    counts = by_label.sum(axis=(1, 2)).astype(np.float64)
    meant, said = by_label.sum(axis=2) / counts[:, None], by_label.sum(axis=1) / counts[:, None]
    by_chance = counts * (meant * said).sum(axis=1)
    more, most = (
        float((np.trace(by_label, axis1=1, axis2=2) - by_chance).sum()),
        float((counts - by_chance).sum()),
    )
    # a hypergeometric count's, twice, at the widest: where half of the answers are 1
    errors = ERRORS * float(np.sqrt(counts * meant.prod(axis=1)).sum())
    bound = max(errors, KAPPA * most)
    return bound < most / 2 - errors and more <= bound


def _other_order(found: Answers) -> str:
    """Labels that are off by a constant, or classes in another order: where most images of a class get one
    and the same answer, and that is another class's."""
    what = "pixels" if found.maps else "images"
    return _off_by(found, what) or _permuted(found, what)


def _off_by(found: Answers, what: str) -> str:
    """Where most answers are the label and a constant, by far more than a guess of as many constants."""
    classes, trials = len(found.table), found.maps or found.of
    said = [sum(int(found.table[c, (c + by) % classes]) for c in range(classes)) for by in range(classes)]
    by = int(np.argmax(said))
    share = said[by] / found.of
    commonest = float(found.table.sum(axis=0).max() / found.of)  # a constant answer meets so many labels
    luck = max(commonest, chance(found.table.sum(axis=1), found.maps or None))
    if by == 0 or share <= CONSISTENT or classes * at_least(share * trials, trials, luck) >= RARE:
        return ""
    if classes == 2:
        return f"the two classes are the other way round, as {_percent(share)} of the {what} say"
    far = by if by <= classes // 2 else by - classes
    more = f"{_percent(share)} of the {what} get the label {'and' if far > 0 else 'less'} {abs(far)}"
    begin = (
        "labels that begin at 1, or a class for the background, do that"
        if abs(far) == 1
        else "compare both lists of classes"
    )
    return f"the labels are off by {abs(far)}, or the classes stand in another order: {more}; {begin}"


def _permuted(found: Answers, what: str) -> str:
    meant = np.flatnonzero(found.table.sum(axis=1) > 0)
    present = found.table[meant]
    commonest = present.argmax(axis=1)
    consistent = present.max(axis=1).sum() >= CONSISTENT * found.of > found.right
    if (
        not consistent
        or found.images < SEEN * len(present)
        or len(set(commonest.tolist())) <= len(present) / 2
    ):
        return ""
    share = present.max(axis=1).sum() / found.of
    label = int(meant[np.argmax(commonest != meant)])
    return (
        f"the classes stand in another order: {_percent(share)} of the {what} get the commonest answer "
        f"of their class, and class "
        f"{label} is mostly called {int(found.table[label].argmax())}"
    )


# ---------------------------------------------------------------- the integers


def mcnemar(a_alone: int, b_alone: int) -> float:
    """The p of McNemar's exact test, two-sided: how likely images on which one of two alone is right part so
    unevenly, or more so, if each were a coin's toss."""
    tosses = a_alone + b_alone
    tail = sum(comb(tosses, k) for k in range(min(a_alone, b_alone) + 1))
    return min(1.0, 2 * tail / 2**tosses)


def integers(
    float_alone: int, integer_alone: int, images: int, steps: int, look_at: str, tests: int = 1
) -> tuple[Alarm, ...]:
    """An alarm where the integer SNN says the ANN's class of significantly fewer images than the float SNN:
    by McNemar's test at 0.01, and by 0.5 points. float_alone, integer_alone: of so many images, on which that
    one alone says the ANN's class after `steps`. look_at: where to look, in words. tests: at how many T one
    looked, which share the 0.01 (Bonferroni)."""
    lost = float_alone - integer_alone
    p = mcnemar(float_alone, integer_alone)
    if lost < LEAST_LOSS * images or lost <= 0 or p * tests >= LEVEL:
        return ()
    return (
        Alarm(
            "integers",
            f"the integers lose what the float SNN has: after {steps:,} steps {float_alone:,} of "
            f"{images:,} images get the ANN's class "
            f"from the float SNN alone, {integer_alone:,} from the integer SNN alone (McNemar's p = "
            f"{p:.1g}); {look_at}",
        ),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
