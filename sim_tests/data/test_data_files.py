"""Images and labels as files hold them: names of arrays, labels of every kind, axes that the model tells,
ranges, sizes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.data import datasets
from dnisnm_lava.data.files import layouts
from dnisnm_lava.data.forward import runs_on
from dnisnm_lava.errors import BadFile, OutOfRange

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 6, 5)).astype(np.uint8)
FLOATS = RNG.random((4, 6, 5), np.float32)
CLASSES = np.array([0, 1, 1, 0])


def saved(folder: Path, **arrays: np.ndarray) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def four(x: np.ndarray, y: np.ndarray | None = None) -> dict[str, np.ndarray]:
    labels = {} if y is None else {"y_train": y, "y_test": y}
    return {"x_train": x, "x_test": x, **labels}


# ---------------------------------------------------------------- names of arrays


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("x_train", "y_train", "x_test", "y_test"), ""),
        (
            ("train_images", "train_labels", "test_images", "test_labels"),
            "train_images with train_labels to calibrate on, test_images",
        ),
        (("X_train", "Y_train", "X_test", "Y_test"), "X_train with Y_train to calibrate on"),
        (("trainX", "trainY", "testX", "testY"), "trainX with trainY"),
        (("xtrain", "ytrain", "xtest", "ytest"), "xtrain with ytrain to calibrate on, xtest with ytest"),
        (("X_tr", "y_tr", "X_te", "y_te"), "X_te with y_te to test with"),
        (("X_train", "Y_train", "X_dev", "Y_dev"), "X_dev with Y_dev to test with"),
        (
            ("train_data", "train_targets", "val_data", "val_targets"),
            "val_data with val_targets to test with",
        ),
        (
            ("images", "labels", "images", "labels"),
            "images with labels to calibrate on, images with labels to test with",
        ),
    ],
)
def test_common_names_are_understood_and_told(tmp_path: Path, names: tuple[str, ...], told: str) -> None:
    single = len(set(names)) == 2
    other = BYTES if single else BYTES[::-1]
    spec = saved(
        tmp_path,
        **dict(zip(names, (BYTES, CLASSES, other, 1 - CLASSES if not single else CLASSES), strict=True)),
    )
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        data = datasets.load_data(spec)
    assert told in " ".join(str(w.message) for w in notices)
    assert bool(notices) == bool(told)
    for part, x in ((data.train, BYTES), (data.test, other)):
        images, labels = datasets.arrays(part, np.arange(4))
        np.testing.assert_array_equal(images, x[:, None].astype(np.float32) / np.float32(255))
        np.testing.assert_array_equal(labels, CLASSES if part is data.train or single else 1 - CLASSES)


def test_what_is_left_is_told_by_its_names(tmp_path: Path) -> None:
    names = {
        f"{part}_{kind}": v
        for part in ("train", "val", "test")
        for kind, v in (("images", BYTES), ("labels", CLASSES))
    }
    with pytest.warns(UserWarning, match="not read: val_images, val_labels"):
        datasets.load_data(saved(tmp_path, **names))


def test_images_to_test_alone_are_those_to_calibrate_on_and_that_is_told(tmp_path: Path) -> None:
    """As `predict` needs no others."""
    with pytest.warns(UserWarning, match="x_test to calibrate on, x_test to test with"):
        data = datasets.load_data(saved(tmp_path, x_test=BYTES))
    assert len(data.train) == len(data.test) == 4


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": BYTES}, r"lacks x_test; save both, .*; its keys are x_train"),
        ({"arr_0": BYTES, "arr_1": CLASSES}, r"lacks x_train, x_test; .*its keys are arr_0, arr_1"),
        (
            {"x_train": BYTES, "train_images": BYTES, "x_test": BYTES},
            r"both x_train and train_images may be the train images; keep one",
        ),
        ({}, r"its keys are none"),
    ],
)
def test_names_that_are_not_understood_are_listed(
    tmp_path: Path, arrays: dict[str, np.ndarray], said: str
) -> None:
    with pytest.raises(BadFile, match=said):
        datasets.load_data(saved(tmp_path, **arrays))


def test_arrays_without_images_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"x of shape \(0, 6, 5\) holds no images"):
        datasets.load_data(saved(tmp_path, **four(FLOATS[:0], CLASSES[:0])))


def test_another_machines_order_of_bytes_is_read(tmp_path: Path) -> None:
    data = datasets.load_data(saved(tmp_path, **four(FLOATS.astype(">f4"), CLASSES.astype(">i8"))))
    images, labels = datasets.arrays(data.test, np.arange(4))
    np.testing.assert_array_equal(images, FLOATS[:, None])
    np.testing.assert_array_equal(labels, CLASSES)


def test_a_file_of_another_kind_is_told_what_to_save(tmp_path: Path) -> None:
    (tmp_path / "train.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(BadFile, match=r"train\.mat: no kind of data that is read here; give an \.npz"):
        datasets.load_data(str(tmp_path / "train.mat"))


def test_one_array_is_images_without_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", FLOATS)
    data = datasets.load_data(str(tmp_path / "x.npy"))
    images, labels = datasets.arrays(data.test, np.arange(4), classes=False)
    np.testing.assert_array_equal(images, FLOATS[:, None])
    assert datasets.is_unknown(labels)
    np.save(tmp_path / "o.npy", np.array([object()]))
    with pytest.raises(BadFile, match="it holds pickled objects, which can run code: refused"):
        datasets.load_data(str(tmp_path / "o.npy"))


# ---------------------------------------------------------------- labels


MAPS = RNG.integers(0, 3, (4, 6, 5))
LABELS = {
    "(N, 1)": (CLASSES[:, None].astype(np.uint8), CLASSES),
    "floats": (CLASSES.astype(np.float32), CLASSES.astype(np.float32)),
    "maps": (MAPS, MAPS),
    "targets": (FLOATS[:, 0], FLOATS[:, 0]),
    "minus one": (CLASSES - 1, CLASSES - 1),
    "booleans": (CLASSES.astype(bool), CLASSES),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    given, wanted = LABELS[kind]
    data = datasets.load_data(saved(tmp_path, **four(FLOATS, given)))
    _, labels = datasets.arrays(data.train, np.arange(4))
    assert labels.dtype == (np.int64 if wanted.dtype.kind == "i" else wanted.dtype)
    np.testing.assert_array_equal(labels, wanted)


class Own:
    """A Dataset of a user's own."""

    def __init__(self, labels: Any) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> tuple[torch.Tensor, Any]:
        return torch.from_numpy(FLOATS[i, None]), self.labels[i]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([{"boxes": []}] * 4, "labels of type dict, which are no numbers; give one class"),
        (["cat", "dog"] * 2, "labels of type str, which are no numbers"),
        ([MAPS[0], MAPS[1, 1:], MAPS[2], MAPS[3]], r"labels of 2 shapes, such as \(5, 5\) and \(6, 5\)"),
        ([None] * 4, "images come without classes, which accuracy needs"),
    ],
    ids=["boxes", "names", "maps of two sizes", "none"],
)
def test_labels_stop_only_who_needs_them(labels: Any, said: str) -> None:
    own = datasets.Labelled(Own(labels), datasets.Preparation(), "own")
    images, none = datasets.arrays(own, np.arange(4), classes=False)
    np.testing.assert_array_equal(images, FLOATS[:, None])
    assert datasets.is_unknown(none)
    with pytest.raises(OutOfRange, match=said):
        datasets.arrays(own, np.arange(4))


# ---------------------------------------------------------------- axes


class Turned(nn.Module):
    """Pictures (H, W, C) come in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 2, 3), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.conv(x.permute(0, 3, 1, 2)).relu().mean((2, 3)))


def sequence(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(channels, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 2)
    )


def maps(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )


def like(*shape: int, are_bytes: bool = False) -> np.ndarray:
    return (
        RNG.integers(0, 256, (4, *shape)).astype(np.uint8)
        if are_bytes
        else RNG.random((4, *shape), np.float32)
    )


CASES: dict[str, tuple[nn.Module, np.ndarray, str, tuple[int, ...]]] = {
    "sequences": (sequence(8), like(8, 20), "ncl, since the model does not run on nhw", (0, 1)),
    "sequences, channels last": (
        sequence(3),
        like(20, 3),
        "nlc, since the model does not run on nhw",
        (1, 0),
    ),
    "maps of one channel": (maps(1), like(9, 9), "", ()),
    "a model of (H, W, C)": (
        Turned(),
        like(9, 8, 3),
        "nhwc:nhwc, since the model does not run on nhwc",
        (0, 1, 2),
    ),
    "a model of (H, W, C), channels first": (
        Turned(),
        like(3, 9, 8),
        "nchw:nhwc, since the model does not run on nchw",
        (1, 2, 0),
    ),
    "many channels last": (maps(7), like(9, 8, 7), "nhwc, since the model does not run on nchw", (2, 0, 1)),
    "bytes of many channels": (maps(6), like(9, 8, 6, are_bytes=True), "nhwc, since", (2, 0, 1)),
    "channels last": (maps(3), like(9, 8, 3), "", (2, 0, 1)),
    "channels first": (maps(3), like(3, 9, 8), "", (0, 1, 2)),
    "one channel of sound": (sequence(1), like(30), "nl, since the model does not run on nf", ()),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_model_tells_the_axes(tmp_path: Path, kind: str) -> None:
    model, x, told, order = CASES[kind]
    data = datasets.load_data(saved(tmp_path, **four(x)))
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always", UserWarning)
        found = datasets.suited(data, lambda image: runs_on(model, image))
    said = " ".join(str(w.message) for w in notices if "taken as" in str(w.message))
    assert told in said
    assert bool(said) == bool(told)
    wanted = x[0].transpose(order) if order else x[0][None]
    scaled = wanted.astype(np.float32) / np.float32(255 if x.dtype == np.uint8 else 1)
    np.testing.assert_array_equal(found.test[0][0].numpy(), scaled)
    assert runs_on(model, found.train[0][0])


def test_where_several_run_torchs_own_is_kept_and_told(tmp_path: Path) -> None:
    dense = nn.Sequential(nn.Flatten(), nn.Linear(6 * 5 * 5, 2))
    data = datasets.load_data(saved(tmp_path, **four(like(6, 5, 5))))
    with pytest.warns(
        UserWarning, match=r"and the model runs on nchw, nhwc, nchw:nhwc: taken as nchw \(--layout\)"
    ):
        found = datasets.suited(data, lambda image: runs_on(dense, image))
    assert found is data


def test_pictures_and_datasets_are_turned_for_a_model_that_wants_it() -> None:
    picture = Image.fromarray(like(9, 8, 3, are_bytes=True)[0])
    for item in (picture, torch.rand(3, 9, 8)):
        own = datasets.Labelled([item], datasets.Preparation(), "own")  # type: ignore[arg-type]
        with pytest.warns(UserWarning, match="are taken as nchw:nhwc"):
            found = datasets.suited(datasets.Data("own", own, own), lambda image: runs_on(Turned(), image))
        np.testing.assert_array_equal(found.train[0][0].numpy(), own[0][0].permute(1, 2, 0).numpy())


def test_a_batch_is_no_image() -> None:
    """(1, 8, 20) would run as one sequence of 8 channels, in a batch of one."""
    assert not runs_on(sequence(8), torch.zeros(1, 8, 20))
    assert runs_on(sequence(8), torch.zeros(8, 20))


@pytest.mark.parametrize(
    ("text", "shape", "out"),
    [
        ("nhwc", (9, 8, 3), (3, 9, 8)),
        ("NCHW", (3, 9, 8), (3, 9, 8)),
        ("nhw", (9, 8), (1, 9, 8)),
        ("nlc", (20, 3), (3, 20)),
        ("nhwc:nhwc", (9, 8, 3), (9, 8, 3)),
        ("nhw:nhwc", (9, 8), (9, 8, 1)),
        ("nl", (20,), (1, 20)),
        ("nf", (7,), (7,)),
        ("nchw:nhwc", (3, 9, 8), (9, 8, 3)),
    ],
)
def test_layouts_are_what_their_letters_say(text: str, shape: tuple[int, ...], out: tuple[int, ...]) -> None:
    layout = layouts.parse(text)
    assert tuple(layout.to_model(layout.to_torch(np.zeros(shape, np.float32))).shape) == out
    assert layouts.parse(str(layout)) == layout


@pytest.mark.parametrize("text", ["hello", "nchhw", "nhwc:ncl", "nchw:nchw:nchw", "n"])
def test_other_letters_are_refused(text: str) -> None:
    with pytest.raises(OutOfRange, match=f"layout: {text} given; give nchw, nhwc, nhw"):
        layouts.parse(text)


# ---------------------------------------------------------------- range and size


@pytest.mark.parametrize("bounds", [(), (0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_bytes_and_pictures_come_in_the_range_that_is_asked_for(
    tmp_path: Path, bounds: tuple[float, ...]
) -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    low, high = bounds or (0.0, 1.0)
    wanted = every[0].astype(np.float32) / np.float32(255 / (high - low)) + np.float32(low)
    assert wanted.min() == low
    assert wanted.max() == high
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.fromarray(every[0]).save(tmp_path / "images" / name / "0.png")
    for spec, options in (
        (saved(tmp_path, **four(every)), {}),
        (str(tmp_path / "images"), {"grayscale": True}),
    ):
        data = datasets.load_data(spec, range=bounds, **options)
        np.testing.assert_array_equal(data.train[0][0].numpy(), wanted[None])


def test_bytes_of_a_dataset_stay_unless_asked() -> None:
    own = [BYTES[0][None]]
    for bounds, scale in ((None, 1), ((0.0, 1.0), 255)):
        data = datasets.Labelled(own, datasets.Preparation(range=bounds), "own")
        np.testing.assert_array_equal(
            data[0][0].numpy(), BYTES[0][None].astype(np.float32) / np.float32(scale)
        )


def test_height_and_width_are_resized_and_cropped(tmp_path: Path) -> None:
    (tmp_path / "images/a").mkdir(parents=True)
    Image.fromarray(like(20, 30, 3, are_bytes=True)[0]).save(tmp_path / "images/a/0.png")
    for options, shape in (
        ({"resize": (66, 200)}, (3, 66, 200)),
        ({"resize": 10}, (3, 10, 15)),
        ({"resize": (10,)}, (3, 10, 15)),
        ({"crop": (8, 12)}, (3, 8, 12)),
        ({"crop": 8}, (3, 8, 8)),
        ({"resize": (12, 16), "crop": (6, 8)}, (3, 6, 8)),
    ):
        data = datasets.load_data(str(tmp_path / "images"), **options)  # type: ignore[arg-type]
        assert tuple(data.train[0][0].shape) == shape
    by_hand = np.asarray(Image.open(tmp_path / "images/a/0.png").resize((200, 66), Image.Resampling.BILINEAR))
    found = datasets.load_data(str(tmp_path / "images"), resize=(66, 200)).train[0][0].numpy()
    np.testing.assert_array_equal(found, by_hand.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"resize": (1, 2, 3)}, "resize: 1,2,3 given; give the shorter side, or height and width"),
        ({"resize": 100_000}, "resize: 100000 given; .* in pixels, each 1 to 8,192"),
        ({"crop": (0, 3)}, "crop: 0,3 given; give the side of a square, or height and width"),
        ({"range": (1.0, 0.0)}, r"range: \(1.0, 0.0\) given; give what byte 0 and byte 255 become"),
        ({"layout": "abc"}, "layout: abc given"),
    ],
)
def test_what_cannot_be_prepared_is_a_sentence(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(OutOfRange, match=said):
        datasets.load_data(saved(tmp_path, **four(BYTES)), **options)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            "[{'image': np.zeros((3, 4, 4)), 'label': 1}] * 4",
            r"image 0 is a dict of 'image', 'label'; give images, or \(image, class\) pairs",
        ),
        (
            "(np.zeros((4, 3, 4, 4)), np.arange(4))",
            r"a pair with an array of shape \(4,\), .*give torch\.utils\.data\.TensorDataset\(x, y\)",
        ),
    ],
)
def test_what_a_factory_makes_is_told(tmp_path: Path, made: str, said: str) -> None:
    (tmp_path / "d.py").write_text(f"import numpy as np\ndef data(): return {made}\n")
    with pytest.raises((BadFile, OutOfRange), match=said):
        datasets.load_data(f"{tmp_path}/d.py:data").train[0]


# ---------------------------------------------------------------- nothing of data runs


def test_a_cache_of_pickles_beside_mnist_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision would load MNIST/processed/training.pt, whatever it is."""
    folder = tmp_path / "MNIST"
    (folder / "processed").mkdir(parents=True)
    (folder / "raw").mkdir()
    for name in ("training.pt", "test.pt"):
        (folder / "processed" / name).write_bytes(b"no pickle")
    for part in ("train", "t10k"):
        head = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (4, 6, 5))
        (folder / f"raw/{part}-images-idx3-ubyte").write_bytes(head + BYTES.tobytes())
        (folder / f"raw/{part}-labels-idx1-ubyte").write_bytes(
            bytes([0, 0, 8, 1, 0, 0, 0, 4]) + CLASSES.astype(np.uint8).tobytes()
        )
    data = datasets.load_data(f"mnist:{tmp_path}")
    images, labels = datasets.arrays(data.test, np.arange(4))
    np.testing.assert_array_equal(images, BYTES[:, None].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(labels, CLASSES)


def test_a_program_under_the_name_of_a_picture_is_no_picture(tmp_path: Path) -> None:
    """Pillow would hand PostScript to an interpreter."""
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "images/a/0.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n"
    )
    assert Image.open(tmp_path / "images/a/0.png").format == "EPS"
    with pytest.raises(BadFile, match=r"image 0 cannot be read .*; repair or remove it"):
        datasets.load_data(str(tmp_path / "images")).train[0]


# ---------------------------------------------------------------- on the command line


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def seq(): torch.manual_seed(0); return nn.Sequential(nn.Conv1d(8, 2, 3), nn.ReLU(), "
        "nn.Flatten(), nn.Linear(36, 2))\n"
        "def small(): torch.manual_seed(0); return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), "
        "nn.Flatten(), nn.Linear(24, 2))\n"
    )
    return tmp_path


FEW = ["--calibration-images", "4", "--fit-images", "4", "--steps", "2", "--recipe", "paper"]


def test_verbs_take_sequences_of_channels(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = saved(place, **four(like(8, 20), CLASSES))
    assert cli.main(["convert", "--model", "nets.py:seq", "--data", spec, *FEW, "-o", "a.net"]) == 0
    assert "are taken as ncl, since the model does not run on nhw (--layout)" in capsys.readouterr().err
    assert cli.main(["simulate", "a.net", "--data", spec, "--steps", "2"]) == 0
    assert "are taken as ncl" in capsys.readouterr().err
    assert cli.main(["simulate", "a.net", "--data", spec, "--steps", "2", "--layout", "ncl"]) == 0
    assert "are taken as" not in capsys.readouterr().err
    assert cli.main(["inspect", "nets.py:seq", "--data", spec, "--json"]) == 0


def test_verbs_take_pictures_of_another_order(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the model permutes itself, a file of it takes as the model did."""
    (place / "turned.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Turned(nn.Module):\n"
        "    def __init__(s):\n"
        "        super().__init__(); torch.manual_seed(0); s.conv, s.last = nn.Conv2d(3, 2, 3), "
        "nn.Linear(2, 2)\n"
        "    def forward(s, x): return s.last(s.conv(x.permute(0, 3, 1, 2)).relu().mean((2, 3)))\n"
    )
    spec = saved(place, **four(like(8, 7, 3), CLASSES))
    assert cli.main(["convert", "--model", "turned.py:Turned", "--data", spec, *FEW, "-o", "a.net"]) == 0
    assert (
        "are taken as nhwc:nhwc, since the model does not run on nhwc (--layout)" in capsys.readouterr().err
    )
    for options in ([], ["--layout", "nhwc:nhwc"]):
        assert cli.main(["simulate", "a.net", "--data", spec, "--steps", "2", *options]) == 0
        assert ("are taken as nhwc:nhwc" in capsys.readouterr().err) == (not options)


def test_odd_labels_do_not_stop_convert(place: Path) -> None:
    for i, labels in enumerate((CLASSES[:, None], CLASSES.astype(np.float32), MAPS)):
        spec = saved(place, **four(FLOATS, labels))
        assert cli.main(["convert", "--model", "nets.py:small", "--data", spec, *FEW, "-o", f"{i}.net"]) == 0


def test_a_range_that_nothing_reads_and_a_mean_of_another_range_are_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = saved(place, **four(FLOATS, CLASSES))
    command = ["convert", "--model", "nets.py:small", *FEW, "--overwrite", "-o", "a.net", "--data"]
    assert cli.main([*command, spec, "--range", "-1,1"]) == 0
    assert "holds no bytes or pictures, so --range has no effect" in capsys.readouterr().err
    spec = saved(place, **four(BYTES, CLASSES))
    assert cli.main([*command, spec, "--mean", "33.3", "--std", "78.6"]) == 0
    assert (
        "--mean 33.3: beyond the range of bytes, which become 0 ... 1 first; --range 0,255"
        in capsys.readouterr().err
    )
    assert cli.main([*command, spec, "--mean", "33.3", "--std", "78.6", "--range", "0,255"]) == 0
    assert "beyond" not in capsys.readouterr().err


SCALES = """
import torch
from torch import nn

class Bright(nn.Module):
    "The class is whether the picture is bright; scale: what the network divides by itself"
    def __init__(self, scale, outputs):
        super().__init__()
        self.conv, self.last, self.scale = nn.Conv2d(1, 1, 1), nn.Linear(1, outputs), scale
        signs = [[1.0]] if outputs == 1 else [[-1.0], [1.0]]
        self.load_state_dict({"conv.weight": torch.ones(1, 1, 1, 1), "conv.bias": torch.zeros(1), "last.weight": 20 * torch.tensor(signs),
                              "last.bias": -10 * torch.tensor(signs)[:, 0]})
    def forward(self, x):
        return self.last((self.conv(x / self.scale)).relu().mean((2, 3)))

class Own:
    "Bytes as a Dataset gives them"
    def __init__(self, name):
        import numpy as np
        self.file = np.load(name)
    def __len__(self):
        return 40
    def __getitem__(self, i):
        return torch.from_numpy(self.file["x_train"][i]), int(self.file["y_train"][i])

def itself(): return Bright(255.0, 2)
def one(): return Bright(255.0, 1)
def outside(): return Bright(1.0, 2)
def own(): return Own("data.npz")
"""


@pytest.mark.parametrize(
    ("model", "source", "advice"),
    [
        ("itself", "npz", "say --range 0,255"),
        ("one", "npz", "say --range 0,255"),
        ("itself", "folder", "say --range 0,255"),
        ("outside", "npz", ""),
        ("outside", "own", "say --range 0,1"),
        ("itself", "own", ""),
    ],
)
def test_a_network_that_scales_by_itself_is_noticed_and_nothing_is_chosen(
    place: Path, capsys: pytest.CaptureFixture[str], model: str, source: str, advice: str
) -> None:
    (place / "scales.py").write_text(SCALES)
    bright = np.arange(40) % 2
    x = (np.where(bright, 180, 25)[:, None, None, None] + RNG.integers(0, 50, (40, 1, 8, 8))).astype(np.uint8)
    data = {"npz": saved(place, **four(x, bright)), "folder": "images", "own": "scales.py:own"}[source]
    for i in range(40):
        (place / f"images/{bright[i]}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[i, 0]).save(place / f"images/{bright[i]}/{i}.png")
    given = ["--grayscale"] if source == "folder" else []
    command = [
        "convert",
        "--model",
        f"scales.py:{model}",
        "--data",
        data,
        *given,
        *FEW,
        "--overwrite",
        "-o",
        "a.net",
    ]
    assert cli.main(command) == 0
    told = capsys.readouterr().err
    assert advice in told
    assert ("say --range" in told) == bool(advice)
    if advice:
        assert "50.0 % of the labels of 40 training images" in told
        assert "100.0 %" in told
        assert cli.main([*command, *advice.removeprefix("say ").split()]) == 0
        assert "say --range" not in capsys.readouterr().err


def test_in_python_all_of_it_is_asked_for(tmp_path: Path) -> None:
    x = like(9, 8, 3, are_bytes=True)
    data = dn.load_data(saved(tmp_path, **four(x)), layout="nhwc:nhwc", range=(0, 255), crop=(4, 6))
    np.testing.assert_array_equal(data.train[0][0].numpy(), x[0, 2:6, 1:7].astype(np.float32))
    spec, model = saved(tmp_path, **four(like(8, 20))), sequence(8)
    with pytest.warns(UserWarning, match="are taken as ncl"):
        assert tuple(dn.load_data(spec, model=model).train[0][0].shape) == (8, 20)
    assert tuple(dn.load_data(spec).train[0][0].shape) == (1, 8, 20)
