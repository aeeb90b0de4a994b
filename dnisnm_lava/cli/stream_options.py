"""Options of frames: where they come from, the dials of a stream of them, what `stream` writes; and of `tune
--stream`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dnisnm_lava.cli.names import STREAM_FILES, TUNED_FRAMES
from dnisnm_lava.cli.options import (
    DataOptions,
    MeasureOptions,
    OfModelOrFile,
    Resumable,
    Seeded,
    data_option,
    out_option,
)
from dnisnm_lava.cli.values import _at_once, _numbers, _sizes
from dnisnm_lava.cli.verb import Verb, flag, option


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Verb):
    heading = "frames"
    about = "one of --video, --frames and --events"
    exclusive = True
    optional = True

    video: Path | None = option(metavar="CLIP", help="a clip, such as clip.mp4 (extra video)")
    frames: Path | None = option(
        metavar="PATH",
        help="a folder of pictures in the order of their numbers, or an .npy or .npz of frames",
    )
    events: Path | None = option(
        metavar="FILE", help="a file of events: .aedat4, .raw, .dat, .bin, .npz, .h5, ..."
    )


@dataclass(frozen=True, kw_only=True)
class FrameOptions(Verb):
    heading = "frames"

    microseconds: int | None = option(metavar="N", help="of events: a frame holds so many microseconds")
    count: int | None = option(metavar="N", help="of events: a frame holds so many events")
    sensor: tuple[int, ...] | None = option(
        type=_sizes,
        metavar="H,W",
        help="of events: height and width in pixels (default: the file's)",
    )
    event_channels: int = option(
        default=1,
        metavar="1|2",
        help="of events: 1, brighter less darker; 2, how many of each (%(default)s)",
    )
    every: int = option(default=1, metavar="N", help="take each N-th frame (%(default)s)")
    limit: int | None = option(metavar="N", help="take so many frames at most (default: all)")


@dataclass(frozen=True, kw_only=True)
class ClipOptions(FrameOptions):
    heading = "frames"
    about = "a search over the dials of a stream, in place of those of images"

    stream: Path | None = option(
        metavar="CLIP",
        help="a clip, a folder of pictures, an .npy or .npz of frames, or a file of events (default: none)",
    )
    limit: int = option(default=TUNED_FRAMES, metavar="N", help="follow so many frames (%(default)s)")
    try_levels: tuple[int, ...] | None = option(
        type=_sizes, metavar="K,...", help="levels of the network of images (7,15,31,63)"
    )
    try_frame_steps: tuple[int, ...] | None = option(
        type=_sizes, metavar="T,...", help="time steps of a frame (1,2)"
    )
    try_hysteresis: tuple[float, ...] | None = option(
        type=_numbers, metavar="H,...", help="hysteresis (0,0.25,0.5,1,1.5,2)"
    )
    try_at_once: tuple[int | None, ...] | None = option(
        type=_at_once, metavar="K,...", help="levels that may be sent in a step, or all (all,4)"
    )


@dataclass(frozen=True, kw_only=True)
class StreamDials(Verb):
    heading = "stream"
    about = "of a network of images; a stream's has its own"

    frame_steps: int = option(default=1, metavar="T", help="time steps of a frame (%(default)s)")
    hysteresis: float = option(
        default=0.0,
        metavar="H",
        help="0 to 2: changes of less than about H levels are not sent (%(default)g: all are)",
    )
    at_once: int | None = option(metavar="K", help="levels that a neuron may send in a step (default: all)")


@dataclass(frozen=True, kw_only=True)
class FollowingOptions(Verb):
    heading = "stream"

    refresh: int = option(default=0, metavar="N", help="begin anew every N frames (%(default)s: never)")
    state: Path | None = option(
        metavar="FILE",
        help="go on from the state.npz of another stream of the same network (default: begin)",
    )
    no_compare: bool = flag(help="leave out each frame alone and the ANN, which take most of the time")


@dataclass(frozen=True, kw_only=True)
class OfFrames(DataOptions, SourceOptions, FrameOptions, StreamDials):
    """Frames, how they are prepared, and how a network follows them."""

    @property
    def source(self) -> Path | None:
        """The one that was given."""
        return self.video or self.frames or self.events


@dataclass(frozen=True, kw_only=True)
class MayFollow(OfModelOrFile, OfFrames):
    """A network, and images, or frames that it follows."""


@dataclass(frozen=True, kw_only=True)
class Stream(MayFollow, FollowingOptions, MeasureOptions, Resumable, Seeded):
    data: str = data_option(of="training images, of a model: ", default=" (default: frames of the stream)")
    out: Path | None = out_option(f"folder for {', '.join(STREAM_FILES)}")
    write: Path | None = option(
        metavar="CLIP",
        help="also write the frames with class and activity beside them: .mp4, .mov, .mkv or .avi "
        "(default: none; extra video)",
    )
    overwrite: bool = flag(help="replace what --out and --write name")
