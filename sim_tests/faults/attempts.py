"""The command `dnisnm`, again and again, interrupted where it is asked for: each attempt in a fork of one
process that has imported all.

A request is a line of JSON, {"argv": [...], "at": {"stage": NAME, "after": SECONDS} or {"call": N} or {},
"sign": NAME}. The answer is one too, {"code", "seconds", "err", "stages", "calls"}: the exit code (negative:
a signal), seconds from the signal, or else from the start, to the end, what it said, stages that began, and
how many functions the package had called. Run by Attempts alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Attempt:
    code: int
    seconds: float
    err: str
    stages: tuple[str, ...]
    calls: int


class Attempts:
    """The process that forks them, in `folder`, as long as the block lasts."""

    def __init__(self, folder: Path) -> None:
        self.server = subprocess.Popen(
            [sys.executable, "-m", "faults.attempts"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, argv: list[str], sign: signal.Signals = signal.SIGINT, **at: Any) -> Attempt:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps({"argv": argv, "at": at, "sign": sign.name}) + "\n")
        self.server.stdin.flush()
        answer = json.loads(self.server.stdout.readline())
        return Attempt(**{**answer, "stages": tuple(answer["stages"])})

    def __enter__(self) -> Attempts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait(timeout=60)
        self.server.stdout.close()


# ---------------------------------------------------------------- in the process that forks


class Interruption:
    """Sends the attempt `sign` at a stage, or at the n-th call of a function of the package or by it."""

    def __init__(self, at: dict[str, Any], sign: str, log: Path) -> None:
        self.at, self.sign, self.calls, self.log = at, signal.Signals[sign], 0, log

    def send(self) -> None:
        self.write("calls", self.calls)
        self.write("sent", time.monotonic())
        os.kill(os.getpid(), self.sign)

    def write(self, what: str, value: Any) -> None:
        with open(self.log, "a") as file:
            file.write(json.dumps([what, value]) + "\n")

    def stage(self, name: str) -> None:
        self.write("stage", name)
        if name == self.at.get("stage"):
            threading.Timer(self.at["after"], self.send).start() if self.at["after"] else self.send()

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        begins = event == "c_call" or (
            event == "call" and frame.f_lasti < 0
        )  # a generator that goes on could not see the exception
        if begins and f"{os.sep}dnisnm_lava{os.sep}" in frame.f_code.co_filename:
            self.calls += 1
            if self.calls == self.at.get("call"):
                sys.setprofile(None)
                self.send()


def attempt(request: dict[str, Any], log: Path) -> int:
    from dnisnm_lava import cli
    from dnisnm_lava.cli.output import Stages

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell runs in the background
    interruption = Interruption(request["at"], request["sign"], log)
    begin = Stages.__call__

    def stages(self: Stages, name: str) -> Any:
        progress = begin(self, name)
        interruption.stage(name)
        return progress

    Stages.__call__ = stages  # type: ignore[method-assign]
    if "stage" not in request["at"]:
        sys.setprofile(interruption.profile)
    code = cli.main(request["argv"])
    sys.setprofile(None)
    interruption.write("calls", interruption.calls)
    return code


def forked(request: dict[str, Any], log: Path) -> int:
    """Its exit code, negative where a signal has ended it."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            with open(f"{log}.err", "w") as err, open(os.devnull, "w") as out:
                os.dup2(err.fileno(), 2)
                os.dup2(out.fileno(), 1)
            code = attempt(request, log)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> None:
    import torch._dynamo
    import torch.export  # noqa: F401

    import exporters.netx  # noqa: F401

    for number, line in enumerate(sys.stdin):
        log = Path(f"attempt{number}.log").absolute()
        start = time.monotonic()
        code = forked(json.loads(line), log)
        end = time.monotonic()
        told = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        sent = [value for what, value in told if what == "sent"]
        answer = {
            "code": code,
            "seconds": end - (sent or [start])[0],
            "err": Path(f"{log}.err").read_text(),
            "stages": [value for what, value in told if what == "stage"],
            "calls": max((value for what, value in told if what == "calls"), default=0),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
