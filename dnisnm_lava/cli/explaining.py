"""`explain`, `report`: why a network does what it does, as numbers and as a page."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import dnisnm_lava as dn
from dnisnm_lava.cli.alarms import _failed
from dnisnm_lava.cli.names import NOT_EQUAL
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.shared import (
    _asked,
    _compute,
    _given,
    _lava,
    _provenance,
    _recall,
    _settle_lava,
    _title,
    _tried,
)


def explain(args: argparse.Namespace, stages: Stages) -> Result:
    """Why the accuracy is what it is: each population's error in parts, and the first that goes wrong."""
    from rich.console import Group

    from dnisnm_lava.cli.trying import tried_json, tried_told, try_remedies
    from dnisnm_lava.system.files import refuse_unwritable, write_whole
    from dnisnm_lava.views import explanation

    if args.out:
        refuse_unwritable(args.out, args.overwrite)
    _recall(args)
    data, network, set_up, x, y = _tried(args, stages)
    assert network.recipe is not None
    graphs = network.analog, network.spiking, network.integer
    found = dn.explain(
        network, x, y, measure=_asked(args), compute=_compute(args), set_up=set_up, stages=stages
    )
    tried = try_remedies(args, data, network, found, stages) if args.try_remedies else ()
    facts = explanation.explanation_json(
        found, {**_provenance(args, *graphs, x, *_given(y)), "recipe": asdict(network.recipe)}
    )
    facts["tried"] = tried_json(tried)
    if args.out:
        write_whole(args.out, (json.dumps(facts) + "\n").encode(), overwrite=args.overwrite)
    told = Group(explanation.explanation_table(found, _title(args)), tried_told(tried))
    return Result(facts, told, _failed(args, found.alarms))


def report(args: argparse.Namespace, stages: Stages) -> Result:
    """All of a network in one HTML file: accuracy, costs, why it errs, coverage, cores, checks."""
    from rich.console import Group
    from rich.text import Text

    from dnisnm_lava.data import datasets
    from dnisnm_lava.studies import overview
    from dnisnm_lava.system.files import refuse_unwritable
    from dnisnm_lava.views import comparison
    from dnisnm_lava.views.page import page

    refuse_unwritable(args.out, args.overwrite)
    _settle_lava(args)
    _recall(args)
    data, network, set_up, x, y = _tried(args, stages)
    assert network.recipe is not None
    graphs = network.analog, network.spiking, network.integer
    provenance = {**_provenance(args, *graphs, x, *_given(y)), "recipe": asdict(network.recipe)}
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
        measure=_asked(args),
        lava=_lava(args, args.lava_images),
        compute=_compute(args),
        set_up=set_up,
        stages=stages,
        overwrite=args.overwrite,
    )
    table = comparison.comparison_table(found.comparison, title)
    size = args.out.stat().st_size / 1e6
    told = Text(
        f"suggested T = {found.suggested}. {found.explanation.sentence}\nwritten to {args.out}, {size:.1f} MB"
    )
    failed = _failed(args, found.comparison.alarms, "" if found.comparison.all_equal else NOT_EQUAL)
    return Result(page.result(found), Group(table, told), failed)
