"""Alarms of a set-up that cannot be right: told before any work that they make worthless, again with the
result, and by the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dnisnm_lava.cli.names import PREPARED_BY
from dnisnm_lava.cli.options import AlarmOptions, DataOptions, OfModel
from dnisnm_lava.cli.output import Result
from dnisnm_lava.evaluation import sanity
from dnisnm_lava.evaluation.sanity import Alarm
from dnisnm_lava.measures import named_output
from dnisnm_lava.measures.answers import Answers

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.ir import AnalogGraph

BROKEN = ("chance", "expectation")  # kinds after which nothing means anything
FAILED = "the set-up is broken: the alarm above tells how; --anyway makes this exit code 0"


def _raised(args: OfModel, found: Answers | None, data: Data, analog: AnalogGraph) -> tuple[Alarm, ...]:
    """The alarms of what the ANN said of training images, told at once; none where its first output's answers
    are not what is measured."""
    first = named_output(analog.output_shapes, args.ask.output) == analog.readout.name
    if args.ask.kind == "values" or not first:
        return ()
    what, causes = f"images of {data.train.name}", _causes(args, data)
    return _told(sanity.of_answers(found, what, args.expect_accuracy, causes))


def _told(alarms: tuple[Alarm, ...]) -> tuple[Alarm, ...]:
    """The same, told at once."""
    for alarm in alarms:
        print(f"alarm: {alarm.sentence}", file=sys.stderr, flush=True)
    return alarms


def _causes_of_file(args: DataOptions, steps: int, own: int) -> list[str]:
    """What may be wrong where a file's network, made for `own` steps, guesses after `steps`; the likeliest
    first."""
    _, _, order = sanity.CAUSES
    prepared = [f"--{name}" for name in PREPARED_BY if getattr(args, name)]
    how = (
        f"{', '.join(prepared)} given or remembered"
        if prepared
        else "none of --mean, --std, --resize, --crop is given or remembered"
    )
    few = [f"{steps} steps are too few for a network made for {own}"] if steps < own else []
    made = f"{args.net} was made of a network that guesses itself, or of other data (dnisnm compare tells)"
    return [*few, f"images are not prepared as in training: {how}", order, made]


def _causes(args: OfModel, data: Data) -> list[str]:
    """What may be wrong, the likeliest first."""
    weights, preparation, order = sanity.CAUSES
    prepared = [f"--{name}" for name in PREPARED_BY if getattr(args, name)]
    if data.transforms or args.transforms not in (None, "none"):
        prepared = ["--transforms"]
    if prepared:
        preparation = f"images are not prepared as in training: {', '.join(prepared)} given"
    else:
        preparation = (
            "images are not prepared as in training: none of --mean, --std, --resize, --crop "
            "and --transforms is given"
        )
    if args.weights is None and args.model.lower().endswith(".onnx"):
        return [preparation, order]
    if args.weights is not None:
        return [preparation, weights, order]
    missing = "--weights is not given, so the weights are freshly initialised"
    if not args.model.startswith("torchvision:"):
        missing += f", unless {args.model} loads some itself"
    return [missing, preparation, order]


def _failed(args: AlarmOptions, alarms: Iterable[Alarm], other: str = "") -> str:
    """What is not as it should be, in a sentence, for a Result: `other`, or the set-up."""
    return other or (FAILED if any(a.kind in BROKEN for a in alarms) and not args.anyway else "")


def _with_alarms(args: AlarmOptions, result: Result, alarms: tuple[Alarm, ...]) -> Result:
    """The result below its alarms, which its data hold, too."""
    from dataclasses import asdict

    from rich.console import Group

    from dnisnm_lava.views.sanity import alarms_told

    data = {**result.data, "alarms": [asdict(alarm) for alarm in alarms]}
    return Result(
        data,
        Group(alarms_told(alarms), result.text) if alarms else result.text,
        _failed(args, alarms, result.failed),
    )
