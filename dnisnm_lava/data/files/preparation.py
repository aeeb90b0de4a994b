"""How an image is prepared for a model: axes, range, size, colours, (x - mean) / std."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from dnisnm_lava.data import inputs
from dnisnm_lava.data.files import layouts
from dnisnm_lava.data.files.layouts import Layout
from dnisnm_lava.errors import OutOfRange

UNIT = (0.0, 1.0)
BYTE = 255.0
Transform = Callable[[Any], torch.Tensor]
LONGEST = 8192  # pixels along a side: more are typing errors, and fill the memory


@dataclass(frozen=True)
class Preparation:
    """From an image as it lies there to what the model gets.

    layout: of arrays (None: as they are). range: what bytes 0 ... 255 become (None: pictures 0 ... 1, arrays
    of bytes stay as they are). resize: (shorter side,) or (height, width); crop: (side,) or (height, width),
    of the centre. transform: instead of all from resize on.
    """

    layout: Layout | None = None
    range: tuple[float, float] | None = None
    resize: tuple[int, ...] = ()
    crop: tuple[int, ...] = ()
    grayscale: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    transform: Transform | None = None

    def __call__(self, image: Any) -> torch.Tensor:
        """(C, H, W), (C, L) or (F,) in float32, unless layout says otherwise."""
        x = self._shaped(image)
        if self.mean:
            x = _normalized(x, self.mean, self.std)
        return x if self.layout is None else self.layout.to_model(x)

    def _shaped(self, image: Any) -> torch.Tensor:
        as_it_is = isinstance(image, Image.Image) or (self.transform is not None and self.layout is None)
        x: Any = image if as_it_is else self._floats(image)
        if self.transform is not None:
            return self.transform(x)
        if self.resize or self.crop or self.grayscale:
            x = _resized(x, self.resize, self.crop, self.grayscale)
        return _from_picture(x, self.range or UNIT) if isinstance(x, Image.Image) else x

    def _floats(self, image: Any) -> torch.Tensor:
        """An array in float32, channels first, bytes in their range."""
        x = torch.as_tensor(inputs.array(image)) if self.layout is None else self.layout.to_torch(image)
        return _scaled(x, self.range) if x.dtype == torch.uint8 and self.range else x.to(torch.float32)


def checked(
    *,
    layout: str,
    range: Sequence[float],
    resize: int | Sequence[int],
    crop: int | Sequence[int],
    grayscale: bool,
    mean: Sequence[float],
    std: Sequence[float],
    transform: Transform | None,
) -> Preparation:
    """The preparation that is asked for, or OutOfRange for what cannot be asked for together."""
    sizes = _size("resize", resize), _size("crop", crop)
    if transform is not None and (mean or std or any(sizes) or grayscale or range):
        raise OutOfRange("transform: given beside mean, std, resize, crop, grayscale or range; give either")
    if len(mean) != len(std):
        raise OutOfRange(
            f"mean and std: {len(mean)} and {len(std)} values given; give both, one value a channel"
        )
    if any(s <= 0 for s in std):
        raise OutOfRange(f"std: {tuple(std)} given; every value must be above 0")
    if range and (len(range) != 2 or range[0] >= range[1]):
        raise OutOfRange(
            f"range: {tuple(range)} given; give what byte 0 and byte 255 become, such as 0,1 or 0,255"
        )
    bounds = (range[0], range[1]) if range else None
    return Preparation(
        layouts.parse(layout) if layout else None,
        bounds,
        *sizes,
        grayscale,
        tuple(mean),
        tuple(std),
        transform,
    )


def _size(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """One side, or height and width; nothing for 0."""
    sizes = () if value == 0 else (value,) if isinstance(value, int) else tuple(value)
    if len(sizes) > 2 or any(not 1 <= n <= LONGEST for n in sizes):
        one = "the shorter side" if name == "resize" else "the side of a square"
        raise OutOfRange(
            f"{name}: {','.join(map(str, sizes))} given; give {one}, or height and width, in pixels, "
            f"each 1 to {LONGEST:,}"
        )
    return sizes


def _scaled(x: torch.Tensor, range: tuple[float, float]) -> torch.Tensor:
    """Bytes in `range`: exactly x / 255 in (0, 1), and x in (0, 255)."""
    low, high = range
    return x.to(torch.float32) / (BYTE / (high - low)) + low


def _from_picture(picture: Image.Image, range: tuple[float, float]) -> torch.Tensor:
    """(C, H, W) float32; a picture of more than 8 bits as it is."""
    from torchvision.transforms import functional

    if picture.mode in ("L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "HSV"):
        return _scaled(functional.pil_to_tensor(picture), range)
    return functional.to_tensor(picture)


def _resized(image: Any, resize: tuple[int, ...], crop: tuple[int, ...], grayscale: bool) -> Any:
    from torchvision import transforms

    if resize:
        image = transforms.Resize(resize[0] if len(resize) == 1 else resize, antialias=True)(image)
    if crop:
        image = transforms.CenterCrop(crop[0] if len(crop) == 1 else crop)(image)
    return transforms.Grayscale()(image) if grayscale else image


def _normalized(image: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """(x - mean) / std of an image (C, H, W) or a sequence (C, L), channel by channel."""
    if image.ndim not in (2, 3) or len(mean) not in (1, len(image)):
        raise ValueError(f"mean and std have {len(mean)} values, the image has shape {tuple(image.shape)}")
    means, stds = (
        torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * (image.ndim - 1))
        for values in (mean, std)
    )
    return (image - means) / stds
