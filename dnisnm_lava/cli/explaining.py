"""`explain`, `report`: why a network does what it does, as numbers and as a page."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import dnisnm_lava as dn
from dnisnm_lava.cli.alarms import _causes, _failed
from dnisnm_lava.cli.names import NOT_EQUAL
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.shared import Network, _asked, _given, _provenance, _recall, _settle_lava, _title, _tried
from dnisnm_lava.studies.explain.remedies import Setting

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import Data


def explain(args: argparse.Namespace, stages: Stages) -> Result:
    """Why the accuracy is what it is: each population's error in parts, and the first that goes wrong."""
    from rich.console import Group

    from dnisnm_lava.cli.trying import tried_json, tried_told, try_remedies
    from dnisnm_lava.system.files import refuse_unwritable, write_whole
    from dnisnm_lava.views import explanation

    if args.out:
        refuse_unwritable(args.out, args.overwrite)
    _recall(args)
    data, network, x, y = _tried(args, stages)
    graphs = network.analog, network.spiking, network.integer
    found = dn.explain(
        *graphs, x, labels=y, calibration=network.stats, device=args.device, progress=stages("explain"),
        **_expected(args, data, network),
    )  # fmt: skip
    tried = try_remedies(args, data, network, found, stages) if args.try_remedies else ()
    facts = explanation.explanation_json(found, {**_provenance(args, *graphs, x, *_given(y)), "recipe": asdict(network.recipe)})
    facts["tried"] = tried_json(tried)
    if args.out:
        write_whole(args.out, (json.dumps(facts) + "\n").encode(), overwrite=args.overwrite)
    told = Group(explanation.explanation_table(found, _title(args)), tried_told(tried))
    return Result(facts, told, _failed(args, found.alarms))


def _expected(args: argparse.Namespace, data: Data, network: Network) -> dict[str, Any]:
    """What to measure, and of the set-up, for `explain` and `report`."""
    fitted = network.fitted if network.recipe.needs_images else None
    setting = Setting(network.recipe, network.stats.images, fitted, len(data.train))
    return {**_asked(args), "expected": args.expect_accuracy, "causes": _causes(args), "alarms": network.alarms, "setting": setting}


def report(args: argparse.Namespace, stages: Stages) -> Result:
    """All of a network in one HTML file: accuracy, costs, why it errs, coverage, cores, checks."""
    from rich.console import Group
    from rich.text import Text

    from dnisnm_lava.data import datasets
    from dnisnm_lava.data.models import load_model
    from dnisnm_lava.frontend import walk
    from dnisnm_lava.system.files import refuse_unwritable
    from dnisnm_lava.views import comparison
    from dnisnm_lava.views.page import page

    refuse_unwritable(args.out, args.overwrite)
    _settle_lava(args)
    _recall(args)
    data, network, x, y = _tried(args, stages)
    graphs = network.analog, network.spiking, network.integer
    stages("trace again")
    coverage = replace(walk.inspect(load_model(args.model, args.weights, x.shape[1:]), x[0]), model=args.model)
    provenance = {**_provenance(args, *graphs, x, *_given(y)), "recipe": asdict(network.recipe)}
    title = args.title or _title(args)
    found = page.report(
        args.out, *graphs, x, y, title=title, coverage=coverage, classes=datasets.class_names(data.test), mean=args.mean, std=args.std,
        lava_images=args.lava_images, cost_images=args.cost_images, explain_images=args.explain_images, calibration=network.stats,
        provenance=provenance, device=args.device, memory=args.memory, deadline=args.deadline, lava_python=args.lava_python,
        stages=stages, overwrite=args.overwrite, **_expected(args, data, network),
    )  # fmt: skip
    table = comparison.comparison_table(found.comparison, title)
    size = args.out.stat().st_size / 1e6
    told = Text(f"suggested T = {found.suggested}. {found.explanation.sentence}\nwritten to {args.out}, {size:.1f} MB")
    failed = _failed(args, found.comparison.alarms, "" if found.comparison.all_equal else NOT_EQUAL)
    return Result(page.result(found), Group(table, told), failed)
