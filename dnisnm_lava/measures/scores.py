"""What may be said of answers and values: a share, or a fit, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

Z = 1.959963984540054  # of the normal distribution: 95 % lie within +-Z


@dataclass(frozen=True)
class Share:
    """`correct` answers of `of`, on so many `images`; there is none above 1 or below 0. ious: of masks, by
    class, pixels that are said and wanted by those that are either; None of a class that is neither."""

    correct: int
    of: int
    images: int
    ious: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.correct <= self.of or not 1 <= self.images <= self.of:
            raise ValueError(f"a share of {self.correct} of {self.of} answers on {self.images} images")

    @property
    def value(self) -> float:
        return self.correct / self.of

    @property
    def standard_error(self) -> float:
        return sqrt(self.value * (1 - self.value) / self.images)

    @property
    def quality(self) -> float:
        """The one number that networks are compared by: of masks `miou`, else the share."""
        found = self.miou
        return self.value if found is None else found

    @property
    def miou(self) -> float | None:
        """Mean intersection over union of the classes that are there, over all images' pixels together (mean
        IU of Long, Shelhamer and Darrell, CVPR 2015); None where masks are not measured."""
        found = [iou for iou in self.ious if iou is not None]
        return sum(found) / len(found) if found else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % (`wilson`). It counts images: pixels of one image are no independent trials."""
        return wilson(self.value, self.images)


def wilson(share: float, images: int) -> tuple[float, float]:
    """95 % interval of a share of `images` (Wilson, J. Am. Stat. Assoc. 22:209, 1927)."""
    square = Z * Z / images
    middle = (share + square / 2) / (1 + square)
    half = Z * sqrt(share * (1 - share) / images + square / (4 * images)) / (1 + square)
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


@dataclass(frozen=True)
class Fit:
    """Values against wanted ones. mean_squared: of the errors; deviation: of the images' own mean squares, by
    the root of their number; variance: of the wanted values, each channel around its mean. worst: the image
    that is told worst, by its place, and its own RMSE. largest: the image with the largest error of a single
    value, and that error's size."""

    mean_squared: float
    deviation: float
    variance: float
    images: int
    worst: tuple[int, float] | None = None
    largest: tuple[int, float] | None = None

    @property
    def value(self) -> float:
        """R2."""
        return 1 - self.mean_squared / self.variance

    @property
    def quality(self) -> float:
        """The one number that networks are compared by: R2."""
        return self.value

    @property
    def rmse(self) -> float:
        return sqrt(self.mean_squared)

    @property
    def relative(self) -> float:
        """RMSE by the standard deviation of the wanted values: sqrt(1 - R2)."""
        return sqrt(self.mean_squared / self.variance)

    @property
    def standard_error(self) -> float:
        return self.deviation / self.variance

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, as of a mean of independent images (normal); at most 1."""
        return self.value - Z * self.standard_error, min(1.0, self.value + Z * self.standard_error)


Score = Share | Fit
