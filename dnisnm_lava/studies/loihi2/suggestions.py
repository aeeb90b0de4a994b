"""Cheaper networks that were tried: the same model made with other options, its cores, and what that costs in
accuracy, on the same images as the network at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dnisnm_lava.backends import ann, batched
from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import marks
from dnisnm_lava.evaluation.session import SESSION, Session
from dnisnm_lava.ir import SpikingGraph, checked_images, checked_pairs
from dnisnm_lava.measures import AUTO, Asked, Measure, ask, of
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import Networks, follow
from dnisnm_lava.stages.quantization import quantize
from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.studies.loihi2.rules import Checked, check
from dnisnm_lava.system.progress import Stages

SHARED, BITS = (
    ("channel", "layer"),
    (6, 5, 4),
)  # that are tried: who shares a threshold, and widths of weights


@dataclass(frozen=True)
class Suggestion:
    """A network of `recipe`, which `options` make of the one at hand. cores: of what fits; broken: rules that
    do not hold. change: of accuracy, as a share (or of R2), against the network at hand on the same `images`;
    interval: 95 %, paired. labels: was it accuracy, or agreement with the ANN? is_worth_it: does it break
    fewer rules or take fewer cores than the network at hand, and is none of the others as good in these and
    in accuracy?"""

    options: str
    recipe: Recipe
    cores: int
    broken: int
    change: float
    interval: tuple[float, float]
    images: int
    is_share: bool
    labels: bool
    is_worth_it: bool = True


def suggest(
    nets: Networks,
    fitted: Images | None,
    images: Images,
    labels: Labels | None = None,
    *,
    found: Checked,
    measure: Asked = AUTO,
    session: Session = SESSION,
) -> tuple[Suggestion, ...]:
    """Networks with thresholds shared by a channel or a layer, without initial potentials of their own, and
    with weights of 6, 5 and 4 bits, and these together: fewest broken rules first, then fewest cores.

    nets: with statistics and recipe, as `build` gives them; fitted: the images to fit on, as there. images,
    labels: to measure on (labels may be None: agreement with the ANN). found: what `check` says of
    `nets.integer`, with the target and the period of the others, too. OutOfRange where nets do not know what
    made them."""
    if nets.recipe is None or nets.statistics is None:
        raise OutOfRange("suggest: the networks know no recipe and no statistics; give what `build` gives")
    x, y = checked_pairs(nets.analog, images, labels)
    wish = ask(measure)
    asked_for = of(nets.analog, y, wish.kind, wish.output, wish.ignored)
    own = asked_for.said(ann.ann(nets.analog, x, readout=asked_for.output, device=session.device))
    wanted = asked_for.wanted(y) if y is not None and asked_for.labels else own
    kind, before = marks.kind_of(asked_for), _marks(nets.integer, x, wanted, asked_for, session)
    tried = []
    for recipe, graph in _variants(nets, fitted, session.stages):
        now = check(graph, chips=found.chips, target=found.target)
        change = marks.difference(kind, _marks(graph, x, wanted, asked_for, session), before)
        scale = 1.0 if asked_for.is_share else float(np.var(wanted)) or 1.0
        tried.append(
            Suggestion(
                " ".join(recipes.words(recipe, nets.recipe)),
                recipe,
                now.cores,
                len({v.rule for v in now.violations}),
                change.value / scale,
                (change.interval[0] / scale, change.interval[1] / scale),
                len(x),
                asked_for.is_share,
                asked_for.labels and y is not None,
            )
        )
    broken = len({v.rule for v in found.violations})
    here = (broken, found.cores, 0.0)
    costs = [(s.broken, s.cores, -s.change) for s in tried]
    marked = [
        replace(s, is_worth_it=cost[:2] < here[:2] and not any(_beats(other, cost) for other in costs))
        for s, cost in zip(tried, costs, strict=True)
    ]
    return tuple(sorted(marked, key=lambda s: (s.broken, s.cores, -s.change)))


def _beats(a: tuple[int, int, float], b: tuple[int, int, float]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _variants(nets: Networks, fitted: Images | None, stages: Stages) -> Iterator[tuple[Recipe, SpikingGraph]]:
    """Each cheaper recipe once, with its integers; what differs in bits of weights alone is fitted once."""
    base = nets.recipe
    assert base is not None
    assert nets.statistics is not None
    images = None if fitted is None else checked_images(nets.analog, fitted)
    shared = _shared(base)
    for i, recipe in enumerate(shared, 1):
        stages(
            f"network {i} of {len(shared)}, {' '.join(recipes.words(recipe, base)) or 'its own thresholds'}"
        )
        made = nets if recipe == base else follow(recipe, nets.analog, nets.statistics, images, stages)
        if recipe != base:
            yield recipe, made.integer
        for bits in BITS:
            if bits < base.weight_bits:
                narrow = replace(recipe, weight_bits=bits)
                yield (
                    narrow,
                    quantize(
                        made.spiking,
                        weight_bits=bits,
                        payload_bits=narrow.payloads,
                        spikes=narrow.spikes,
                        readings=made.readings,
                    ),
                )


def _shared(base: Recipe) -> list[Recipe]:
    """The recipe itself, and those of fewer constants of neurons' own."""
    order = ("neuron", *SHARED)
    without = tuple(name for name in base.correct if name != "v_init")
    found = [base, replace(base, correct=without)]
    for who in SHARED:
        if order.index(who) > max(order.index(base.granularity), order.index(base.share)):
            shared = replace(base, granularity=who, share=who)
            found += [shared, replace(shared, correct=without)]
    return list({str(recipe): recipe for recipe in found}.values())


def _marks(
    graph: SpikingGraph, x: np.ndarray, wanted: np.ndarray, measure: Measure, session: Session
) -> np.ndarray:
    """(N,) what each image got."""
    run = batched.run(graph, x, device=session.device, memory=session.memory)
    return marks.mark(measure.said(run.rates(graph.steps, measure.output)), wanted, measure)
