"""Record `dnisnm demo` as docs/terminal.svg, for the README: a real run, its bars as they stand at the end,
and its table.

python tools/record_terminal.py
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from dnisnm_lava.cli.output import Stages, progress_bars
from dnisnm_lava.cli.verb import filled
from dnisnm_lava.cli.verbs import VERBS, _parser
from dnisnm_lava.system.files import write_whole

PICTURE = Path(__file__).resolve().parents[1] / "docs/terminal.svg"
COMMAND = "demo"
WIDTH = 120  # columns


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        kind, verb = VERBS[COMMAND]
        args = filled(kind, _parser().parse_args([COMMAND]), command_line=f"dnisnm {COMMAND}")
        with Progress(*progress_bars(quiet=False).columns, console=Console(file=io.StringIO())) as bars:
            stages = Stages(bars)
            result = verb(args, stages)
            stages.finish()
        console.print(f"[b]$ dnisnm {COMMAND}[/b]", highlight=False)
        console.print(bars.get_renderable())
        console.print(result.text, markup=False, highlight=False)
        svg = console.export_svg(title=f"dnisnm {COMMAND}", unique_id="dnisnm")
        os.chdir(PICTURE.parent)
    svg = re.sub(
        r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL
    )  # fonts that a viewer would fetch from the network
    write_whole(PICTURE, svg.encode(), overwrite=True)


if __name__ == "__main__":
    main()
