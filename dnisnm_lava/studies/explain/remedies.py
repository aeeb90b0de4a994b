"""What to do about the largest part of an error, given what the network was made with: options to paste, none
that is set already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from dnisnm_lava.evaluation.weak_spots import Codes
from dnisnm_lava.ir.fixedpoint import WEIGHT_BITS
from dnisnm_lava.stages.conversion import FUNCTION_ERROR
from dnisnm_lava.stages.fitting import CORRECTIONS
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.stages.quantization import PAYLOAD_BITS
from dnisnm_lava.stages.recipes import BYTE, Recipe
from dnisnm_lava.studies.explain.values import Explained, Remedy

# calibration images: fewer leave neurons dead, and thresholds below what other images reach (docs/faq.md)
ENOUGH = 128
WANTED, FINE = 1000, 12  # calibration images; bits of weights of which a few large ones take the range
FIRING = ("Rectifier", "Activation", "Product")  # kinds that have levels of their own
GOOD_LEVELS = 4
MOST_LEVELS = 32


@dataclass(frozen=True)
class Setting:
    """What a network was made with; None: not known. available: how many training images there are."""

    recipe: Recipe | None = None
    calibration_images: int | None = None
    fit_images: int | None = None
    available: int | None = None

    @classmethod
    def of(cls, nets: Networks) -> Setting:
        seen = None if nets.statistics is None or nets.recipe is None else nets.statistics.images
        return cls(nets.recipe, seen, nets.images or None, nets.available)


def remedies(
    p: Explained,
    part: str,
    setting: Setting,
    steps: int,
    codes: tuple[Codes, ...] = (),
    saturating: Explained | None = None,
) -> tuple[Remedy, ...]:
    """The likeliest first, one a dial. p: the population whose `part` (one of explanation.OWN) is the cause.
    codes: of its projections. saturating: the population whose state saturates most often, if one does."""
    found: dict[str, Remedy] = {}
    own = BY_PART[part](p, setting, steps, codes)
    fitted = _few_images(setting, "fit_images", "weights and thresholds")
    last = (own, fitted) if part == "integers" else (fitted, own)  # more of these make no integer finer
    maxima = _few_images(setting, "calibration_images", "maxima")
    for remedy in chain(_saturating(saturating, setting), maxima, *last):
        if not _is_set(remedy, setting):
            found.setdefault(remedy.dial, remedy)
    return tuple(found.values())


def _is_set(remedy: Remedy, setting: Setting) -> bool:
    return setting.recipe is not None and getattr(setting.recipe, remedy.dial, None) == remedy.value


def _saturating(p: Explained | None, setting: Setting) -> Iterator[Remedy]:
    if p is not None:
        why = (
            f"the state of {p.name} saturates ({p.saturations:,} times): these images reach further "
            f"than those of calibration"
        )
        yield from _more_images(setting, "calibration_images", why)


def of_few_images(setting: Setting) -> tuple[Remedy, ...]:
    """What is known before anything is measured: more images, where few were used and there are more."""
    dials = {"calibration_images": "maxima", "fit_images": "weights and thresholds"}
    return tuple(r for dial, purpose in dials.items() for r in _few_images(setting, dial, purpose))


def _few_images(setting: Setting, dial: str, purpose: str) -> Iterator[Remedy]:
    """Whatever else is wrong."""
    count = getattr(setting, dial)
    if count is not None and count < ENOUGH:
        yield from _more_images(setting, dial, f"{purpose} of {count:,} images tell little of others")


def _more_images(setting: Setting, dial: str, why: str) -> Iterator[Remedy]:
    """As many as are wanted, or twice those that were used, where there are so many."""
    used = getattr(setting, dial) or 0
    count = min(max(WANTED, 2 * used), WANTED if setting.available is None else setting.available)
    if count > used:
        yield Remedy(dial, count, why)


def _clipping(p: Explained, setting: Setting, steps: int, codes: tuple[Codes, ...]) -> Iterator[Remedy]:
    """Not levels: theta is the maximum by K, so that K theta stays what it is."""
    fires = p.kind in FIRING
    cut = _percentile(setting) is not None
    if fires:
        why = "its percentile leaves" if cut else "its rule leaves"
        yield Remedy("threshold", "max", f"{why} thresholds below the largest activations")
    if not cut:
        why = "activations exceed the maxima that calibration saw"
        yield from _more_images(setting, "calibration_images", why)
    if p.kind == "Rectifier" and _own(setting, "granularity"):
        yield Remedy("granularity", "channel", "neurons of a channel share the largest maximum")


def _function(p: Explained, setting: Setting, steps: int, codes: tuple[Codes, ...]) -> Iterator[Remedy]:
    share = FUNCTION_ERROR if setting.recipe is None else setting.recipe.function_error
    why = f"its lines may differ from the function by {share:g} of a level"
    yield Remedy("function_error", share / 4, why)
    yield from _levels(p, "smaller levels, of which the lines may differ by a share")


def _discreteness(p: Explained, setting: Setting, steps: int, codes: tuple[Codes, ...]) -> Iterator[Remedy]:
    percentile = _percentile(setting)
    if percentile is not None and percentile < 99:
        yield Remedy("threshold", "sequential", f"a percentile of {percentile:g} cuts what is above")
    time = Remedy("steps", 4 if steps == 1 else 2 * steps, f"T = {steps} steps round coarsely")
    levels = _levels(p, "more levels round more finely")
    yield from (time, *levels) if steps == 1 or p.levels >= GOOD_LEVELS else (*levels, time)
    yield from _fitted(setting)


def _asynchronism(p: Explained, setting: Setting, steps: int, codes: tuple[Codes, ...]) -> Iterator[Remedy]:
    time = Remedy("steps", 2 * steps, "more steps leave less to the order of arrival")
    if p.kind == "Rectifier" and (setting.recipe is None or setting.recipe.down > 0):
        yield Remedy("down", 0.0, "a level too much is taken back at once")
    if p.levels < GOOD_LEVELS:
        yield from _levels(p, "more levels leave less to the order of arrival")
    yield time
    if p.lead < steps - 1:
        yield Remedy(
            "lead", steps - 1, "hears all before it fires, for its latency; `dnisnm tune` tries shorter ones"
        )
    yield from _levels(p, "more levels leave less to the order of arrival")
    yield from _fitted(setting)


def _integers(p: Explained, setting: Setting, steps: int, codes: tuple[Codes, ...]) -> Iterator[Remedy]:
    weight = WEIGHT_BITS if setting.recipe is None else setting.recipe.weight_bits
    starved = max((c for c in codes if c.starved), key=lambda c: c.zeros, default=None)
    if weight < WEIGHT_BITS:
        yield Remedy("weight_bits", WEIGHT_BITS, f"weights of {weight} bits")
    elif starved is not None:
        why = (
            f"in {starved} {100 * starved.zeros:.0f} % of the weights become 0 beside larger ones: "
            f"{starved.bits:.1f} bits are used"
        )
        yield Remedy("weight_bits", max(FINE, weight + 4), why)
    payload = PAYLOAD_BITS if setting.recipe is None else setting.recipe.payloads
    tell = setting.recipe is None or setting.recipe.own_thresholds  # else payloads have nothing to tell
    if tell and payload < PAYLOAD_BITS:
        yield Remedy("payload_bits", PAYLOAD_BITS, f"thresholds of {payload} bits")
    yield Remedy("rounding", "compensated", "what one weight loses in rounding, others take up")
    if tell:
        yield Remedy("payload_bits", max(PAYLOAD_BITS, payload) + 3, "finer thresholds")
    yield Remedy("weight_bits", max(WEIGHT_BITS, weight) + 4, "finer weights")


BY_PART = {
    "clipping": _clipping,
    "function": _function,
    "discreteness": _discreteness,
    "asynchronism": _asynchronism,
    "integers": _integers,
}


def _levels(p: Explained, why: str) -> Iterator[Remedy]:
    if p.kind in FIRING and 2 * p.levels <= MOST_LEVELS:
        yield Remedy("levels", max(GOOD_LEVELS, 2 * p.levels), why)
    if p.kind == "Relay" and p.levels < BYTE:
        yield Remedy("relay_levels", BYTE, why)


def _fitted(setting: Setting) -> Iterator[Remedy]:
    if setting.recipe is not None and set(setting.recipe.correct) < set(CORRECTIONS):
        yield Remedy(
            "correct",
            CORRECTIONS,
            "weights, biases, payloads and initial potentials make up for what can be foreseen",
        )
    if setting.recipe is not None and setting.recipe.threshold != "sequential":
        yield Remedy("threshold", "sequential", "thresholds for what is really heard")


def _percentile(setting: Setting) -> float | None:
    """The one that thresholds are; None where they are none."""
    recipe = setting.recipe
    return recipe.percentile if recipe is not None and recipe.threshold == "percentile" else None


def _own(setting: Setting, dial: str) -> bool:
    """Does each neuron have its own? Where it is not known, it may."""
    return setting.recipe is None or bool(getattr(setting.recipe, dial) == "neuron")


def told(found: tuple[Remedy, ...]) -> str:
    """Each as the option to paste, with its reason."""
    return "; or ".join(f"{r.option} ({r.why})" for r in found) or (
        "nothing that an option says: see docs/explain.md, or calibrate on images that are more like these"
    )


def changed(recipe: Recipe, remedy: Remedy) -> dict[str, Any]:
    """The field of the recipe that the remedy changes, and its value; nothing where it is about images."""
    return {remedy.dial: remedy.value} if hasattr(recipe, remedy.dial) else {}
