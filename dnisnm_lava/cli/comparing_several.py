"""`compare` of several networks: of several recipes, and made each for its T."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnisnm_lava.cli.names import COST_IMAGES, NET, PICTURE, RESULT
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.errors import BadFile, OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.cli.comparing import Compare

FILES = (PICTURE, "accuracy.pdf", "accuracy.csv", "accuracy.tex", "accuracy.html")


@dataclass(frozen=True)
class Made:
    """name: of a network's folder. series: of those that are made each for its T, else empty."""

    name: str
    series: str
    args: Compare


def each(args: Compare) -> list[Made]:
    """The networks that are asked for: each recipe, at each T."""
    names = args.several or ["best"]
    given = args.given - {"several"} | ({"recipe"} if args.several else set())
    args = replace(args, given=given)
    costs = args.cost_images
    if len(names) == 1 and not args.at:
        return [Made("", "", replace(args, recipe=names[0], cost_images=costs or 0))]
    if args.at and args.steps is not None:
        raise OutOfRange("compare: --at and --steps both say T; give one of them")
    if args.net is not None:
        raise OutOfRange(
            f"{args.net}: is made already, for one T by one recipe; give a --model for several, or compare "
            f"each file with --out, and dnisnm plot them"
        )
    told = [Path(name).stem if name.endswith(".json") else name for name in names]
    if len(set(told)) < len(told):
        raise OutOfRange(
            f"compare: two recipes are called {', '.join(told)}; give each once, or rename a file"
        )
    common = replace(args, cost_images=COST_IMAGES if costs is None else costs)
    found = []
    for name, recipe in zip(told, names, strict=True):
        for t in args.at or (None,):
            folder = name if t is None else f"{name}-T{t}"
            own = replace(
                common,
                recipe=recipe,
                steps=args.steps if t is None else t,
                out=None if args.out is None else args.out / folder,
            )
            found.append(Made(folder, name if args.at else "", own))
    return found


def compared(args: Compare, made: list[Made], stages: Stages) -> Result:
    """All of them, one after the other; those that an interrupted attempt of this command finished stay."""
    from dnisnm_lava.cli.blocks import _allowed_to_finish
    from dnisnm_lava.cli.comparing import _compared
    from dnisnm_lava.cli.plotting import written
    from dnisnm_lava.evaluation.several import of_results
    from dnisnm_lava.system import ranks
    from dnisnm_lava.system.files import refuse_full

    if ranks.size() > 1:
        raise OutOfRange(
            "compare: several networks are compared in one process; torchrun each, and plot them"
        )
    if args.out and not (args.resume and args.out.is_dir()):
        _refuse_unfinished(args, args.out, made)
        refuse_full(args.out, args.overwrite)
    results: list[tuple[str, dict[str, Any]]] = []
    failed: list[str] = []
    for one in made:
        kept = _kept(args, one)
        if kept is None:
            stages.tell(f"{one.name}:")
            has_parts = one.args.out is not None and one.args.resume and _has_parts(one.args.out)
            own = _allowed_to_finish(replace(one.args, resume=has_parts))
            result = _compared(own, stages, one.series)
            kept = result.data
            failed += [f"{one.name}: {result.failed}"] if result.failed else []
        results.append((one.name, kept))
    curves = of_results(results)
    if args.out is not None:
        files = [args.out / name for name in FILES]
        written(curves, files, width="page", overwrite=args.overwrite or args.resume)
    return _told(args, curves, results, failed)


def _refuse_unfinished(args: Compare, out: Path, made: Sequence[Made]) -> None:
    """BadFile where an attempt before has left networks, and no figure of them."""
    begun = any(one.args.out and (one.args.out.exists() or _has_parts(one.args.out)) for one in made)
    if begun and not args.overwrite and not (out / FILES[0]).exists():
        raise BadFile(
            f"{out}: networks of an unfinished comparison; go on with --resume, or begin again with "
            f"--overwrite"
        )


def _has_parts(out: Path) -> bool:
    from dnisnm_lava.evaluation.blocks import is_unfinished

    return is_unfinished(out)


def _kept(args: Compare, one: Made) -> dict[str, Any] | None:
    """The result of an attempt before, where the very same command finished this network and goes on."""
    if not args.resume or one.args.out is None or not (one.args.out / RESULT).is_file():
        return None
    told: dict[str, Any] = json.loads((one.args.out / RESULT).read_bytes())
    return told if told.get("provenance", {}).get("command_line") == args.command_line else None


def _told(args: Compare, curves: Any, results: list[tuple[str, dict[str, Any]]], failed: list[str]) -> Result:
    from rich.console import Group
    from rich.text import Text

    from dnisnm_lava.cli.reading import _title
    from dnisnm_lava.views import several

    table = several.table(curves, _title(args))
    if args.out is not None:
        folders = ", ".join(name for name, _ in results)
        each = f"in each of {folders}: {NET}, {RESULT}, {PICTURE}"
        table = Group(table, Text(f"written to {args.out}: {', '.join(FILES)}; {each}"))
    return Result({"networks": dict(results)}, table, "; ".join(failed))
