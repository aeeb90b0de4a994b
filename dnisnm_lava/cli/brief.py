"""`--help` in two parts: what is asked first, each with its text, then the names of all else."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Collection, Iterator

WIDTH = 79  # columns
NAME = 12  # columns of a heading


def brief(parser: argparse.ArgumentParser, first: Collection[str], ending: str) -> str:
    """The parser's usage, what it does, the options whose fields are `first`, the names of all others under
    their headings, and `ending`."""
    formatter = parser._get_formatter()
    formatter.add_usage(f"%(prog)s [options]{_words(parser)}", parser._actions, [])
    formatter.add_text(parser.description)
    formatter.start_section("first")
    formatter.add_arguments(sorted((a for a in parser._actions if a.dest in first), key=_is_option))
    formatter.end_section()
    formatter.add_text(f"more, each told by {parser.prog} --help-all:\n" + "\n".join(_others(parser, first)))
    formatter.add_text(ending)
    return formatter.format_help()


def _is_option(action: argparse.Action) -> bool:
    return bool(action.option_strings)


def _words(parser: argparse.ArgumentParser) -> str:
    """What is given without an option."""
    words = [a for a in parser._actions if not a.option_strings]
    return "".join(f" [{a.dest}]" if a.nargs == "?" else f" {a.dest}" for a in words)


def _others(parser: argparse.ArgumentParser, first: Collection[str]) -> Iterator[str]:
    for group in parser._action_groups:
        names = [
            a.option_strings[-1]
            for a in group._group_actions
            if a.option_strings and a.dest not in first and a.dest != "help"
        ]
        if names:
            heading = "run" if group.title == "options" else group.title or ""
            lead = f"  {heading:<{NAME}}"
            yield textwrap.fill(
                " ".join(names),
                WIDTH,
                initial_indent=lead,
                subsequent_indent=" " * len(lead),
                break_on_hyphens=False,
            )
