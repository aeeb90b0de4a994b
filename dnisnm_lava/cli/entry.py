"""From the command line to an exit code."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from argparse import SUPPRESS, _SubParsersAction
from collections.abc import Sequence
from typing import Any

from dnisnm_lava.cli.options import Resumable
from dnisnm_lava.cli.output import Stages, _notices, _print, _told, progress_bars
from dnisnm_lava.cli.verb import Verb, filled
from dnisnm_lava.cli.verbs import VERBS, _parser
from dnisnm_lava.errors import BackendFailed, DnisnmError
from dnisnm_lava.system import ranks
from dnisnm_lava.system.extras import EXTRAS, missing


def main(argv: Sequence[str] | None = None) -> int:
    """The command `dnisnm`; its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    found = _parser(next((a for a in argv if a in VERBS), None)).parse_args(argv)
    kind, verb = VERBS[found.verb]
    command = shlex.join(
        ["dnisnm", *(a for a in argv if a != "--resume")]
    )  # one result, in however many attempts
    args = filled(kind, found, given=_given(argv, found.verb), command_line=command)
    signal.signal(signal.SIGTERM, _end)
    try:
        with progress_bars(args.quiet) as bars, _notices():
            stages = Stages(bars)
            result = verb(args, stages)
            stages.finish()
        if result.data:
            _print(result, args.json)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else the interpreter complains at its end
        return 128 + signal.SIGPIPE
    except BackendFailed as error:
        return _told(f"{error}; {_what_is_kept(args)}" if ranks.size() > 1 else str(error))
    except DnisnmError as error:
        return _told(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        return _told(missing(f"{error.name}", extra))
    except KeyboardInterrupt:
        _told(f"interrupted; {_what_is_kept(args)}")
        return 128 + signal.SIGINT
    except _Terminated as end:
        _told(f"{end.who}; {_what_is_kept(args)}")
        return 128 + signal.SIGTERM
    return _told(result.failed) if result.failed else 0


def _given(argv: Sequence[str], verb: str) -> frozenset[str]:
    """What the command line says itself: all that is no default."""
    parser = _parser(verb)
    (verbs,) = (a for a in parser._actions if isinstance(a, _SubParsersAction))
    for action in verbs.choices[verb]._actions:
        action.default = SUPPRESS
    return frozenset(vars(parser.parse_args(argv)))


def _what_is_kept(args: Verb) -> str:
    if isinstance(args, Resumable) and args.out is not None:
        return "finished parts are kept: go on with --resume"
    return "no file is half-written"


class _Terminated(SystemExit):
    """SIGTERM has come: folders, files and Lava's processes are cleaned up, as no `except Exception` stops
    it."""

    def __init__(self, who: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.who = who


def _end(_: int, __: Any) -> None:
    who = (
        f"rank {os.environ.get('RANK')} of {ranks.size()}: ended with the job"
        if ranks.size() > 1
        else "ended by SIGTERM"
    )
    raise _Terminated(who)
