"""A comparison, a network and a model: for people (a table, a picture) and for programs (a dictionary for JSON)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.backends.results import Difference
from dnisnm_lava.evaluation import equalities
from dnisnm_lava.evaluation.tallies import Tally, branch, number, scores
from dnisnm_lava.frontend.coverage import Coverage, Row
from dnisnm_lava.ir import SNM, Input, ReadOut, SpikingGraph, sources
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.weight_use import used
from dnisnm_lava.measures import Fit, Measure, Score
from dnisnm_lava.stages.quantization import state_ranges
from dnisnm_lava.views.png import png
from dnisnm_lava.views.sanity import alarms_told

if TYPE_CHECKING:
    from dnisnm_lava.evaluation.comparison import Comparison
    from dnisnm_lava.evaluation.exits import Exits

HOW = ("exact", "approximated", "dropped", "refused")
ROWS = {"ann": "ANN", "float": "float SNN", "integer": "integer SNN", "lava": "Lava fixed_pt"}


# ---------------------------------------------------------------- a comparison


def comparison_json(comparison: Comparison, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `result.json`: accuracies as shares of 1, by step as strings; of values, R2 and RMSE instead."""
    is_share = comparison.measure.is_share
    result: dict[str, Any] = {
        "measure": comparison.measure.facts, "accuracy": scores_json(comparison.scores) if is_share else {},
        "images": dict(comparison.images), "equality": equality_json(comparison.equality), "saturations": comparison.saturations,
        "clipped_inputs": comparison.clipped_inputs, "dead_neurons": comparison.dead_neurons,
        "populations": [asdict(p) for p in comparison.populations],
        "agreement": scores_json(comparison.agreements) if is_share else {}, "provenance": dict(provenance),
        "alone": {key: {str(t): count for t, count in found.items()} for key, found in comparison.alone.items()},
        "alarms": [asdict(alarm) for alarm in comparison.alarms],
    }  # fmt: skip
    if not is_share:
        for name in ("value", "rmse"):
            key = {"value": "r2"}.get(name, name)
            result[key] = scores_json(comparison.scores, name)
            result[f"{key}_to_ann"] = scores_json(comparison.agreements, name)
    if comparison.equality:
        equal, images = equalities.on_lava(comparison.equality)
        result["on_lava"] = {"images": images, "equal": equal}
    return result


def scores_json(scores: Mapping[str, Score | Mapping[int, Score]], name: str = "value") -> dict[str, Any]:
    """{network: `name` of its score, or {T as a string: that}}."""
    return {key: at_steps(found, name) if isinstance(found, Mapping) else getattr(found, name) for key, found in scores.items()}


def at_steps(scores: Mapping[int, Score], name: str = "value") -> dict[str, float]:
    return {str(t): getattr(score, name) for t, score in scores.items()}


def simulation_json(summed: Tally, measure: Measure, backend: str, steps: int, exits: Exits | None) -> dict[str, Any]:
    """The result of `simulate`: accuracies as shares of 1, by step as strings; of values, R2 and RMSE instead."""
    images = number(summed, "images")
    saturations = branch(summed, "saturations")
    found = scores(summed, measure, "labels")
    result: dict[str, Any] = {
        "measure": measure.facts, "accuracy": at_steps(found) if measure.is_share else {}, "images": images, "steps": steps,
        "backend": backend, "spike_counts": summed["spikes"], "saturations": sum(number(saturations, name) for name in saturations),
        "clipped_inputs": summed["clipped_inputs"],
    }  # fmt: skip
    if not measure.is_share:
        result |= {"r2": at_steps(found), "rmse": at_steps(found, "rmse")}
    if exits is not None:
        early = measure.score(branch(summed, "early", "counts"), branch(summed, "labels", "spread"), images)
        result["early_exit"] = {
            "confidence": exits.confidence, "calibration_images": exits.images, "accuracy": early.value,
            "mean_steps": number(summed, "early", "steps") / images, "bounds": exits.bounds.tolist(),
        }  # fmt: skip
    return result


def simulation_table(result: Mapping[str, Any], measure: Measure, title: str) -> RenderableType:
    """Accuracy by step, and with early exit; of values, R2 and RMSE; spikes, saturations and clipped values below."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("T")
    table.add_column(measure.name, justify="right")
    if not measure.is_share:
        table.add_column("RMSE", justify="right")
    for t, score in result["accuracy" if measure.is_share else "r2"].items():
        table.add_row(t, measure.shown(score), *([] if measure.is_share else [f"{result['rmse'][t]:.4g}"]))
    early = result.get("early_exit")
    if early:
        told = f"{early['mean_steps']:.2f} (early exit, confidence {early['confidence']:g})"
        table.add_row(told, measure.shown(early["accuracy"]))
    spikes = sum(c["up"] + c["down"] for c in result["spike_counts"].values()) / result["images"]
    lines = Text(
        f"{spikes:,.0f} spikes an image · saturations {result['saturations']:,} · clipped input values "
        f"{result['clipped_inputs']:,}\n{measure}"
    )
    return Panel(Group(table, lines), title=Text(f"{title}, {result['images']:,} images"), box=box.ROUNDED, expand=False)


def equality_json(rows: tuple[Difference, ...]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def comparison_table(comparison: Comparison, title: str) -> RenderableType:
    """One framed table: what was measured by step, then what Lava's images say and the equalities, then what was lost on the way."""
    measure = comparison.measure
    parts: list[RenderableType] = [_scores_table(comparison, comparison.scores, measure.name)]
    if measure.labels and not measure.is_share:
        parts.append(_scores_table(comparison, comparison.agreements, "R2 to the ANN"))
    neurons = sum(p.neurons for p in comparison.populations)
    lines = Text(
        f"{'' if measure.is_share else _rmse(comparison)}saturations {comparison.saturations:,} · "
        f"clipped input values {comparison.clipped_inputs:,} · dead neurons {comparison.dead_neurons:,} of {neurons:,}\n{measure}"
    )
    if comparison.equality:
        parts += [Text(f"{ROWS['lava']}: {equalities.lava_told(comparison.equality)}"), equality_told(comparison.equality), ""]
    return Panel(Group(alarms_told(comparison.alarms), *parts, lines), title=Text(title), box=box.ROUNDED, expand=False)


def _scores_table(comparison: Comparison, scores: Mapping[str, Score | Mapping[int, Score]], heading: str) -> Table:
    """A row a network, a column a T; the ANN's, which has no T, in each. Lava's images are few: no score to set beside that of many."""
    measured = {key: found for key, found in scores.items() if key != "lava"}
    steps = sorted({t for found in measured.values() if isinstance(found, Mapping) for t in found})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(heading)
    table.add_column("images", justify="right")
    for t in steps:
        table.add_column(f"T = {t}", justify="right")
    for key, found in measured.items():
        row = [found[t] if isinstance(found, Mapping) else found for t in steps]
        table.add_row(ROWS[key], f"{comparison.images[key]:,}", *(comparison.measure.shown(score.value) for score in row))
    return table


def _rmse(comparison: Comparison) -> str:
    """Of each network in a line, in the units of the output."""
    found = {key: score[max(score)] if isinstance(score, Mapping) else score for key, score in comparison.scores.items() if key != "lava"}
    told = ", ".join(f"{ROWS[key]} {score.rmse:.4g}" for key, score in found.items() if isinstance(score, Fit))
    deviation = next(score.variance**0.5 for score in found.values() if isinstance(score, Fit))
    of = "targets" if comparison.measure.labels else "ANN's values"
    return f"RMSE at the last T: {told}; standard deviation of the {of} {deviation:.4g}\n"


def equality_told(rows: tuple[Difference, ...]) -> RenderableType:
    """A line with a tick; where something differs, also a table of what was compared with what, and the first difference."""
    lines = Text("\n".join(equalities.told(rows)))
    return lines if all(row.different == 0 for row in rows) else Group(lines, _equality_table(rows))


def _equality_table(rows: tuple[Difference, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("equality")
    for heading in ("images", "steps", "spikes compared", "different"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(f"{row.a} = {row.b}", str(row.images), str(row.steps), f"{row.spikes_compared:,}", f"{row.different:,}")
        if row.first:
            table.add_row(f"  first: {row.first}")
    return table


def accuracy_picture(comparison: Comparison, title: str) -> bytes:
    """Accuracy, or R2, over steps, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    measure, drawn = comparison.measure, 100 if comparison.measure.is_share else 1
    figure = Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    styles = {"float": ("o-", "C0"), "integer": ("s--", "C1")}
    for key, value in comparison.accuracy.items():
        label = f"{ROWS[key]} ({comparison.images[key]:,} images)"
        if key == "lava":  # few images: no accuracy to set beside that of many
            axes.plot([], [], " ", label=f"{ROWS[key]}: {equalities.lava_told(comparison.equality)}")
        elif isinstance(value, float):
            axes.axhline(drawn * value, color="0.4", linewidth=1, label=label)
        else:
            style, color = styles[key]
            axes.plot(list(value), [drawn * score for score in value.values()], style, color=color, markersize=5, label=label)
    ticks = sorted({t for value in comparison.accuracy.values() if not isinstance(value, float) for t in value})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(t) for t in ticks])
    if measure.is_share:
        axes.set_ylim(0, 102)
    axes.set_xlabel("time steps T")
    axes.set_ylabel(measure.name)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return png(figure)


# ---------------------------------------------------------------- a network


def network_json(graph: SpikingGraph) -> dict[str, Any]:
    """An integer graph in figures: one entry a population, with its thresholds, payloads, ranges and bits. depth: steps in Lava
    before its window begins. weight_bits, exponents, weight_rms (of codes), weight_zeros (share of codes), effective_bits: by projection.
    weight_bits, state_bits and the input's `bits` have a sign, payload_bits none."""
    ranges = {r.name: r for r in state_ranges(graph)}
    offsets = graph.offsets()
    populations = []
    for p in graph:
        entry: dict[str, Any] = {"name": p.name, "kind": type(p).__name__, "shape": list(p.shape), "inputs": list(sources(p))}
        entry["neurons"], entry["depth"] = int(np.prod(p.shape)), offsets[p.name]
        if isinstance(p, Input):
            entry["bits"], entry["image_shape"] = p.bits, list(p.image_shape)
        if isinstance(p, SNM | ReadOut):
            entry["weights"] = sum(q.weight.size for q in p.projections)
            entry["weight_bits"] = [signed_bits(q.weight) for q in p.projections]
            uses = [used(p.name, q) for q in p.projections]
            entry["exponents"] = [use.exponent for use in uses]
            entry["weight_rms"], entry["weight_zeros"] = [use.rms for use in uses], [use.zeros for use in uses]
            entry["effective_bits"] = [use.bits for use in uses]
            entry["largest_current"], entry["expected_state"] = ranges[p.name].current, ranges[p.name].expected
            entry["state_bits"] = signed_bits(np.array(entry["expected_state"]))
        if isinstance(p, SNM):
            alive = p.vth[p.vth > 0]
            entry["payload_bits"] = int(p.payload.max(initial=0)).bit_length()
            entry["vth"] = [int(alive.min()), int(alive.max())] if alive.size else [0, 0]
            entry["payload"] = [int(p.payload[p.vth > 0].min()), int(p.payload.max())] if alive.size else [0, 0]
            entry.update(levels=p.levels, lead=p.lead, two_sided=p.two_sided, down=p.down, dead_neurons=p.vth.size - alive.size)
        populations.append(entry)
    return {
        "steps": graph.steps,
        "latency": graph.steps + max(offsets[p.name] for p in graph.readouts),
        "neurons": sum(p.vth.size for p in graph.of(SNM)),
        "dead_neurons": sum(graph.dead_neurons.values()),
        "weights": sum(entry.get("weights", 0) for entry in populations),
        "state_limit": next(iter(ranges.values())).limit,
        "digest": graph.digest(),
        "populations": populations,
    }


def signed_bits(codes: np.ndarray) -> int:
    """Bits of the narrowest signed integers that hold every code and its negative."""
    return int(np.abs(codes.astype(np.int64)).max(initial=0)).bit_length() + 1


def network_table(graph: SpikingGraph, title: str) -> RenderableType:
    """`network_json` for people. Readable from 100 columns on."""
    facts = network_json(graph)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("population", overflow="fold")
    table.add_column("kind", min_width=len(ReadOut.__name__))
    table.add_column("shape", no_wrap=True)
    for heading in ("depth", "K", "lead", "weights", "bits", "used", "vth", "dead"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in facts["populations"]:
        table.add_row(*(Text(cell) for cell in _network_row(entry)))
    lines = Text(
        f"{facts['neurons']:,} spiking neurons, {facts['dead_neurons']:,} of them dead; {facts['weights']:,} weights\n"
        f"T = {facts['steps']:,} steps; the read-outs are done {facts['latency']:,} steps after an image arrives\n"
        "depth: steps before a window begins; K: levels of a spike; lead: steps before a neuron may fire\n"
        f"{_lower_thresholds(facts['populations'])}"
        f"bits: of weights / payloads / potentials, these of {STATE.bits}, as calibration saw them\n"
        "used: bits that the weights of each projection really use, log2(1 + sqrt(12) rms)\n"
        "vth: thresholds, least and largest, in integer units; dead: neurons with threshold 0, never active in calibration\n"
        f"digest {facts['digest']}"
    )
    return Panel(Group(table, lines), title=Text(title), box=box.ROUNDED, expand=False)


def _lower_thresholds(populations: Sequence[Mapping[str, Any]]) -> str:
    """A line where a level is taken back elsewhere than at the threshold below 0."""
    shares = Counter(entry["down"] for entry in populations if entry.get("down", 1) != 1)
    told = ", ".join(f"{share:g} of the threshold in {count:,} populations" for share, count in sorted(shares.items()))
    return f"lower threshold, where a level is taken back: {told}\n" if told else ""


def _network_row(entry: Mapping[str, Any]) -> list[str]:
    kind = f"{entry['kind']}, two-sided" if entry.get("two_sided") else entry["kind"]
    row = [entry["name"], kind, "x".join(map(str, entry["shape"])), str(entry["depth"])]
    weights = [_short(entry.get("weights", 0)), _bits(entry), ",".join(f"{b:.1f}" for b in entry.get("effective_bits", ()))]
    if "vth" not in entry:
        return [*row, "", "", *weights, "", ""]
    span = "-".join(map(_short, entry["vth"]))
    return [*row, str(entry["levels"]), str(entry["lead"]), *weights, span, _short(entry["dead_neurons"])]


def _bits(entry: Mapping[str, Any]) -> str:
    """8/5/22 for neurons, 8/-/19 for a read-out, -/8/- for the image; 8,4/5/22 where projections differ; nothing for a max-pool."""
    weights = ",".join(map(str, dict.fromkeys(entry.get("weight_bits", ()))))
    bits = [weights, str(entry.get("payload_bits", entry.get("bits", ""))), str(entry.get("state_bits", ""))]
    return "/".join(b or "-" for b in bits) if any(bits) else ""


# ---------------------------------------------------------------- a model


def coverage_json(coverage: Coverage) -> dict[str, Any]:
    """Every row, and the totals."""
    rows = [{**asdict(r), "inputs": [list(shape) for shape in r.inputs], "output": list(r.output)} for r in coverage.rows]
    counts = {how: coverage.count(how) for how in HOW}
    others = {f.name: getattr(coverage, f.name) for f in fields(coverage)}
    return {**others, "rows": rows, "operations": counts, "populations": dict(coverage.populations), "notices": list(coverage.notices)}


def coverage_table(coverage: Coverage) -> RenderableType:
    """One row an operation, then the totals, then the notices; where operations are refused, these alone. Readable from 100
    columns on."""
    if coverage.refused:
        return _refused_table(coverage)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("operation", "layer", "line", "became", "shapes"):
        table.add_column(heading, overflow="fold")
    for heading in ("weights", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in coverage.rows:
        table.add_row(*_coverage_row(row))
    hows = ", ".join(f"{coverage.count(how):,} {how}" for how in HOW[:-1])
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in coverage.populations.items())
    lines = Text(
        f"{len(coverage.rows):,} operations: {hows}\n"
        f"{sum(coverage.populations.values()):,} populations: {kinds}; {coverage.neurons:,} neurons\n"
        "a Rectifier (ReLU) and a Relay (linear) become SNM neurons\n"
        f"{coverage.projections:,} projections; the longest path has {coverage.depth:,} synapses\n"
        f"{coverage.parameters:,} parameters; {coverage.macs:,} MACs an image, {coverage.graph_macs:,} in the projections"
    )
    parts: list[RenderableType] = [table, lines]
    if coverage.notices:
        parts += ["", Text("\n".join(f"notice: {notice}" for notice in coverage.notices))]
    return Panel(Group(*parts), title=Text(coverage.model), box=box.ROUNDED, expand=False)


def _refused_table(coverage: Coverage) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("refused", "layer", "line", "reason", "what now"):
        table.add_column(heading, overflow="fold")
    for row in coverage.refused:
        table.add_row(*map(Text, (row.shown, row.name, place(row.line), row.reason, row.remedy)))
    lines = Text(f"{refused_sentence(coverage)}; the others convert, or depend on these")
    return Panel(Group(table, lines), title=Text(coverage.model), box=box.ROUNDED, expand=False)


def refused_sentence(coverage: Coverage) -> str:
    """How many operations are refused; nothing where none is."""
    count = len(coverage.refused)
    return f"{count:,} operation{'s' * (count > 1)} of {len(coverage.rows):,} cannot be converted" if count else ""


def _coverage_row(row: Row) -> list[Text]:
    became = f"{row.how}: {row.became}" if row.became else row.how
    shapes = ", ".join(_size(shape) for shape in row.inputs) + f" -> {_size(row.output)}"
    cells = [row.shown, row.name, place(row.line), became, shapes, _short(row.parameters), _short(row.macs)]
    return [Text(cell) for cell in cells]  # code may hold [brackets], which are markup in a plain string


def place(line: str) -> str:
    """`/some/where/model.py:12 `code`` without the folders, and without what torch.fx writes behind the code."""
    file, quote, code = line.partition("`")
    return file.rsplit("/", 1)[-1] + (f"{quote}{code.partition(';')[0].rstrip('`')}`" if quote else "")


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "1"


def _short(number: int) -> str:
    """Four characters or so: 999, 64.0k, 118M; nothing for 0."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            share = number / size
            return f"{share:.0f}{unit}" if share >= 100 else f"{share:.1f}{unit}"
    return str(number) if number else ""
