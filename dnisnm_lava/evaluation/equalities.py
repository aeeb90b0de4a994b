"""What equals what, in words: a line with a tick for what was compared alike, and what Lava gave beside the
integers."""

from __future__ import annotations

from collections.abc import Sequence

from dnisnm_lava.backends.results import Difference

YES, NO = "✓", "✗"
READ_OUTS = ", read-outs"  # behind the name of an executor: these alone were compared


def told(rows: Sequence[Difference], of: str = "image") -> list[str]:
    """A line for the images whose spikes were all compared, one for those of which the read-outs were, each
    with its images (or what they are: `of`) and steps."""
    return [
        _line([row for row in rows if _whole(row) is whole], whole, of)
        for whole in dict.fromkeys(map(_whole, rows))
    ]


def _line(rows: list[Difference], whole: bool, of: str) -> str:
    """Rows of the same images. A hundred columns or so: a terminal's width."""
    images, steps, compared = rows[0].images, rows[0].steps, sum(row.spikes_compared for row in rows)
    different = sum(row.different for row in rows)
    what = "spikes" if whole else "read-outs"
    said = f"{NO} {different:,} of {compared:,} {what} differ" if different else f"{YES} {what} equal"
    return (
        f"{said}, {images:,} {'' if whole else 'more '}{of}{_s(images)}, {steps:,} step{_s(steps)}: "
        f"{', '.join(_chains(rows))}"
    )


def _whole(row: Difference) -> bool:
    return not row.a.endswith(READ_OUTS)


def _chains(rows: Sequence[Difference]) -> list[str]:
    """a = b = c of a = b and b = c; `integer` is said once."""
    found: list[list[str]] = []
    for row in rows:
        a, b = row.a.removesuffix(READ_OUTS), row.b.removesuffix(READ_OUTS)
        if found and found[-1][-1] == a:
            found[-1].append(b)
        else:
            found.append([a, b])
    return [
        " = ".join([first, *(name.removeprefix("integer ") for name in others)]) for first, *others in found
    ]


def on_lava(rows: Sequence[Difference]) -> tuple[int, int]:
    """(images whose integers were equal on Lava in every value compared, images that Lava ran)."""
    integers = [row for row in rows if row.b.removesuffix(READ_OUTS) == "Lava fixed_pt"]
    images = sum(row.images for row in integers)
    return images - sum(row.unequal_images for row in integers), images


def lava_told(rows: Sequence[Difference]) -> str:
    """`4 of 4 images, every logit equal`: what Lava's few images say, which is no accuracy."""
    equal, images = on_lava(rows)
    return f"{equal:,} of {images:,} image{_s(images)}, every logit equal"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
