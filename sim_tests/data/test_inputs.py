"""Images and labels as PyTorch's users have them; one result, whatever they come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from graphs import Chain, ResidualPoolNet, randomized
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.data import inputs
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import checked_batches, checked_images, checked_pairs

SHAPE = (2, 6, 6)
X = np.random.default_rng(0).normal(size=(24, *SHAPE)).astype(np.float32)
Y = np.arange(24) % 3


class Endless(Dataset[Any]):
    """As many write it: with a length, and without an IndexError at its end."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(X[index % len(X)]), int(Y[index % len(X)])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return ((torch.from_numpy(x), int(y)) for x, y in zip(X, Y, strict=True))


PAIRS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
KINDS: dict[str, Callable[[], Any]] = {
    "array": lambda: X,
    "other memory layout": lambda: np.asfortranarray(X),
    "float64": lambda: X.astype(np.float64),
    "tensor": lambda: torch.from_numpy(X),
    "tensor with a gradient": lambda: torch.from_numpy(X).clone().requires_grad_(),
    "nested lists": lambda: X.tolist(),
    "list of batches": lambda: [X[:10], torch.from_numpy(X[10:])],
    "list of images": lambda: list(X),
    "array of batches": lambda: X.reshape(4, 6, *SHAPE),
    "generator": lambda: (X[i : i + 7] for i in range(0, 24, 7)),
    "list of pairs": lambda: [(X[:5], Y[:5]), [X[5:], torch.from_numpy(Y[5:])]],
    "one pair": lambda: (X, Y),
    "one pair, labels in a list": lambda: (torch.from_numpy(X), Y.tolist()),
    "Dataset": lambda: PAIRS,
    "Dataset without an end": Endless,
    "Dataset of images alone": lambda: TensorDataset(torch.from_numpy(X)),
    "Subset": lambda: Subset(PAIRS, range(24)),
    "IterableDataset": Stream,
    "DataLoader": lambda: DataLoader(PAIRS, batch_size=7),
    "DataLoader of images alone": lambda: DataLoader(list(X), batch_size=24),
    "DataLoader without batches": lambda: DataLoader(PAIRS, batch_size=None),
    "DataLoader of a stream": lambda: DataLoader(Stream(), batch_size=5),
}
LABELLED = [
    name
    for name in KINDS
    if any(part in name for part in ("pair", "Dataset w", "Subset", "Iter", "DataLoader w", "of a s"))
]


@pytest.fixture(scope="module")
def analog() -> dn.AnalogGraph:
    return dn.from_torch(randomized(ResidualPoolNet(), 0), X[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_images(analog: dn.AnalogGraph, kind: str) -> None:
    whole = checked_images(analog, KINDS[kind]())
    np.testing.assert_array_equal(whole, X)
    assert whole.flags.c_contiguous
    np.testing.assert_array_equal(np.concatenate(list(checked_batches(analog, KINDS[kind]()))), X)


@pytest.mark.parametrize("kind", LABELLED)
def test_labels_come_along(analog: dn.AnalogGraph, kind: str) -> None:
    x, y = checked_pairs(analog, KINDS[kind](), None)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_half_floats_are_what_they_say(analog: dn.AnalogGraph) -> None:
    """Each is a float32, exactly: bits of a bfloat16 are the first ones of that."""
    x = torch.from_numpy(X)
    wide = x.bfloat16().view(torch.int16).numpy().astype(np.int32) << 16
    np.testing.assert_array_equal(checked_images(analog, x.bfloat16()), wide.view(np.float32))
    for half in (x.half(), X.astype(np.float16), [X.astype(np.float16)]):
        np.testing.assert_array_equal(checked_images(analog, half), X.astype(np.float16).astype(np.float32))


def test_sequences_are_single_or_in_batches() -> None:
    model = torch.nn.Sequential(
        torch.nn.Conv1d(2, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, 2)
    )
    x = np.random.default_rng(1).normal(size=(9, 2, 6)).astype(np.float32)
    graph = dn.from_torch(randomized(model, 0), x[0])
    for kind in (
        x,
        list(x),
        [x[:4], x[4:]],
        TensorDataset(torch.from_numpy(x)),
        DataLoader(list(x), batch_size=2),
    ):
        np.testing.assert_array_equal(checked_images(graph, kind)[:, :, 0], x)


def test_features_are_single_or_in_batches() -> None:
    x = np.random.default_rng(1).normal(size=(9, 6)).astype(np.float32)
    graph = dn.from_torch(randomized(Chain(), 0), x[0])
    for kind in (x, list(x), [x[:4], x[4:]], (x, np.arange(9)), [(x, np.arange(9))], x.tolist()):
        np.testing.assert_array_equal(checked_images(graph, kind), x)


def test_an_example_may_be_a_dataset_or_a_loader() -> None:
    model = randomized(ResidualPoolNet(), 0)
    expected = dn.from_torch(model, X[0]).digest()
    for example in (
        PAIRS,
        DataLoader(PAIRS, batch_size=4),
        torch.from_numpy(X[:1]).double(),
        DataLoader(list(X), batch_size=None),
    ):
        assert dn.from_torch(model, example).digest() == expected


# ---------------------------------------------------------------- the stages


def road(kind: str) -> tuple[dn.SpikingGraph, Any]:
    """Every stage on images of one kind; what comes of it."""
    model = randomized(ResidualPoolNet(), 0)
    analog = dn.from_torch(model, X[0])
    spiking = dn.convert(
        analog, dn.calibrate(analog, KINDS[kind](), device=torch.device("cpu")), steps=4, levels=2
    )
    fitted = dn.fit(analog, spiking, KINDS[kind]())
    integer = dn.quantize(fitted, readings=dn.readings(fitted, KINDS[kind]()))
    return integer, batched.run(integer, KINDS[kind](), device=torch.device("cpu"), record=True)


def test_the_stages_say_the_same_of_each_kind_and_twice() -> None:
    integer, run = road("array")
    assert road("array")[0].digest() == integer.digest()
    for kind in ("tensor with a gradient", "Dataset without an end", "DataLoader of images alone"):
        other, again = road(kind)
        assert other.digest() == integer.digest()
        assert all(np.array_equal(run.spikes[name], again.spikes[name]) for name in run.spikes)
    exact = reference.run(integer, KINDS["DataLoader"]())
    assert np.array_equal(exact.logits, run.logits)


def test_compare_precision_and_tune_take_loaders_and_labels_of_any_kind() -> None:
    analog = dn.from_torch(randomized(ResidualPoolNet(), 0), X[0])
    spiking = dn.convert(analog, dn.calibrate(analog, X), steps=4)
    integer = dn.quantize(spiking)
    loader = DataLoader(PAIRS, batch_size=7)
    by_hand = float(np.mean(batched.run(integer, X).logits[:, 3].argmax(1) == Y))
    given: list[tuple[Any, Any]] = [
        (loader, None),
        (PAIRS, torch.from_numpy(Y)),
        (X, Y.tolist()),
        ((X, Y), None),
    ]
    for images, labels in given:
        assert (
            dn.compare(
                dn.Networks(analog, spiking, integer), images, labels, lava=dn.Lava(images=0)
            ).accuracy["integer"][4]
            == by_hand
        )  # type: ignore[index]
    found = dn.precision(
        dn.Networks(analog, spiking, integer), loader, bits=dn.Tried(weights=[8], payloads=[5], state=[24])
    )
    assert found.grid[0].outcome.accuracy == by_hand
    assert found.images == 24
    target, space = dn.Target("steps", 2), dn.Space(steps=(2,), levels=(1,), vary=("steps",))
    tuned = [
        dn.tune(analog, images, target, labels, space=space)
        for images, labels in ((X, Y), (loader, torch.from_numpy(Y)))
    ]
    assert len({t.networks.integer.digest() for t in tuned}) == 1
    assert batched.run(integer, X).accuracy(torch.from_numpy(Y), 4) == by_hand
    assert dn.energy(integer, loader).images == 24


# ---------------------------------------------------------------- what is refused, in a sentence


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            3,
            "images: a int given; give an array or a tensor (N, *shape), a Dataset, a DataLoader, or an "
            "iterable of batches",
        ),
        ({"x": X}, "images: a dict given; give an array"),
        ("images.npz", "images: a str given; give an array"),
        (
            [{"pixel_values": X, "label": Y}],
            "images: a batch is a dict ('pixel_values', 'label'); give images, or (images, labels) pairs",
        ),
        ([()], "images: an empty batch given"),
        ([], "images: 0 given; give at least 1"),
        (X[:0], "images: 0 given; give at least 1"),
        (X[0], "images: shape (2, 6, 6) given, (N, 2, 6, 6) needed"),
        ([X[:3], X[3:, :, :5]], "images: of several sizes, such as (2, 5, 6) and (2, 6, 6); make them one"),
        ([X[:3], X[:3, :, :5]], "images: of several sizes"),
        (np.array([["a"]]), "images: a ndarray of <U1 given, which are no numbers"),
        (X.astype(complex), "images: a ndarray of complex128 given, which are no numbers"),
        ([torch.from_numpy(X).to_sparse()], "images: a Tensor given, which is no array of numbers"),
        (np.where(X > 2, np.nan, X), "values are NaN or infinite; clean the data first"),
    ],
)
def test_what_holds_no_images_is_refused(analog: dn.AnalogGraph, images: Any, said: str) -> None:
    with pytest.raises(OutOfRange) as error:
        checked_images(analog, images)
    assert said in str(error.value)


def test_pictures_need_a_transform(analog: dn.AnalogGraph) -> None:
    pictures = pytest.importorskip("PIL.Image")
    with pytest.raises(
        OutOfRange, match=r"images: PIL pictures given; let the Dataset's transform end in .*ToTensor\(\)"
    ):
        checked_images(analog, [(pictures.new("RGB", (6, 6)), 1)])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (Y[:3], "labels: 3 given for 24 images; give one for each"),
        (
            np.stack([Y, Y], axis=1),
            "labels: shape (24, 2) given, which are neither classes nor targets of output fc (3)",
        ),
        (Y + 1, "labels: 3 among them, output fc (3) tells classes 0 to 2"),
        (Y / 2, "labels: float64 given, of which some are no class indices; give integers"),
        (["cat"] * 24, "labels: a list of <U3 given, which are no numbers"),
        (None, "labels: none given, and the images bring none; give them, or (images, labels) batches"),
    ],
)
def test_what_are_no_labels_is_refused(analog: dn.AnalogGraph, labels: Any, said: str) -> None:
    spiking = dn.convert(analog, dn.calibrate(analog, X), steps=1)
    with pytest.raises(OutOfRange) as error:
        dn.compare(dn.Networks(analog, spiking, dn.quantize(spiking)), X, labels, lava=dn.Lava(images=0))
    assert said in str(error.value)


def test_targets_that_are_no_classes_are_left_alone(analog: dn.AnalogGraph) -> None:
    """Boxes, captions and dicts beside the images: nothing is asked of them."""
    for targets in ([{"box": 1}] * 24, ["a"] * 24, torch.rand(24, 4)):
        x, y = inputs.whole([(X, targets)], SHAPE)
        np.testing.assert_array_equal(x, X)
        assert y is None or y.dtype.kind == "f"


@pytest.mark.parametrize("device", ["gpu", "cuda:99", torch.device("cuda", 99), "meta"])
def test_a_device_that_is_not_there_is_a_sentence(analog: dn.AnalogGraph, device: Any) -> None:
    with pytest.raises(
        OutOfRange,
        match=rf"device: {device} cannot be used here \(.*\); give cpu, or cuda where torch finds a GPU",
    ):
        dn.calibrate(analog, X, device=device)
