"""`explain`, `report`: why a network does what it does, as numbers and as a page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import dnisnm_lava as dn
from dnisnm_lava.cli.alarms import _failed
from dnisnm_lava.cli.names import (
    COST_IMAGES,
    EXPLAINED_IMAGES,
    NOT_EQUAL,
    PAGE,
    TEST_IMAGES,
    TRIED_IMAGES,
)
from dnisnm_lava.cli.options import (
    ChipOptions,
    InMemory,
    LavaOptions,
    LavaToo,
    MeasureOptions,
    OfModelOrFile,
    Overwriting,
    Seeded,
    TargetOptions,
    images_option,
    out_option,
)
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.reading import _given, _title
from dnisnm_lava.cli.shared import _provenance, _rates, _recall, _settled_lava, _tried
from dnisnm_lava.cli.verb import flag, option
from dnisnm_lava.system.ranks import Group


@dataclass(frozen=True, kw_only=True)
class Explain(OfModelOrFile, MeasureOptions, Overwriting, Seeded):
    images: int = images_option(EXPLAINED_IMAGES)
    out: Path | None = out_option("file for the result, as JSON")
    try_remedies: bool = flag("--try", help=f"try the two likeliest remedies on {TRIED_IMAGES} test images")


def explain(args: Explain, stages: Stages) -> Result:
    """Why the accuracy is what it is: each population's error in parts, and the first that goes wrong."""
    from dnisnm_lava.system import ranks

    with ranks.joined(args.device) as group:
        return _explain(args, group, stages)


def _explain(args: Explain, group: Group, stages: Stages) -> Result:
    from rich import console

    from dnisnm_lava.cli.trying import tried_json, tried_told, try_remedies
    from dnisnm_lava.system.files import refuse_unwritable, write_whole
    from dnisnm_lava.views import explanation

    if args.out:
        refuse_unwritable(args.out, args.overwrite)
    args = _recall(args)
    data, network, set_up, x, y, _ = _tried(args, group, stages)
    if not group.is_first:
        return Result({}, "")
    assert network.recipe is not None
    graphs = network.analog, network.spiking, network.integer
    session = dn.Session(args.device, stages=stages, set_up=set_up)
    found = dn.explain(network, x, y, measure=args.ask, session=session)
    tried = try_remedies(args, data, network, found, stages) if args.try_remedies else ()
    facts = explanation.explanation_json(
        found, {**_provenance(args, *graphs, x, *_given(y), data=data), "recipe": asdict(network.recipe)}
    )
    facts["tried"] = tried_json(tried)
    if args.out:
        write_whole(args.out, (json.dumps(facts) + "\n").encode(), overwrite=args.overwrite)
    told = console.Group(explanation.explanation_table(found, _title(args)), tried_told(tried))
    return Result(facts, told, _failed(args, found.alarms))


@dataclass(frozen=True, kw_only=True)
class Report(OfModelOrFile, TargetOptions, ChipOptions, LavaToo, InMemory, Overwriting, LavaOptions, Seeded):
    images: int = images_option(TEST_IMAGES)
    out: Path = out_option("file to write", PAGE)
    title: str | None = option(help="of the page (default: model and data, without folders)")
    cost_images: int = option(
        default=COST_IMAGES, help="of the test images, to count operations on (%(default)s)"
    )
    explain_images: int = option(
        default=EXPLAINED_IMAGES, help="of the test images, to explain (%(default)s)"
    )


def report(args: Report, stages: Stages) -> Result:
    """All of a network in one HTML file: accuracy, costs, why it errs, coverage, cores, checks."""
    from dnisnm_lava.system import ranks

    with ranks.joined(args.device) as group:
        return _report(args, group, stages)


def _report(args: Report, group: Group, stages: Stages) -> Result:
    from rich import console
    from rich.text import Text

    from dnisnm_lava.data import datasets
    from dnisnm_lava.studies import overview
    from dnisnm_lava.studies.loihi2.limits import limits
    from dnisnm_lava.studies.verdict import verdict
    from dnisnm_lava.system.files import refuse_unwritable
    from dnisnm_lava.views import comparison
    from dnisnm_lava.views.page import page

    refuse_unwritable(args.out, args.overwrite)
    chip = overview.Chip(limits(args.target), args.chips, args.period, _rates(args))
    lava = _settled_lava(args)
    args = _recall(args)
    data, network, set_up, x, y, targets = _tried(args, group, stages)
    if not group.is_first:
        return Result({}, "")
    assert network.recipe is not None
    graphs = network.analog, network.spiking, network.integer
    provenance = _provenance(args, *graphs, x, *_given(y), data=data, lava=lava)
    provenance["recipe"] = asdict(network.recipe)
    title = args.title or _title(args)
    about = overview.About(
        title,
        datasets.class_names(data.test),
        args.mean,
        args.std,
        provenance,
        args.cost_images,
        args.explain_images,
    )
    found = page.report(
        args.out,
        network,
        x,
        y,
        about=about,
        chip=chip,
        targets=targets,
        measure=args.ask,
        lava=lava,
        session=dn.Session(args.device, args.memory, stages, set_up),
        overwrite=args.overwrite,
    )
    table = comparison.comparison_table(found.comparison, title)
    size = args.out.stat().st_size / 1e6
    said = verdict(found, found.suggested).sentence
    told = Text(
        f"{said}\nsuggested T = {found.suggested}. {found.explanation.sentence}\n"
        f"written to {args.out}, {size:.1f} MB"
    )
    failed = _failed(args, found.comparison.alarms, "" if found.comparison.all_equal else NOT_EQUAL)
    return Result(page.result(found), console.Group(table, told), failed)
