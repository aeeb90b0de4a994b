"""Several networks in a table: for people, for spreadsheets, for LaTeX, on a page."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dnisnm_lava.evaluation.marks import Difference
from dnisnm_lava.evaluation.several import RULES, Curve, Point, between
from dnisnm_lava.views.plots import as_file, bars, figure

SCORES = "network T score low high ann difference difference_low difference_high latency spikes"
CSV = (*SCORES.split(), *(f"energy_{rule}_pJ" for rule in RULES), "images")


def rows(curves: Sequence[Curve]) -> list[tuple[Curve, Point]]:
    return [(curve, point) for curve in curves for point in curve.points]


def csv_of(curves: Sequence[Curve]) -> str:
    """A row a point. score, ann: shares of 1, or R2; difference: score less ann, paired, with its 95 %
    interval; low, high: 95 % of the score, around `ann` where paired; empty where not known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV)
    for curve, p in rows(curves):
        low, high = p.interval or ("", "")
        loss = ("", "", "") if p.loss is None else (p.loss.value, *p.loss.interval)
        energies = [(p.energy or {}).get(rule, "") for rule in RULES]
        costs = ["" if cost is None else cost for cost in (p.latency, p.spikes)]
        ann = "" if curve.ann is None else curve.ann
        writer.writerow(
            [curve.name, p.steps, p.score, low, high, ann, *loss, *costs, *energies, curve.images]
        )
    return out.getvalue()


def _score(curve: Curve, score: float) -> str:
    return f"{100 * score:.2f}" if curve.is_share else f"{score:.4f}"


def difference_told(curve: Curve, found: Difference | None) -> str:
    """`-0.10 (-0.42 to 0.21)`, in points or of R2."""
    if found is None:
        return ""
    scale, digits = (100, 2) if curve.is_share else (1, 4)
    value, low, high = (scale * n for n in (found.value, *found.interval))
    return f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _cells(curve: Curve, p: Point, rule: str) -> tuple[str, ...]:
    return (
        curve.name,
        str(p.steps),
        _score(curve, p.score),
        difference_told(curve, p.loss),
        "" if p.latency is None else f"{p.latency:,}",
        "" if p.spikes is None else f"{p.spikes:,.0f}",
        "" if not p.energy else three_digits(p.energy[rule] / 1e6),
    )


def three_digits(value: float) -> str:
    """`1,810`, `41.2`, `0.0123`: never with an exponent."""
    return f"{float(f'{value:.3g}'):,.10f}".rstrip("0").rstrip(".")


def _headings(curves: Sequence[Curve], rule: str) -> tuple[str, ...]:
    own = curves[0].heading
    return ("network", "T", own, "SNN less ANN, 95 %", "latency", "spikes", f"energy ({rule}), uJ")


def _known(curves: Sequence[Curve], rule: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and cells, without columns of which nothing is known."""
    headings, cells = _headings(curves, rule), [_cells(curve, p, rule) for curve, p in rows(curves)]
    kept = [i for i in range(len(headings)) if any(row[i] for row in cells)]
    return tuple(headings[i] for i in kept), [tuple(row[i] for i in kept) for row in cells]


def read_early(curves: Sequence[Curve]) -> str:
    """Which networks were read at fewer steps than they were made for; nothing where none was."""
    names = [c.name for c in curves if len(c.points) > 1 and not c.for_each]
    of = "one network each" if len(names) > 1 else "one network"
    told = (
        f"{', '.join(names)}: {of}, made for the last T and read earlier; compare --at makes one for each T"
    )
    return told if names else ""


def pairs_told(curves: Sequence[Curve]) -> list[str]:
    """How each network differs from the first, both at their own T, paired."""
    first = curves[0]
    found = [(curve, between(curve, first)) for curve in curves[1:]]
    unit = " points" if first.is_share else " of R2"
    return [
        f"{curve.name} at T = {curve.last.steps} less {first.name} at T = {first.last.steps}: "
        f"{difference_told(curve, d)}{unit}, 95 %, paired on {curve.images:,} images"
        for curve, d in found
        if d is not None
    ]


def table(curves: Sequence[Curve], title: str, rule: str = "chip") -> RenderableType:
    """For people; energies by that rule."""
    headings, cells = _known(curves, rule)
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        found.add_column(heading, justify="left" if i == 0 else "right")
    for row in cells:
        found.add_row(*map(Text, row))
    lines = [_ann_told(curves), *pairs_told(curves), read_early(curves)]
    return Panel(
        Group(found, Text("\n".join(filter(None, lines)))), title=Text(title), box=box.ROUNDED, expand=False
    )


def _ann_told(curves: Sequence[Curve]) -> str:
    known = {c.ann: c.name for c in curves if c.ann is not None}
    if len(known) == 1:
        return f"ANN: {_score(curves[0], next(iter(known)))}"
    return "; ".join(f"ANN of {name}: {_score(curves[0], ann)}" for ann, name in known.items())


LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def latex(curves: Sequence[Curve], rule: str = "chip") -> str:
    """A tabular with booktabs' rules, and comments: what its intervals are, and what was read early."""
    headings, cells = _known(curves, rule)
    body = [
        " & ".join([name.translate(LATEX), *(cell.replace("-", "$-$") for cell in numbers)])
        for name, *numbers in cells
    ]
    head = " & ".join(h.translate(LATEX).replace("uJ", r"\textmu J") for h in headings)
    ann, early = _ann_told(curves).translate(LATEX), read_early(curves)
    lines = [
        f"% {bars(curves)}; needs \\usepackage{{booktabs,textcomp}}",
        *([f"% {early}"] if early else []),
        f"\\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
        "\\toprule",
        head + r" \\",
        "\\midrule",
        *(row + r" \\" for row in body),
        *(["\\midrule", f"\\multicolumn{{{len(headings)}}}{{l}}{{{ann}}} \\\\"] if ann else []),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
figure {{ margin: 1rem 0; background: #fff; border-radius: 6px; }}
svg {{ width: 100%; height: auto; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }}
th:first-child, td:first-child {{ text-align: left; }}
</style></head><body><h1>{title}</h1>
{figures}
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></div>
{lines}
</body></html>
"""


def page(curves: Sequence[Curve], title: str, rule: str = "chip") -> str:
    """One HTML file, without a script: a figure over each axis that all networks know, and the table."""
    headings, cells = _known(curves, rule)
    axes = [x for x in ("steps", "latency", "spikes", "energy") if _all_know(curves, x, rule)]
    figures = [
        as_file(figure(curves, x=x, rule=rule, width="page"), "svg").decode().partition("<svg")[2]
        for x in axes
    ]
    lines = [_ann_told(curves), *pairs_told(curves), bars(curves), read_early(curves)]
    return PAGE.format(
        title=html.escape(title),
        figures="\n".join(f"<figure><svg{svg}</figure>" for svg in figures),
        head="".join(f"<th>{html.escape(h)}</th>" for h in headings),
        body="\n".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in cells
        ),
        lines="\n".join(f"<p>{html.escape(line)}</p>" for line in lines if line),
    )


def _all_know(curves: Sequence[Curve], x: str, rule: str) -> bool:
    return all(any(p.cost(x, rule) is not None for p in c.points) for c in curves)
