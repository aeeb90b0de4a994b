"""`costs` of a stream: what a frame takes, beside the same frames one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import framed, stream_sources
from dnisnm_lava.cli.alarms import _with_alarms
from dnisnm_lava.cli.names import RUNTIME_FRAMES
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.shared import _provenance
from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.cli.answering import Costs
    from dnisnm_lava.cli.framed import Framed
    from dnisnm_lava.studies.streams.summary import Summary


def costs(args: Costs, stages: Stages) -> Result:
    """Operations and energies of all frames, the bound on time of the first, and SANA-FE's word on them."""
    from rich.console import Group

    from dnisnm_lava.studies.costs.replayed_frames import replay_frames
    from dnisnm_lava.studies.loihi2.rates import rates
    from dnisnm_lava.system.files import write_whole
    from dnisnm_lava.views.replay import frames_json, frames_table
    from dnisnm_lava.views.runtime import runtime_json, runtime_table
    from dnisnm_lava.views.streams import stream_json, stream_table

    chip = rates(args.rates)
    seen = framed.framed(args, stages, ann=True)
    replayed = _to_replay(args, seen) if args.replay else None
    summed = _counted(args, seen, stages)
    stages("time")
    time = dn.runtime(seen.graph, seen.first(RUNTIME_FRAMES), given=chip)
    facts: dict[str, Any] = {
        **stream_json(summed, _provenance(seen.found.args, seen.graph, data=seen.found.data)),
        "runtime": runtime_json(time),
    }
    parts = [stream_table(summed, stream_sources.title(args)), runtime_table(time, "frame")]
    if replayed is not None:
        found = replay_frames(seen.graph, replayed, progress=stages("SANA-FE"))
        facts["replay"] = frames_json(found)
        parts.append(frames_table(found))
    result = _with_alarms(args, Result(facts, Group(*parts)), seen.found.alarms)
    if args.out:
        write_whole(args.out, (json.dumps(result.data, indent=1) + "\n").encode(), overwrite=args.overwrite)
    return result


def _counted(args: Costs, seen: Framed, stages: Stages) -> Summary:
    from dnisnm_lava.studies.streams import rows
    from dnisnm_lava.studies.streams.dials import dials
    from dnisnm_lava.studies.streams.summary import summary

    own = seen.found
    watching = dn.watch(
        own.networks,
        seen.frames,
        steps=args.frame_steps,
        hysteresis=args.hysteresis,
        levels=args.at_once,
        beside=dn.References(own.analog, args.ask, args.device),
    )
    progress, kept = stages("count"), []
    ann = None if watching.alone is None else watching.alone.bill.ann
    for frame in watching:
        kept.append(rows.row(frame, ann))
        progress(len(kept), max(len(kept), seen.frames.total or 0))
    told = dials(seen.graph, 0)
    return summary(kept, told, watching.measure, watching.bill.multiplications)


def _to_replay(args: Costs, seen: Framed) -> np.ndarray:
    """The frames for SANA-FE; what would be refused in the end is refused here."""
    from dnisnm_lava.backends.sanafe.parent import require_sanafe

    require_sanafe()
    x = seen.first(args.replay_frames)
    if len(x) < args.replay_frames:
        raise OutOfRange(
            f"--replay-frames: {args.replay_frames} given, and {len(x)} frames are there; give fewer"
        )
    return x
