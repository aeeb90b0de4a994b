"""`explain`, `report`: why a network does what it does, as numbers and as a page."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace

import dnisnm_lava as dn
from dnisnm_lava.cli.names import NOT_EQUAL
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.shared import _asked, _given, _provenance, _recall, _settle_lava, _title, _tried


def explain(args: argparse.Namespace, stages: Stages) -> Result:
    """Why the accuracy is what it is: each population's error in parts, and the first that goes wrong."""
    from dnisnm_lava import explanation_report
    from dnisnm_lava.files import refuse_unwritable, write_whole

    if args.out:
        refuse_unwritable(args.out, args.overwrite)
    _recall(args)
    _, network, x, y = _tried(args, stages)
    graphs = network.analog, network.spiking, network.integer
    found = dn.explain(
        *graphs, x, labels=y, calibration=network.stats, device=args.device, progress=stages("explain"), **_asked(args)
    )  # fmt: skip
    facts = explanation_report.explanation_json(found, {**_provenance(args, *graphs, x, *_given(y)), "recipe": asdict(network.recipe)})
    if args.out:
        write_whole(args.out, (json.dumps(facts) + "\n").encode(), overwrite=args.overwrite)
    return Result(facts, explanation_report.explanation_table(found, _title(args)))


def report(args: argparse.Namespace, stages: Stages) -> Result:
    """All of a network in one HTML file: accuracy, costs, why it errs, coverage, cores, checks."""
    from rich.console import Group
    from rich.text import Text

    from dnisnm_lava import comparison_report, datasets, frontend
    from dnisnm_lava.files import refuse_unwritable
    from dnisnm_lava.loading import load_model
    from dnisnm_lava.reporting import page

    refuse_unwritable(args.out, args.overwrite)
    _settle_lava(args)
    _recall(args)
    data, network, x, y = _tried(args, stages)
    graphs = network.analog, network.spiking, network.integer
    stages("trace again")
    coverage = replace(frontend.inspect(load_model(args.model, args.weights, x.shape[1:]), x[0]), model=args.model)
    provenance = {**_provenance(args, *graphs, x, *_given(y)), "recipe": asdict(network.recipe)}
    title = args.title or _title(args)
    found = page.report(
        args.out, *graphs, x, y, title=title, coverage=coverage, classes=datasets.class_names(data.test), mean=args.mean, std=args.std,
        lava_images=args.lava_images, cost_images=args.cost_images, explain_images=args.explain_images, calibration=network.stats,
        provenance=provenance, device=args.device, memory=args.memory, deadline=args.deadline, lava_python=args.lava_python,
        stages=stages, overwrite=args.overwrite, **_asked(args),
    )  # fmt: skip
    table = comparison_report.comparison_table(found.comparison, title)
    size = args.out.stat().st_size / 1e6
    told = Text(f"suggested T = {found.suggested}. {found.explanation.sentence}\nwritten to {args.out}, {size:.1f} MB")
    return Result(page.result(found), Group(table, told), "" if found.comparison.all_equal else NOT_EQUAL)
