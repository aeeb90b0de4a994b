"""Options of `stream`: where frames come from, how they are followed, what is written."""

from __future__ import annotations

import argparse
from pathlib import Path

from dnisnm_lava.cli.names import STREAM_FILES
from dnisnm_lava.cli.values import _sizes


def _stream_options(verb: argparse.ArgumentParser) -> None:
    _frame_options(verb)
    _following_options(verb)
    verb.add_argument("-o", "--out", type=Path, help=f"folder for {', '.join(STREAM_FILES)} (default: none)")
    verb.add_argument(
        "--write",
        type=Path,
        metavar="CLIP",
        help="also write the frames with class and activity beside them: .mp4, .mov, .mkv or .avi "
        "(default: none; extra video)",
    )
    verb.add_argument(
        "--resume",
        action="store_true",
        help="go on from the frames and the state that an interrupted run left beside --out",
    )


def _frame_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("frames", "one of --video, --frames and --events")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument("--video", type=Path, metavar="CLIP", help="a clip, such as clip.mp4 (extra video)")
    source.add_argument(
        "--frames",
        type=Path,
        metavar="PATH",
        help="a folder of pictures in the order of their numbers, or an .npy or .npz of frames",
    )
    source.add_argument(
        "--events", type=Path, metavar="FILE", help="a file of events: .aedat4, .raw, .dat, .bin, .npz, ..."
    )
    group.add_argument(
        "--microseconds", type=int, metavar="N", help="of events: a frame holds so many microseconds"
    )
    group.add_argument("--count", type=int, metavar="N", help="of events: a frame holds so many events")
    group.add_argument(
        "--sensor",
        type=_sizes,
        metavar="H,W",
        help="of events: height and width in pixels (default: the file's)",
    )
    group.add_argument(
        "--event-channels",
        type=int,
        default=1,
        metavar="1|2",
        help="of events: 1, brighter less darker; 2, how many of each (%(default)s)",
    )
    group.add_argument("--every", type=int, default=1, metavar="N", help="take each N-th frame (%(default)s)")
    group.add_argument("--limit", type=int, metavar="N", help="take so many frames at most (default: all)")


def _following_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("stream", "of a network of images; a stream's has its own")
    group.add_argument(
        "--frame-steps", type=int, default=1, metavar="T", help="time steps of a frame (%(default)s)"
    )
    group.add_argument(
        "--hysteresis",
        type=float,
        default=0.0,
        metavar="H",
        help="0 to 2: changes of less than about H levels are not sent (%(default)g: all are)",
    )
    group.add_argument(
        "--at-once", type=int, metavar="K", help="levels that a neuron may send in a step (default: all)"
    )
    group.add_argument(
        "--refresh", type=int, default=0, metavar="N", help="begin anew every N frames (%(default)s: never)"
    )
    group.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="go on from the state.npz of another stream of the same network (default: begin)",
    )
    group.add_argument(
        "--no-compare",
        action="store_true",
        help="leave out each frame alone and the ANN, which take most of the time",
    )
