"""Images and labels as users have them: arrays, tensors, (images, labels) pairs, Datasets, DataLoaders,
iterables of batches.

This is the one place that tells them apart. Nothing here imports torch: a tensor is known by its `detach`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.system.progress import Progress, tell

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader, Dataset

    Images: TypeAlias = np.ndarray | torch.Tensor | Dataset[Any] | DataLoader[Any] | Iterable[Any]
    Labels: TypeAlias = np.ndarray | torch.Tensor | Iterable[int]
    Device: TypeAlias = str | torch.device
else:
    Images = Labels = Device = Any

Batch = tuple[np.ndarray, "np.ndarray | None"]  # images (N, *shape), labels (N, ...)

BATCH = 100  # images that single ones are gathered into, and long arrays are cut into
WANTED = "give an array or a tensor (N, *shape), a Dataset, a DataLoader, or an iterable of batches"


def batches(images: Images, shape: tuple[int, ...]) -> Iterator[Batch]:
    """What `images` hold, batch by batch, as arrays; `shape` is that of one image. Labels where there are
    some.

    OutOfRange for what holds no images. Shapes and values are the caller's to check.
    """
    if is_array(images) or _is_nested(images):
        x = array(images)
        yield from ((part, None) for part in (x if x.ndim > len(shape) + 1 else _parts(x)))
    elif isinstance(images, tuple | list) and _is_pair(images):
        x, y = array(images[0]), array(images[1], "labels")
        yield from ((x[part], y[part]) for part in _parts(np.arange(len(x))))
    else:
        yield from _gathered(_items(images), shape)


def turns(images: Images, shape: tuple[int, ...], rank: int, size: int) -> Iterator[tuple[int, Batch]]:
    """Every `size`th of the batches, from the `rank`th on, with its number; of a sample the others are not
    even read."""
    if hasattr(images, "turns"):
        yield from ((rank + i * size, batch) for i, batch in enumerate(images.turns(rank, size)))
        return
    for number, batch in enumerate(batches(images, shape)):
        if number % size == rank:
            yield number, batch


def whole(images: Images, shape: tuple[int, ...]) -> Batch:
    """All images at once, and their labels where every one has some."""
    if is_array(images) or _is_nested(images):
        values = array(images)
        return values.reshape(-1, *values.shape[2:]) if values.ndim > len(shape) + 1 else values, None
    x, y = [], []
    for part, labels in batches(images, shape):
        x.append(part)
        y.append(labels)
    if not x:
        raise OutOfRange("images: 0 given; give at least 1")
    if len({part.shape[1:] for part in x}) > 1:
        some = " and ".join(str(s) for s in sorted({part.shape[1:] for part in x})[:2])
        raise OutOfRange(f"images: of several sizes, such as {some}; make them one")
    told = [labels for labels in y if labels is not None]
    return np.concatenate(x), np.concatenate(told) if len(told) == len(y) and len(
        {t.shape[1:] for t in told}
    ) == 1 else None


def first(images: Images) -> Any:
    """The first image of a Dataset, or the first batch of a DataLoader; anything else as it is."""
    if (
        is_array(images)
        or isinstance(images, tuple | list | dict | str | bytes)
        or hasattr(images, "__next__")
    ):
        return images
    if not (is_dataset(images) or hasattr(images, "__iter__")):
        return images
    item = next(_items(images), None)
    if item is None:
        raise OutOfRange(f"{_name(images)}: holds 0 images; give at least 1")
    return item[0] if isinstance(item, tuple | list) else item


def sampled(total: int, count: int, seed: int, who: str) -> np.ndarray:
    """Indices of `count` of so many images, sorted: all of them, or a seeded sample (folders come class by
    class)."""
    if count < 1:
        raise OutOfRange(f"{who}: {count} images asked for; ask for 1 or more")
    if total == 0:
        raise OutOfRange(f"{who}: holds 0 images; give at least 1")
    return (
        np.arange(total)
        if count >= total
        else np.sort(np.random.default_rng(seed).choice(total, count, replace=False))
    )


class Pool(Protocol):
    """Images of which samples are taken: a Dataset of the command line's, or what `pool` makes of what users
    give."""

    @property
    def name(self) -> str: ...

    @property
    def first(self) -> Any: ...

    def __len__(self) -> int: ...

    def sample(self, count: int, seed: int, progress: Progress | None = None) -> Iterable[Batch]: ...


@dataclass(frozen=True)
class Given:
    """A pool of images with a length, read by index: `items[i]` is an image, or (image, label)."""

    items: Any
    name: str

    @property
    def first(self) -> Any:
        sampled(len(self), 1, 0, self.name)  # is there one?
        item = self.items[0]
        return item[0] if isinstance(item, tuple | list) else item

    def __len__(self) -> int:
        return len(self.items)

    def sample(self, count: int, seed: int, progress: Progress | None = None) -> Iterable[Batch]:
        return Sample(self.items, sampled(len(self), count, seed, self.name), progress)


@dataclass(frozen=True)
class Sample:
    """The items of `indices`, batch by batch, each time they are asked for. progress(done, of): in images,
    the first time."""

    items: Any
    indices: np.ndarray
    progress: Progress | None = None

    def __iter__(self) -> Iterator[Batch]:
        return self.turns(0, 1)

    def turns(self, rank: int, size: int) -> Iterator[Batch]:
        """Every `size`th batch, from the `rank`th on."""
        for start in range(rank * BATCH, len(self.indices), size * BATCH):
            chosen = [_split(self.items[int(i)]) for i in self.indices[start : start + BATCH]]
            if len({x.shape for x, _ in chosen}) > 1:
                some = " and ".join(str(s) for s in sorted({x.shape for x, _ in chosen})[:2])
                raise OutOfRange(f"images: of several sizes, such as {some}; make them one")
            yield _stacked(chosen)
            tell(self.progress, min(start + BATCH, len(self.indices)), len(self.indices))


def pool(images: Images) -> Pool:
    """The images as a pool: arrays (N, *shape) and Datasets as they are, what can only be iterated held in
    memory. OutOfRange for none."""
    if hasattr(images, "sample") and hasattr(images, "first"):
        return images  # type: ignore[return-value]
    if isinstance(images, tuple | list) and _is_pair(images):
        return Given(_Pairs(array(images[0]), array(images[1], "labels")), "images")
    if is_array(images) or _is_nested(images):
        return Given(array(images), "images")
    if is_dataset(images):
        return Given(images, _name(images))
    parts = [_split(item) for item in _items(images)]
    if not parts:
        raise OutOfRange("images: 0 given; give at least 1")
    x = np.concatenate([part for part, _ in parts])
    told = [y for _, y in parts if y is not None]
    return Given(_Pairs(x, np.concatenate(told)) if len(told) == len(parts) else x, _name(images))


@dataclass(frozen=True)
class _Pairs:
    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.images[index], self.labels[index]


def labels(values: Labels, images: int) -> np.ndarray:
    """Labels or targets (N, ...) of so many images, as they are; OutOfRange for another number of them."""
    y = array(values, "labels")
    if not y.ndim or len(y) != images:
        raise OutOfRange(f"labels: {len(y) if y.ndim else 1} given for {images} images; give one for each")
    return y


def array(values: Any, who: str = "images") -> np.ndarray:
    """Numbers as a NumPy array: of a tensor on any device, with or without a gradient. Floats of fewer than
    32 bits, exactly, in 32."""
    if type(values).__module__.partition(".")[0] == "PIL":
        raise OutOfRange(
            f"{who}: PIL pictures given; let the Dataset's transform end in torchvision.transforms.ToTensor()"
        )
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = (
                values.float() if values.is_floating_point() and values.itemsize < 4 else values
            ).numpy()
        found = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise OutOfRange(
            f"{who}: a {_name(values)} given, which is no array of numbers ({_line(error)}); {WANTED}"
        ) from error
    if found.dtype.kind not in "fiub":
        raise OutOfRange(f"{who}: a {_name(values)} of {found.dtype} given, which are no numbers; {WANTED}")
    return found.astype(np.float32) if found.dtype == np.float16 else found


def is_array(values: Any) -> bool:
    """An array or a tensor, NumPy's, torch's, or of another library that NumPy can read."""
    return (
        hasattr(values, "shape")
        and hasattr(values, "dtype")
        and (hasattr(values, "__array__") or hasattr(values, "detach"))
    )


# ---------------------------------------------------------------- telling them apart


def _items(images: Any) -> Iterator[Any]:
    """Batches, single images, or pairs of such with labels, in order."""
    if is_dataset(images):
        return (images[i] for i in range(len(images)))
    if isinstance(images, dict | str | bytes) or not hasattr(images, "__iter__"):
        raise OutOfRange(f"images: a {_name(images)} given; {WANTED}")
    return iter(images)


def is_dataset(images: Any) -> bool:
    """Map-style: read by index, since torch's Dataset cannot be relied upon to end when it is iterated."""
    return (
        hasattr(images, "__getitem__")
        and hasattr(images, "__len__")
        and not isinstance(images, tuple | list | dict | str | bytes)
    )


def _is_nested(images: Any) -> bool:
    """Lists of numbers, or of such lists."""
    if not isinstance(images, tuple | list):
        return False
    while isinstance(images, tuple | list) and images:
        images = images[0]
    return isinstance(images, int | float)


def _is_pair(images: Sequence[Any]) -> bool:
    """(images, labels), of which labels have fewer axes; two batches have the same."""
    if len(images) != 2 or not is_array(images[0]):
        return False
    x, y = images
    axes = (
        len(y.shape)
        if is_array(y)
        else 1
        if isinstance(y, list | tuple) and all(isinstance(i, int | np.integer) for i in y)
        else None
    )
    return axes is not None and 1 <= axes < len(x.shape) and len(y) == len(x)


def _gathered(items: Iterable[Any], shape: tuple[int, ...]) -> Iterator[Batch]:
    """Batches as they come; single images in batches of BATCH."""
    waiting: list[tuple[np.ndarray, np.ndarray | None]] = []
    for item in items:
        x, y = _split(item)
        if not _is_single(x, shape):
            if waiting:
                yield _stacked(waiting)
            waiting = []
            yield x, y
            continue
        waiting.append((x, y))
        if len(waiting) == BATCH:
            yield _stacked(waiting)
            waiting = []
    if waiting:
        yield _stacked(waiting)


def _split(item: Any) -> tuple[np.ndarray, np.ndarray | None]:
    if isinstance(item, dict):
        keys = ", ".join(map(repr, list(item)[:4]))
        raise OutOfRange(f"images: a batch is a dict ({keys}); give images, or (images, labels) pairs")
    if isinstance(item, tuple | list):
        if not item:
            raise OutOfRange("images: an empty batch given; give images, or (images, labels) pairs")
        return array(item[0]), array(item[1], "labels") if len(item) > 1 and _are_labels(item[1]) else None
    return array(item), None


def _are_labels(values: Any) -> bool:
    """Class indices; of other targets, such as boxes or captions, nothing is asked here."""
    return (
        is_array(values)
        or isinstance(values, int)
        or (isinstance(values, list | tuple) and all(isinstance(i, int) for i in values))
    )


def _is_single(x: np.ndarray, shape: tuple[int, ...]) -> bool:
    """One image, not a batch; a sequence (C, L) is a map of one row."""
    return x.shape == shape or (len(shape) == 3 and shape[1] == 1 and x.shape == (shape[0], shape[2]))


def _stacked(waiting: list[tuple[np.ndarray, np.ndarray | None]]) -> Batch:
    x = np.stack([image for image, _ in waiting])
    told = [label for _, label in waiting if label is not None]
    return x, np.stack(told) if len(told) == len(waiting) and len(
        {label.shape for label in told}
    ) == 1 else None


def _parts(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + BATCH] for start in range(0, len(x), BATCH)] if x.ndim else [x]


def _name(value: Any) -> str:
    return type(value).__name__


def _line(error: BaseException) -> str:
    return (str(error).strip() or "no message").splitlines()[0]
