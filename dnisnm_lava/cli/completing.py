"""`completion`: a script that teaches a shell the verbs, options and choices."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.verb import Verb, argument

SHELLS = ("bash", "zsh", "fish")
FILES = {
    "model",
    "weights",
    "data",
    "calibration",
    "subject",
    "recipe",
}  # options that may be files, besides those that are paths


@dataclass(frozen=True, kw_only=True)
class Completion(Verb):
    shell: str = argument(choices=SHELLS, help="for which shell")


def completion(args: Completion, stages: Stages) -> Result:
    """A script that completes verbs, options and files in your shell."""
    import shtab

    from dnisnm_lava.cli.verbs import _parser

    script = shtab.complete(_marked(_parser(), shtab.FILE), args.shell)
    return Result({"shell": args.shell, "script": script}, script.rstrip("\n"))


def _marked(parser: argparse.ArgumentParser, file: object) -> argparse.ArgumentParser:
    """Each argument that may name a file is marked so, in all verbs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                _marked(verb, file)
        elif action.type is Path or action.dest in FILES:
            action.complete = file  # type: ignore[attr-defined]
    return parser
