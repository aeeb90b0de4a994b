"""The one door to frames: which reader a file or a folder takes."""

from __future__ import annotations

from pathlib import Path

from dnisnm_lava.data.streams.events.binning import events
from dnisnm_lava.data.streams.events.files import SUFFIXES
from dnisnm_lava.data.streams.stream import Frames
from dnisnm_lava.errors import OutOfRange

ARRAYS = (".npy", ".npz")


def frames(
    source: str | Path,
    *,
    microseconds: int | None = None,
    count: int | None = None,
    shape: tuple[int, int] | None = None,
    channels: int = 1,
    first: int = 1,
    every: int = 1,
    limit: int | None = None,
) -> Frames:
    """The frames of `source`: a folder of pictures, an .npy or .npz of frames, a file of events, or a clip.

    microseconds, count, shape, channels: of events alone (`events.binning.events`); an .npy or .npz is one of
    events where microseconds or count is given. first, every, limit: which frames (`Frames.part`). OutOfRange
    for what suits no such source; beside it what the reader raises.
    """
    path = Path(source)
    binned = microseconds is not None or count is not None
    if path.suffix.lower() in SUFFIXES or (path.suffix.lower() in ARRAYS and binned):
        read = events(path, microseconds=microseconds, count=count, shape=shape, channels=channels)
    elif binned or shape is not None or channels != 1:
        raise OutOfRange(
            f"{path}: holds frames; microseconds, count, shape and channels are for events alone"
        )
    else:
        read = _pictures(path)
    return read.part(first=first, every=every, limit=limit)


def _pictures(path: Path) -> Frames:
    if path.is_dir():
        from dnisnm_lava.data.streams.pictures import folder

        return folder(path)
    if path.suffix.lower() in ARRAYS:
        from dnisnm_lava.data.streams.rows import array

        return array(path)
    from dnisnm_lava.data.streams.video import video

    return video(path)
