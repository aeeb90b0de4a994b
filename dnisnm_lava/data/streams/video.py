"""Clips, read and written by PyAV (extra `video`), which brings FFmpeg's libraries in its wheel."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.data.streams.stream import Frames, given
from dnisnm_lava.errors import BackendMissing, BadFile, OutOfRange
from dnisnm_lava.system.extras import missing
from dnisnm_lava.system.files import unwritable, whole_file

REPAIR = "give a clip that is whole, or write it anew with ffmpeg"
LOCAL = {"protocol_whitelist": "file"}  # what a clip names elsewhere is not fetched
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]")  # clips to come, for which FFmpeg would wait
H264: tuple[str, str, dict[str, str]] = ("libx264", "yuv420p", {"crf": "18"})
LOSSLESS: tuple[str, str, dict[str, str]] = ("ffv1", "bgr0", {})
CODECS = {".mp4": H264, ".mov": H264, ".mkv": LOSSLESS, ".avi": LOSSLESS}
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
DENOMINATOR = 1_000_000  # of rates, such as 30000/1001


def video(path: str | Path) -> Frames:
    """The frames of a clip, RGB uint8 (H, W, 3), upright as a player shows them; `rate` in frames a second.

    BackendMissing without PyAV. BadFile for what is no clip; while it is read also for a frame that does not
    decode or has another size, and for a clip that ends before its header says so. A transport stream or a
    GIF does not say where it ends.
    """
    path = Path(path)
    with _opened(path) as (_, stream):
        rate = stream.average_rate or stream.guessed_rate
        return Frames(
            str(path), lambda: _decoded(path), float(rate) if rate else None, stream.frames or None, "hwc"
        )


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], rate: float, *, overwrite: bool = False
) -> int:
    """Write `frames`, uint8 (H, W, 3) or (H, W), as a clip of `rate` frames a second; how many they were.

    .mp4 and .mov: H.264, with loss, the last row or column twice where their number is odd. .mkv and .avi:
    FFV1, every value kept. The file appears whole or not at all. BackendMissing without PyAV; BadFile where
    it exists or cannot be written; OutOfRange for another suffix, rate, shape or type, and for no frame.
    """
    path = Path(path)
    if path.suffix.lower() not in CODECS:
        raise OutOfRange(f"{path}: no kind of clip that is written here; name it {', '.join(CODECS)}")
    if not (math.isfinite(rate) and 0 < rate <= DENOMINATOR):
        raise OutOfRange(f"rate: {rate} frames a second given; give more than 0, and finitely many")
    av = _av()
    with whole_file(path, overwrite=overwrite) as temporary:
        try:
            return _encode(av, temporary, path.suffix.lower(), given(frames), rate)
        except av.error.FFmpegError as error:
            raise unwritable(path, error) from error


def _av() -> Any:
    """PyAV, silent: FFmpeg's threads ask for Python's lock to log (torchvision.io turns that on), and where a
    decoder is freed, Python holds it and waits for the threads. So a damaged clip would hang."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise BackendMissing(f"clips: {missing('av', 'video')}") from error
    av.logging.set_level(None)
    return av


# ---------------------------------------------------------------- reading


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The clip, and its first stream of pictures."""
    av = _av()
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the clip")
    with open(path, "rb") as file:
        if file.read(16).lstrip().startswith(PLAYLISTS):
            raise BadFile(f"{path}: is a list of clips; give one of the clips that it names")
    try:
        clip = av.open(str(path), options=LOCAL)
    except av.error.FFmpegError as error:
        raise BadFile(f"{path}: does not open as a clip ({error.strerror}); {REPAIR}") from error
    with clip:
        if not clip.streams.video:
            raise BadFile(f"{path}: holds no pictures, only {len(clip.streams)} other streams; give a clip")
        yield clip, clip.streams.video[0]


def _decoded(path: Path) -> Iterator[np.ndarray]:
    av = _av()
    with _opened(path) as (clip, stream):
        stream.thread_type = "AUTO"
        to_rgb = av.video.reformatter.VideoReformatter()
        ending = _Ending(stream)
        size = 0, 0
        for number, frame in enumerate(_sound(av, path, clip, stream, ending), 1):
            size = (frame.height, frame.width) if number == 1 else size
            if (frame.height, frame.width) != size:
                now, before = (f"{w}x{h}" for h, w in ((frame.height, frame.width), size))
                raise BadFile(
                    f"{path}: frame {number} is {now}, those before are {before}; cut the clip there"
                )
            yield _upright(to_rgb.reformat(frame, format="rgb24").to_ndarray(), frame)
        ending.refuse_early(path)


def _sound(av: Any, path: Path, clip: Any, stream: Any, ending: _Ending) -> Iterator[Any]:
    """PyAV's frames; BadFile for one that is damaged."""
    number = 0
    try:
        for packet in clip.demux(stream):
            av.logging.set_level(None)  # torchvision.io, imported since, may have turned it on
            for frame in packet.decode():
                number += 1
                if packet.is_corrupt or frame.is_corrupt:
                    raise BadFile(f"{path}: damaged or cut off at frame {number}; {REPAIR}")
                ending.saw(frame)
                yield frame
            ending.packets += packet.size > 0
    except av.error.FFmpegError as error:
        raise BadFile(
            f"{path}: does not decode behind frame {number} ({error.strerror}); {REPAIR}"
        ) from error


class _Ending:
    """Where a clip ends, and where its header says that it does: in packets, or else in seconds."""

    def __init__(self, stream: Any) -> None:
        self.frames, self.seconds = stream.frames, _seconds(stream.metadata.get("DURATION", ""))
        self.packets, self.end, self.length = 0, 0.0, 0.0

    def saw(self, frame: Any) -> None:
        self.length = float((frame.duration or 0) * frame.time_base)
        self.end = max(self.end, (frame.time or 0.0) + self.length)

    def refuse_early(self, path: Path) -> None:
        if self.packets < self.frames:
            raise BadFile(f"{path}: cut off behind {self.packets} of {self.frames} frames; {REPAIR}")
        if self.length and self.end + self.length / 2 < self.seconds:
            raise BadFile(f"{path}: cut off behind {self.end:.2f} of {self.seconds:.2f} s; {REPAIR}")


def _seconds(text: str) -> float:
    """The seconds of 00:01:02.500000000; 0 for anything else."""
    try:
        hours, minutes, seconds = map(float, text.split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


def _upright(pixels: np.ndarray, frame: Any) -> np.ndarray:
    """Turned as the camera was held: by multiples of 90 degrees, counterclockwise."""
    turns = frame.rotation // 90 % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


# ---------------------------------------------------------------- writing


def _encode(av: Any, path: Path, suffix: str, frames: Frames, rate: float) -> int:
    codec, pixels, options = CODECS[suffix]
    number = 0
    with av.open(str(path), "w", format=FORMATS[suffix]) as clip:
        stream = clip.add_stream(codec, rate=Fraction(rate).limit_denominator(DENOMINATOR), options=options)
        stream.pix_fmt = pixels
        for number, frame in enumerate(frames, 1):
            picture = _picture(frame, number, even=pixels == "yuv420p")
            if number == 1:
                stream.height, stream.width = picture.shape[:2]
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        clip.mux(stream.encode())
    return number


def _picture(frame: np.ndarray, number: int, even: bool) -> np.ndarray:
    """(H, W, 3), of even sides where they are asked for."""
    colours = frame[..., None] if frame.ndim == 2 else frame
    if frame.dtype != np.uint8 or colours.ndim != 3 or colours.shape[2] not in (1, 3) or not frame.size:
        raise OutOfRange(
            f"frames: frame {number} is {frame.dtype} of shape {frame.shape}; give uint8, (H, W, 3) or (H, W)"
        )
    colours = np.broadcast_to(colours, (*colours.shape[:2], 3))
    odd = [(0, side % 2 if even else 0) for side in colours.shape[:2]]
    return np.ascontiguousarray(np.pad(colours, (*odd, (0, 0)), mode="edge"))
