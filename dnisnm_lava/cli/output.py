"""What a verb tells: results to standard output; progress, notices and errors to standard error."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

import dnisnm_lava as dn
from dnisnm_lava.cli.names import NET, PASTED, PICTURE, RESULT
from dnisnm_lava.cli.narrow import fitted
from dnisnm_lava.system.progress import Progress as Told

PATIENCE = 30.0  # seconds without a line


class Stages:
    """A progress bar for each stage that begins; called with its name, it returns whom to tell the progress.
    Where standard error is no terminal, or a dumb one, a line for each stage, and for what it has done in
    half a minute."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.current: TaskID | None = None
        self.lines = not bars.console.is_interactive and not bars.console.quiet
        self.told = 0.0

    def progress(self, done: int, of: int) -> None:
        """Show the progress of the stage that is on."""
        if self.current is not None:
            self.bars.update(self.current, completed=done, total=of, counted=True)
            if self.lines and time.monotonic() - self.told >= PATIENCE:
                self._line(f"{self.bars.tasks[self.current].description}: {done:,} of {of:,} ...")

    def rename(self, name: str) -> None:
        """Call the stage that is on otherwise, such as by its pace."""
        if self.current is not None:
            self.bars.update(self.current, description=name)

    def __call__(self, name: str) -> Told:
        self.finish()
        if self.lines:
            self._line(f"{name} ...")
        self.current = self.bars.add_task(name, total=None, counted=False)
        return self.progress

    def tell(self, text: str) -> None:
        """A line beside the bars, as they are told: not where progress is quiet."""
        if self.lines:
            self._line(text)
        elif self.bars.console.is_interactive:
            self.bars.console.print(text, markup=False, highlight=False)

    def _line(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self.told = time.monotonic()

    def finish(self) -> None:
        if self.current is not None:
            total = self.bars.tasks[self.current].total or 1
            self.bars.update(self.current, completed=total, total=total)


class Count(MofNCompleteColumn):
    """`done/of`, of a stage that tells it."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.fields["counted"] else Text("")


def progress_bars(quiet: bool) -> Progress:
    """On a terminal that can show them; of the processes of a job, the first one's."""
    console = Console(stderr=True, quiet=quiet or int(os.environ.get("RANK", 0)) > 0)
    columns = TextColumn("{task.description}"), BarColumn(), Count(), TimeElapsedColumn()
    return Progress(*columns, console=console, disable=quiet or not console.is_interactive)


@dataclass(frozen=True)
class Result:
    """What a verb found: for programs, for people; and what is not as it should be, in a sentence, or
    nothing."""

    data: dict[str, Any]
    text: RenderableType
    failed: str = ""


def _with_place(result: Result, folder: Path, *names: str) -> Result:
    return _written(result, f"{folder}: {', '.join(names or (NET, RESULT, PICTURE))}")


def _written(result: Result, where: str) -> Result:
    from rich.console import Group
    from rich.text import Text

    return Result(result.data, Group(result.text, Text(f"written to {where}")), result.failed)


def _to_paste(command: str) -> str:
    """In lines of a terminal, which a shell reads as one."""
    whole = " ".join(
        shlex.quote(word).replace(" ", "\0") for word in shlex.split(command)
    )  # a line may not end within quotes
    lines = textwrap.wrap(
        whole,
        PASTED,
        break_long_words=False,
        break_on_hyphens=False,
        initial_indent="  ",
        subsequent_indent="    ",
    )
    return " \\\n".join(lines).replace("\0", " ")


@contextlib.contextmanager
def _notices() -> Iterator[None]:
    """What this package warns of is told in a line, once; other warnings stay what they are."""
    told: set[str] = set()
    here = str(Path(dn.__file__).parent)
    with warnings.catch_warnings():
        other = warnings.showwarning
        warnings.filterwarnings("always", category=UserWarning, module=r"dnisnm_lava\b")

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            text = " ".join(str(message).split())
            if category is not UserWarning or not filename.startswith(here):
                other(message, category, filename, lineno, file, line)
            elif text not in told:
                told.add(text)
                print(f"notice: {text}", file=sys.stderr, flush=True)

        warnings.showwarning = show
        yield


def _told(sentence: str) -> int:
    print(f"dnisnm: {' '.join(sentence.split())}", file=sys.stderr)
    return 1


def _print(result: Result, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.data, indent=2), flush=True)
    elif isinstance(result.text, str):
        print(result.text, flush=True)
    else:
        console = Console(
            width=None if sys.stdout.isatty() else _columns(), markup=False
        )  # names may hold [brackets]
        console.print(fitted(result.text, console, console.width))
        sys.stdout.flush()


def _columns() -> int:
    told = os.environ.get("COLUMNS", "")
    return int(told) if told.isdecimal() and int(told) > 0 else 120
