"""`plot`: several results of `compare` in one figure and one table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dnisnm_lava.cli.options import Overwriting
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.values import _words
from dnisnm_lava.cli.verb import argument, option
from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.evaluation.several import Curve

AXES, RULES, WIDTHS = (
    ("steps", "latency", "spikes", "energy"),
    ("chip", "arithmetic", "paper"),
    ("column", "page"),
)
FIGURES, TABLES = (".pdf", ".svg", ".png"), (".csv", ".tex", ".html")


@dataclass(frozen=True, kw_only=True)
class Plot(Overwriting):
    results: list[Path] = argument(
        nargs="+",
        type=Path,
        metavar="RESULT",
        help="what compare --out wrote: a folder, its result.json, or a folder of such",
    )
    out: list[Path] = option(
        "-o",
        "--out",
        nargs="+",
        type=Path,
        required=True,
        metavar="FILE",
        help="files to write, behind the results; their endings say what: .pdf, .svg, .png, .csv, .tex, or "
        ".html with all of it",
    )
    x: str = option(choices=AXES, default="steps", help="the other axis (%(default)s)")
    rule: str = option(choices=RULES, default="chip", help="of energies: by which rule (%(default)s)")
    network: str = option(
        choices=("integer", "float"), default="integer", help="whose scores are drawn (%(default)s)"
    )
    names: tuple[str, ...] = option(
        type=_words, default=(), metavar="A,B,...", help="of the results (default: their folders')"
    )
    width: str = option(
        choices=WIDTHS,
        default="column",
        help="of a figure: one column of a paper, 3.5 inches, or a page, 7.16",
    )
    title: str = option(default="", help="above the figure (default: none)")


def plot(args: Plot, stages: Stages) -> Result:
    """Several networks in one figure, with paired intervals, and in one table: of results that compare
    wrote."""
    from dnisnm_lava.evaluation.several import read
    from dnisnm_lava.system.files import refuse_unwritable
    from dnisnm_lava.views import several

    for path in args.out:
        if path.suffix.lower() not in (*FIGURES, *TABLES):
            raise OutOfRange(
                f"{path}: the ending {path.suffix or 'is missing, and'} says not what to write; give one of "
                f"{', '.join((*FIGURES, *TABLES))}, behind the results"
            )
        refuse_unwritable(path, args.overwrite)
    if args.names and len(args.names) != len(args.results):
        raise OutOfRange(
            f"--names: {len(args.names)} given for {len(args.results)} results; give one for each"
        )
    curves = []
    for place, name in zip(args.results, args.names or [""] * len(args.results), strict=True):
        found = read(place, "", args.network)
        curves += [replace(found[0], name=name)] if name and len(found) == 1 else list(found)
    curves = named_apart(curves)
    written(
        curves,
        args.out,
        x=args.x,
        rule=args.rule,
        width=args.width,
        title=args.title,
        overwrite=args.overwrite,
    )
    return _with(
        curves, several.table(curves, args.title or "networks", args.rule), [str(path) for path in args.out]
    )


def _with(curves: Sequence[Curve], table: object, files: Sequence[str]) -> Result:
    from rich.console import Group
    from rich.text import Text

    return Result(
        {"networks": [curve_json(c) for c in curves], "written": list(files)},
        Group(table, Text(f"written: {', '.join(files)}")),  # type: ignore[arg-type]
    )


def curve_json(curve: Curve) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "name": curve.name,
        "ann": curve.ann,
        "images": curve.images,
        "paired": curve.paired,
        "points": [asdict(p) for p in curve.points],
    }


def named_apart(curves: Sequence[Curve]) -> list[Curve]:
    """Those of one name numbered."""
    names = [c.name for c in curves]
    return [
        replace(c, name=f"{c.name} ({names[: i + 1].count(c.name)})") if names.count(c.name) > 1 else c
        for i, c in enumerate(curves)
    ]


def written(
    curves: Sequence[Curve],
    files: Sequence[Path],
    *,
    x: str = "steps",
    rule: str = "chip",
    width: str = "column",
    title: str = "",
    overwrite: bool = False,
) -> None:
    """The figure and the table in each file, by its ending; a notice for each network without intervals."""
    from dnisnm_lava.system.files import write_whole
    from dnisnm_lava.views import plots, several

    plots.check(curves, x, rule)
    for sentence in plots.unpaired(curves):
        warnings.warn(sentence, stacklevel=1)
    made: dict[str, Callable[[], bytes]] = {
        ".csv": lambda: several.csv_of(curves).encode(),
        ".tex": lambda: several.latex(curves, rule).encode(),
        ".html": lambda: several.page(curves, title or "Networks", rule).encode(),
    }
    for path in files:
        kind = path.suffix.lower()
        if kind in made:
            content = made[kind]()
        else:
            content = plots.as_file(plots.figure(curves, x=x, rule=rule, width=width, title=title), kind[1:])
        write_whole(path, content, overwrite=overwrite)
