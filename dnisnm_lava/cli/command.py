"""The parser that argparse has, with one sentence for what it does not understand, and what may have been
meant."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dnisnm_lava.cli.brief import brief

CHOICE = re.compile(
    r"argument (?P<what>.+?): invalid choice: '?(?P<given>.*?)'? \(choose from (?P<choices>.*)\)"
)
VALUE = re.compile(r"argument (?P<what>.+?): invalid (?P<kind>\w+) value: (?P<given>.*)")
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "_bytes": "a size such as 500M or 2G",
    "_sizes": "whole numbers with commas, such as 3,32,32",
    "_numbers": "numbers with commas, such as 0.5,0.5,0.5",
    "_at_once": "whole numbers or all, with commas, such as all,4",
    "_range": "a range such as 2-8, or 2,4,8",
    "_accuracy": "an accuracy such as 0.926, 92.6 or 92.6%",
    "_by_name": "a whole number, or NAME=NUMBER with commas",
}
NEGATIVE = re.compile(r"-[\d.][\d.,e+-]*")  # values, not options: of a range, of a mean
METAVARS = {int: "N", Path: "PATH", float: "NUMBER"}


class Parser(argparse.ArgumentParser):
    """Exit code 2 and a sentence on standard error, where a command line is not understood. first: fields of
    the options that `--help` tells; of all, where there are none. ending: of that help."""

    def __init__(self, *args: Any, first: Sequence[str] = (), ending: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "add_help": False})
        self._negative_number_matcher = NEGATIVE
        self.first, self.ending = first, ending
        if first:
            self.add_argument("-h", "--help", action=_Brief, help="show what is asked first, and exit")
            self.add_argument("--help-all", dest="help", action="help", help="show all of this, and exit")
        else:
            self.add_argument("-h", "--help", action="help", help="show this help message and exit")
            self.add_argument("--help-all", dest="help", action="help", help=argparse.SUPPRESS)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        for word in self._options(args or ()):
            if not any(known.startswith(word) for known in self._option_string_actions):
                self.error(
                    f"unknown option {word}{self._alone(word) or meant(word, self._option_string_actions)}"
                )
        return super().parse_known_args(args, namespace)

    def _options(self, args: Sequence[str]) -> Iterable[str]:
        """What is written as a long option; of a parser with verbs, only what stands in front of the verb."""
        for word in args:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return
            if word.startswith("--"):
                yield word.partition("=")[0]

    def _alone(self, word: str) -> str:
        """` (...)` where a model stands without an option in front of it."""
        alone = word == "--model" and any(a.dest == "subject" for a in self._actions)
        return f" (the model stands alone: {self.prog} file.py:factory)" if alone else ""

    def error(self, message: str) -> NoReturn:
        """Told in one sentence, without the usage: that fills a screen."""
        self.exit(2, f"{self.prog}: {sentence(message)}; {self.prog} --help tells more\n")


class _Brief(argparse.Action):
    """`--help` of a parser with many options."""

    def __init__(self, option_strings: Sequence[str], dest: str, **how: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **how)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(brief(parser, parser.first, parser.ending), end="")
        parser.exit()


def with_metavars(parser: argparse.ArgumentParser) -> None:
    """In --help an option's value is N, PATH or NUMBER, where nothing better was said than the option's own
    name in capitals."""
    for action in parser._actions:
        if action.option_strings and action.metavar is None and isinstance(action.type, type):
            action.metavar = METAVARS.get(action.type)


def sentence(message: str) -> str:
    """argparse's message, with what may have been meant and without the names of functions."""
    if found := CHOICE.fullmatch(message):
        choices = [word.strip("' ") for word in found["choices"].split(",")]
        what = "unknown verb" if found["what"] == "VERB" else f"argument {found['what']}: unknown"
        return f"{what} {found['given']}" + (
            meant(found["given"], choices) or f"; choose {', '.join(choices)}"
        )
    if found := VALUE.fullmatch(message):
        return f"argument {found['what']}: {found['given']} is not {KINDS.get(found['kind'], 'understood')}"
    return message


OTHERWISE = {  # as others call it, or other verbs
    "--limit": ("--images",),
    "--num-images": ("--images",),
    "--images": ("--calibration-images", "--fit-images"),
    "--timesteps": ("--steps",),
    "--time-steps": ("--steps",),
    "--output-dir": ("--out",),
    "energy": ("costs",),
}


def meant(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing."""
    known = list(known)
    close = [name for name in OTHERWISE.get(word, ()) if name in known]
    close = close or difflib.get_close_matches(word, known, 2, 0.6)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
