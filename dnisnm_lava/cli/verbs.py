"""The verbs, and the parser of their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import dnisnm_lava as dn
from dnisnm_lava.cli import manual
from dnisnm_lava.cli.answering import Costs, Predict, costs, predict
from dnisnm_lava.cli.command import Parser, with_metavars
from dnisnm_lava.cli.comparing import Compare, Demo, compare, demo
from dnisnm_lava.cli.completing import Completion, completion
from dnisnm_lava.cli.explaining import Explain, Report, explain, report
from dnisnm_lava.cli.exporting import Export, export
from dnisnm_lava.cli.looking import Check, Inspect, check, inspect
from dnisnm_lava.cli.making import Convert, Precision, Tune, convert, lava_environment, precision, tune
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.plotting import Plot, plot
from dnisnm_lava.cli.simulating import Simulate, Verify, simulate, verify
from dnisnm_lava.cli.stream_options import Stream
from dnisnm_lava.cli.streaming import stream
from dnisnm_lava.cli.verb import Verb, add_options
from dnisnm_lava.cli.version import Version

VERBS: dict[str, tuple[type[Verb], Callable[[Any, Stages], Result]]] = {
    "demo": (Demo, demo),
    "convert": (Convert, convert),
    "inspect": (Inspect, inspect),
    "check": (Check, check),
    "simulate": (Simulate, simulate),
    "verify": (Verify, verify),
    "compare": (Compare, compare),
    "plot": (Plot, plot),
    "predict": (Predict, predict),
    "costs": (Costs, costs),
    "export": (Export, export),
    "stream": (Stream, stream),
    "tune": (Tune, tune),
    "precision": (Precision, precision),
    "explain": (Explain, explain),
    "report": (Report, report),
    "lava-env": (Verb, lava_environment),
    "completion": (Completion, completion),
}


def _parser(asked: str | None = None) -> argparse.ArgumentParser:
    """asked: the one verb whose options are wanted (default: each)."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="dnisnm", description=dn.__doc__, epilog=manual.ALL, formatter_class=raw)
    parser.add_argument("--version", action=Version)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, (kind, verb) in VERBS.items():
        does = " ".join((verb.__doc__ or "").split())
        about = manual.description(name, does)
        added = verbs.add_parser(
            name,
            help=does,
            description=about,
            epilog=manual.epilog(name),
            formatter_class=raw,
            first=manual.FIRST.get(name, ()),
            ending=manual.examples(name),
        )
        if asked in (None, name):
            add_options(added, kind)
            with_metavars(added)
    return parser
