"""The page's tables, and the texts that follow the chosen T."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dnisnm_lava.ir import SNM
from dnisnm_lava.ir.weight_use import weight_use
from dnisnm_lava.measures import Fit, Share
from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.explain import first_wrong
from dnisnm_lava.studies.explain.values import PARTS
from dnisnm_lava.studies.loihi2.rules import Violation
from dnisnm_lava.studies.overview import Gathered
from dnisnm_lava.studies.verdict import has_targets, verdict
from dnisnm_lava.views import curves
from dnisnm_lava.views.costs import joules
from dnisnm_lava.views.coverage import place
from dnisnm_lava.views.page import apart
from dnisnm_lava.views.page.figures import COSTS, NAMES, energies, nearness, on_front, spikes
from dnisnm_lava.views.page.figures import RULES as ENERGY_RULES
from dnisnm_lava.views.page.pieces import At, Cell, Column, Table, count, digits, percent, size
from dnisnm_lava.views.runtime import seconds, summary

NAME = Column("population", numeric=False)


def texts(found: Gathered) -> dict[str, dict[str, str]]:
    """{T: {key of an At: text}}"""
    return {str(t): dict(_texts_at(found, t)) for t in found.steps}


def _texts_at(found: Gathered, t: int) -> Iterator[tuple[str, str]]:
    scale, spent = found.scale, found.costs[t]
    yield "T", str(t)
    for key in found.qualities:
        own = found.quality(key)[t]
        yield f"quality.{key}", scale.words(scale.of(own.value))
        yield f"interval.{key}", scale.span(*scale.bounds(own))
    yield "quality.more", _more(found, t)
    said = verdict(found, t)
    yield "verdict", said.sentence
    yield "state", said.state
    if found.losses["integer"]:
        yield from _lost(found, t)
    yield "spikes", count(spikes(spent))
    yield from _energy(spent)
    time = found.runtimes[t]
    yield "latency.steps", f"{time.steps:,} step{'' if time.steps == 1 else 's'}"
    way = time.steps - t
    yield "latency.way", f"T and {way:,} step{'' if way == 1 else 's'} from layer to layer"
    yield "latency.microseconds", f"{digits(1e6 * time.latency)} µs"
    yield "latency.rate", f"{time.frames_a_second:,.0f}"
    yield from apart.texts(found, t)
    yield from _outputs(found, t)
    for i, p in enumerate(spent.populations):
        yield f"spikes.{i}", count(p.spikes)
        yield f"rate.{i}", f"{p.spikes / (p.neurons * t):.4f}"
        yield f"operations.{i}", count(p.ACs + p.MACs)
        yield f"chip.{i}", digits(p.chip / 1e6)


def _more(found: Gathered, t: int) -> str:
    """What else is measured of the integer SNN, beside its quality."""
    score = found.score("integer", t)
    if isinstance(score, Fit):
        assert score.worst is not None
        assert score.largest is not None
        told = f"R2 {score.value:.4f}" if found.scale.unit != "%" else f"RMSE {score.rmse:.4g}"
        worst = f"worst image {count(score.worst[0])}, RMSE {score.worst[1]:.4g}"
        return f"{told}; {worst}; largest error of a value {score.largest[1]:.4g}"
    return f"pixel accuracy {percent(score.value)}" if score.ious else ""


def _lost(found: Gathered, t: int) -> Iterator[tuple[str, str]]:
    """The texts, (key, text), on the loss of the integer SNN against the ANN, on the same images."""
    loss = found.losses["integer"][t]
    points = 100 * abs(loss.lost)
    word = "lost" if loss.lost > 0 else "gained"
    low, high = loss.interval
    yield "lost", "none lost" if points < 0.005 else f"{points:.2f} points {word}"
    yield "lost.interval", f"{100 * low:+.2f} to {100 * high:+.2f} points"
    if not has_targets(found):
        yield "lost.pairs", "of R2, 1 where every value is the ANN's"
        return
    better = f"better on {count(loss.worse)}, worse on {count(loss.better)} of {count(loss.images)} images"
    p = "p < 0.001" if loss.p < 0.001 else f"p = {loss.p:.2g}"
    yield "lost.pairs", f"the ANN is {better}: {p}"


def _energy(spent: Costs) -> Iterator[tuple[str, str]]:
    for rule in ENERGY_RULES:
        own, ann = energies(spent, rule)
        yield f"energy.{rule}", _joules(own)
        if ann:
            yield f"energy.{rule}.ann", _joules(ann)
            yield f"energy.{rule}.times", f"{own / ann:.2f} times"
    yield "energy.arithmetic.skipping", _joules(spent.quantized.ann_skipping / 1e6)


def _joules(microjoules: float) -> str:
    return joules(1e6 * microjoules).replace("u", "µ")


# ---------------------------------------------------------------- over T


def quality(found: Gathered) -> Table:
    scale, keys = found.scale, tuple(found.qualities)
    unit = f", {scale.unit}" if scale.unit else ""
    masks = isinstance(found.score("integer", found.steps[0]), Share) and found.comparison.measure.is_mask
    rows = []
    for t in found.steps:
        low, high = scale.bounds(found.quality("integer")[t])
        own = [scale.number(scale.of(found.quality(key)[t].value)) for key in keys]
        more = [f"{100 * found.score('integer', t).value:.2f}"] if masks else []
        rows.append((str(t), *own, f"{scale.number(low)} to {scale.number(high)}", *more))
    told = "; ".join(f"{NAMES[key]}: {found.comparison.images[key]:,} images" for key in keys)
    columns = (
        Column("T"),
        *(Column(f"{NAMES[key]}{unit}") for key in keys),
        Column("integer, 95 %"),
        *([Column("integer, pixels, %", help="pixel accuracy")] if masks else []),
    )
    return Table(f"{scale.id}-table", f"{scale.title} over T. {told}.", columns, tuple(rows))


def agreement(found: Gathered) -> Table:
    told = nearness(found)
    rows = tuple((str(t), *(told.number(told.values[key][t]) for key in told.values)) for t in found.steps)
    unit = f", {told.unit}" if told.unit else ""
    columns = (Column("T"), *(Column(f"{NAMES[key]}{unit}") for key in told.values))
    return Table("agreement-table", told.caption, columns, rows)


def outputs(found: Gathered) -> Table | None:
    """A row for each output of a network that has several."""
    names = found.comparison.outputs["integer"]
    if not names:
        return None
    columns = (
        Column("output", False),
        Column("measured by", False, "its labels or targets, where there are some"),
        *(Column(NAMES[key]) for key in ("ann", "float", "integer")),
        Column("to the ANN, %", help="RMSE of the integer SNN's raw values, by the standard deviation"),
        Column("largest", help="error of a single raw value, in the output's unit"),
    )
    keys = ("ann", "float", "integer", "error", "largest")
    rows: list[tuple[Cell, ...]] = [
        (name, _measured_by(found, name), *(At(f"output.{i}.{key}") for key in keys))
        for i, name in enumerate(names)
    ]
    return Table("outputs-table", f"Each of {len(names)} outputs, at the chosen T.", columns, tuple(rows))


def _measured_by(found: Gathered, name: str) -> str:
    measure = found.comparison.measure
    if measure.output == name and measure.labels:
        return found.scale.title
    further = found.comparison.further.get(name)
    return "the ANN's raw values" if further is None else further.aim.removesuffix(", %")


def _outputs(found: Gathered, t: int) -> Iterator[tuple[str, str]]:
    """What follows T of each output."""
    compared = found.comparison
    for i, (name, fits) in enumerate(compared.outputs["integer"].items()):
        at = t if t in fits else max(fits)
        fit = fits[at]
        assert isinstance(fit, Fit)
        assert fit.largest is not None
        yield f"output.{i}.error", f"{100 * fit.relative:.2f}"
        yield f"output.{i}.largest", f"{fit.largest[1]:.4g}"
        measure = compared.further.get(name)
        for key in ("ann", "float", "integer"):
            if compared.measure.output == name and compared.measure.labels:
                yield f"output.{i}.{key}", found.scale.words(found.scale.of(found.quality(key)[t].value))
            elif measure is not None:
                of = compared.met[key][name]
                unit = " %" if measure.is_share else ""
                yield f"output.{i}.{key}", f"{measure.shown(of[0 if key == 'ann' else at].quality)}{unit}"
            else:
                yield f"output.{i}.{key}", ""


def cost(found: Gathered) -> Table:
    rows = []
    for t in found.steps:
        told = [energies(found.costs[t], rule) for rule in ENERGY_RULES]
        pairs = [digits(e) for pair in told for e in pair if e]
        rows.append((str(t), count(spikes(found.costs[t])), *pairs))
    columns = (
        Column("T"),
        Column("spikes"),
        Column("arithmetic, µJ"),
        Column("the ANN, µJ", help="the quantized ANN, by integer arithmetic"),
        Column("paper, µJ"),
        Column("its ANN, µJ", help="the ANN in floating point, by the paper's rule"),
        Column("chip, µJ", help="a chip like Loihi, which knows no ANN"),
    )
    return Table("cost-table", "Spikes and estimated energy of an image.", columns, tuple(rows))


def trade(found: Gathered) -> Table:
    fronts = {cost: on_front(found, cost) for cost in COSTS}
    rows = []
    for t in found.steps:
        marks = ("yes" if kept[t] else "no" for kept in fronts.values())
        spent = found.costs[t]
        rows.append(
            (
                str(t),
                found.scale.number(found.scale.of(found.quality("integer")[t].value)),
                count(spikes(spent)),
                digits(energies(spent, "arithmetic")[0]),
                seconds(found.runtimes[t].latency).replace("us", "µs"),
                *marks,
            )
        )
    columns = (
        Column("T"),
        Column(f"{found.scale.title}, {found.scale.unit}".rstrip(", "), help="of the integer SNN"),
        Column("spikes"),
        Column("energy, µJ"),
        Column("latency", help=f"seconds of {found.timed}, at least"),
        *(Column(f"front in {cost}", False) for cost in COSTS),
    )
    return Table("trade-table", "Every T, and whether another T is better for less.", columns, tuple(rows))


# ---------------------------------------------------------------- populations


def activity(found: Gathered) -> Table:
    columns = (
        NAME,
        Column("kind", False),
        Column("neurons"),
        Column("spikes", help="an image, at the chosen T"),
        Column("rate", help="spikes a neuron and step"),
        Column("synaptic operations", help="an image, at the chosen T"),
        Column("µJ", help="an image, estimated for a chip like Loihi"),
    )
    some = next(iter(found.costs.values()))
    rows = tuple(
        (
            p.name,
            p.kind,
            count(p.neurons),
            At(f"spikes.{i}"),
            At(f"rate.{i}"),
            At(f"operations.{i}"),
            At(f"chip.{i}"),
        )
        for i, p in enumerate(some.populations)
    )
    return Table(
        "activity-table",
        f"What each population does for an image, on average of {some.images:,}.",
        columns,
        rows,
    )


def errors(found: Gathered) -> Table:
    told = found.explanation
    kind = Column(
        "kind",
        False,
        "of the ANN's tensor; ReLU is a Rectifier, linear a Relay, another function an Activation",
    )
    wholes = (
        Column("float SNN", help="its error, all but integers"),
        Column("integer SNN", help="its error, all parts together"),
    )
    columns = (NAME, kind, *(Column(name) for name in PARTS), *wholes)
    rows = tuple(
        (
            p.name,
            p.kind,
            *(f"{100 * first_wrong.size(p, n):.3f}" for n in PARTS),
            f"{100 * p.spiking.mean_squared:.3f}",
            f"{100 * p.total.mean_squared:.3f}",
        )
        for p in told.populations
    )
    caption = (
        f"How large each part is by itself, as in the sentence above: its mean square, % of the mean "
        f"squared activation. Parts may undo one another: they need not sum, and one may be larger than the "
        f"whole. Integers: what they add. {told.images:,} images, T = {told.steps}."
    )
    return Table("error-table", caption, columns, rows)


def weights(found: Gathered) -> Table:
    columns = (
        NAME,
        Column("from", False),
        Column("exponent", help="a weight is worth so many doublings of its channel's unit"),
        Column("rms", help="of the integer weights"),
        Column("zeros, %", help="integer weights that are 0"),
        Column("bits used", help="log2(1 + sqrt(12) rms): below 4, their rounding costs accuracy"),
    )
    rows = tuple(
        (
            use.population,
            use.source,
            str(use.exponent),
            f"{use.rms:.1f}",
            f"{100 * use.zeros:.1f}",
            f"{use.bits:.1f}",
        )
        for use in weight_use(found.integer)
    )
    return Table("weight-table", "The integer weights of each projection.", columns, rows)


def neurons(found: Gathered) -> Table:
    columns: tuple[Column, ...] = (
        NAME,
        Column("neurons"),
        Column("K", help="levels of a spike"),
        Column("lead", help="steps before it may fire"),
        Column("up", help="positive spikes a neuron and step"),
        Column("down", help="negative spikes a neuron and step"),
        Column("dead", help="threshold 0: never active in calibration"),
        Column("silent", help="sent nothing on these images"),
        Column("inactive", help="0 in the ANN on these images"),
        Column("saturations", help="of the state, all steps and images"),
        Column("headroom", help="bits of the 24-bit state that no image needed"),
        Column("theta", help="the median of the living neurons"),
        Column("largest", help="the largest theta"),
    )
    sent = {p.name: curves.told(p.curve) for p in found.integer.of(SNM) if p.curve is not None}
    if sent:
        columns = (*columns, Column("curve", False, "of its running sum, that a neuron sends the change of"))
    rows = []
    for p in found.explanation.populations:
        at = p.thresholds
        theta = ("", "") if at is None else (f"{at.median:.3g}", f"{at.largest:.3g}")
        room = "" if p.headroom is None else f"{p.headroom.bits_left:.1f}"
        fires = p.kind != "ReadOut"
        told = (count(p.dead), count(p.silent), count(p.inactive)) if fires else ("",) * 3
        rate = (f"{p.rate_up:.4f}", f"{p.rate_down:.4f}") if fires else ("", "")
        rows.append(
            (
                p.name,
                count(p.neurons),
                str(p.levels or ""),
                str(p.lead),
                *rate,
                *told,
                count(p.saturations),
                room,
                *theta,
                *((sent.get(p.name, ""),) if sent else ()),
            )
        )
    return Table("neuron-table", "Neurons, firing and state of each population.", columns, tuple(rows))


# ---------------------------------------------------------------- network, chip, checks


def coverage(found: Gathered) -> Table | None:
    if found.coverage is None:
        return None
    columns = (
        Column("layer", False),
        Column("operation", False),
        Column("line", False),
        Column("how", False),
        Column("became", False),
        Column("shapes", False),
        Column("parameters"),
        Column("MACs"),
    )
    rows = tuple(
        (
            r.name,
            r.shown,
            place(r.line),
            r.how,
            r.became,
            f"{', '.join(map(size, r.inputs))} → {size(r.output)}",
            count(r.parameters),
            count(r.macs),
        )
        for r in found.coverage.rows
    )
    return Table("coverage-table", "Each operation of the model, and what became of it.", columns, rows)


def resources(found: Gathered) -> Table:
    columns = (
        NAME,
        Column("kind", False),
        Column("shape", False),
        Column("on a core", False),
        Column("cores"),
        Column("input axons", help="of a core"),
        Column("neurons", help="of a core"),
        Column("state words", help="of a neuron"),
        Column("synapses"),
        Column("stored", help="weights that are kept apart"),
        Column("words", help="of a core's synapse memory"),
    )
    rows = tuple(
        (
            r.name,
            r.kind,
            size(r.shape),
            size(r.tile),
            count(r.cores) if r.fits else "no fit",
            count(r.axons),
            count(r.neurons_on_core),
            count(r.state_words),
            count(r.synapses),
            count(r.weights),
            count(r.words),
        )
        for r in found.checked.rows
    )
    return Table(
        "resource-table",
        f"Cores of {found.checked.target.name} that each population would take, by an estimate.",
        columns,
        rows,
    )


def runtimes(found: Gathered) -> Table:
    columns = (
        Column("T"),
        Column("steps", help="until the answer to an image stands"),
        Column("latency", help="seconds of them, at least"),
        Column("an image", help="where one comes right behind the other, at least"),
        Column("frames a second", help="then, at most"),
        Column("decides", False, help="what the fullest core or link has too much of"),
        Column("where", False),
        Column("of all", help="of what decides: of all cores, for an image"),
        Column("of the fullest", help="core, in its fullest step"),
        Column("on twice the cores", help="an image, if that population lay on twice as many"),
    )
    rows = tuple((str(t), *summary(found_at)) for t, found_at in found.runtimes.items())
    return Table("runtime-table", f"How long {found.timed} takes, at least, after T steps.", columns, rows)


def rules(found: Gathered) -> Table:
    broken: dict[str, int] = {}
    for v in found.checked.violations:
        broken[v.rule] = broken.get(v.rule, 0) + 1
    rows = tuple(
        (use.rule, f"does not hold, {broken[use.rule]}×" if use.rule in broken else "holds")
        for use in found.checked.uses
    )
    return Table(
        "rule-table",
        f"Design rules of {found.checked.target.name}.",
        (Column("rule", False), Column("result", False)),
        rows,
    )


def broken(found: Gathered) -> Table | None:
    """A row for each rule that does not hold, with the worst of its violations."""
    rows = []
    for rule in dict.fromkeys(v.rule for v in found.checked.violations):
        own = [v for v in found.checked.violations if v.rule == rule]
        worst = max(own, key=lambda v: v.value)
        where = worst.population or "all"
        more = f", worst of {count(len(own))}" if len(own) > 1 else ""
        rows.append((rule, f"{where}{more}", count(worst.value), count(worst.limit), worst.remedy))
    return _of_violations("broken-table", "What does not hold, and what to do.", rows)


def cautions(found: Gathered) -> Table | None:
    """Where Lava's own processes would go wrong; no matter of the chip."""
    return _of_violations("caution-table", "In Lava, not on a chip.", _each(found.checked.cautions))


def violations(found: Gathered) -> Table | None:
    """All of them, where a rule has more than one."""
    every = found.checked.violations
    if len({v.rule for v in every}) == len(every):
        return None
    return _of_violations("violation-table", "Where each rule does not hold.", _each(every))


def _each(every: Sequence[Violation]) -> list[tuple[str, ...]]:
    return [(v.rule, v.population or "all", count(v.value), count(v.limit), v.remedy) for v in every]


def _of_violations(name: str, caption: str, rows: Sequence[tuple[str, ...]]) -> Table | None:
    columns = (
        Column("rule", False),
        Column("population", False),
        Column("value"),
        Column("limit"),
        Column("what now", False),
    )
    return Table(name, caption, columns, tuple(rows)) if rows else None


def equality(found: Gathered) -> Table | None:
    if not found.comparison.equality:
        return None
    columns = (
        Column("equality", False),
        Column("images"),
        Column("steps"),
        Column("spikes compared"),
        Column("different"),
        Column("first", False),
    )
    rows = tuple(
        (
            f"{r.a} = {r.b}",
            count(r.images),
            count(r.steps),
            count(r.spikes_compared),
            count(r.different),
            r.first,
        )
        for r in found.comparison.equality
    )
    return Table(
        "equality-table",
        "Two executors side by side: every spike and every read-out, compared for equality.",
        columns,
        rows,
    )
