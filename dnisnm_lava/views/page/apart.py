"""Where the integer SNN answers otherwise than the ANN, of all images: how often, which classes are confused,
and the images themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dnisnm_lava.evaluation.pairs import FAR, Parting
from dnisnm_lava.studies.overview import Gathered, Thumbnail
from dnisnm_lava.views.page import rasters
from dnisnm_lava.views.page.pieces import At, Column, Table, count

MOST_CLASSES = 12  # of the confusion: those that part most often, at any T
MOST_LETTERS, MOST_OF_NAME = 12, 24  # of a class in the confusion, and below an image


@dataclass(frozen=True)
class Confusion:
    """names: of the classes, rows (the ANN's) and columns (the integer SNN's). cells: a text for each T.
    others: how many classes are left out."""

    names: tuple[str, ...]
    cells: tuple[tuple[At | None, ...], ...]
    others: int


@dataclass(frozen=True)
class Shot:
    """A thumbnail. steps: at which it is shown. answers: the integer SNN's."""

    image: int
    uri: str
    steps: tuple[int, ...]
    ann: str
    label: str
    answer: At


def texts(found: Gathered, t: int) -> Iterator[tuple[str, str]]:
    """What follows T."""
    if t not in found.partings:
        return
    parting = found.partings[t]
    yield "apart.told", _told(found, parting) if found.comparison.measure.is_share else _far(found, parting)
    for share, error in parting.errors.items():
        yield f"apart.error.{share}", f"{error:.4g}"
        yield f"apart.relative.{share}", f"{100 * error / parting.deviation:.2f}"
    classes = _classes(found)
    for a in classes:
        for b in classes:
            if a != b:
                yield f"apart.{a}.{b}", count(parting.confusion[a, b]) if (a, b) in parting.confusion else ""
    for shot in found.thumbnails:
        yield f"said.{shot.image}", _answer(found, shot, t)
    for place, image in enumerate(parting.shown):
        yield f"place.{image}", str(place)


def _told(found: Gathered, parting: Parting) -> str:
    images = f"{count(parting.images)} image{'' if parting.images == 1 else 's'}"
    what = "class" if found.comparison.measure.answers == 1 else "answer"
    if not parting.apart:
        return f"On all {images} the integer SNN says what the ANN says."
    verb = "gets" if parting.apart == 1 else "get"
    said = f"{count(parting.apart)} of {images} {verb} another {what} than the ANN's{_pixels(found, parting)}"
    if not found.losses["integer"]:
        return f"{said}."
    rest = parting.apart - parting.ann_right - parting.integer_right
    right = "right" if what == "class" else "better"
    same = "neither" if what == "class" else "none of the two"
    return (
        f"{said}: the ANN is {right} on {count(parting.ann_right)}, the integer SNN on "
        f"{count(parting.integer_right)}, {same} on {count(rest)}."
    )


def _pixels(found: Gathered, parting: Parting) -> str:
    """How many of all, where an image has many."""
    measure = found.comparison.measure
    if measure.answers == 1:
        return ""
    what = "pixels" if measure.is_mask else "answers"
    return (
        f", in {count(sum(parting.confusion.values()))} of {count(parting.images * measure.answers)} {what}"
    )


def _far(found: Gathered, parting: Parting) -> str:
    """The sentence that tells how many images lie far from the ANN, of values."""
    images = f"{count(parting.images)} image{'' if parting.images == 1 else 's'}"
    limit = f"{100 * FAR:g} % of the standard deviation of the ANN's values, {FAR * parting.deviation:.4g}"
    if not parting.apart:
        return f"On all {images} the integer SNN is as near to the ANN as {limit}."
    verb = "differs" if parting.apart == 1 else "differ"
    said = f"{count(parting.apart)} of {images} {verb} from the ANN by more than {limit}"
    if not found.comparison.measure.labels:
        return f"{said}."
    ann, integer = count(parting.ann_right), count(parting.integer_right)
    return f"{said}: the ANN is nearer to the target on {ann}, the integer SNN on {integer}."


def errors(found: Gathered) -> Table | None:
    """The table of how far images' values lie from the ANN's, in the place of a confusion; else None."""
    some = next(iter(found.partings.values()))
    if not some.errors:
        return None
    rows = tuple(
        (
            NAMED.get(share, f"{share} % of the images"),
            At(f"apart.error.{share}"),
            At(f"apart.relative.{share}"),
        )
        for share in some.errors
    )
    columns = (
        Column("images", False),
        Column("at most"),
        Column("%", help="of the standard deviation of the ANN's values"),
    )
    return Table("errors-table", "RMSE of an image's values to the ANN's, at the chosen T.", columns, rows)


NAMED = {50: "half of the images", 100: "all"}


def confusion(found: Gathered) -> Confusion | None:
    """The confusion of the classes that part at any T; None where none does."""
    classes = _classes(found)
    if not classes:
        return None
    cells = tuple(tuple(None if a == b else At(f"apart.{a}.{b}") for b in classes) for a in classes)
    names = tuple(_short(_name(found, c), MOST_LETTERS) for c in classes)
    return Confusion(names, cells, len(_parted(found)) - len(classes))


def _parted(found: Gathered) -> dict[int, int]:
    """{class: on how many images it parts, over all T}"""
    totals: dict[int, int] = {}
    for parting in found.partings.values():
        for pair, n in parting.confusion.items():
            for c in pair:
                totals[c] = totals.get(c, 0) + n
    return totals


def _classes(found: Gathered) -> list[int]:
    totals = _parted(found)
    return sorted(sorted(totals, key=lambda c: (-totals[c], c))[:MOST_CLASSES])


def shots(found: Gathered) -> list[Shot]:
    return [
        Shot(
            t.image,
            rasters.thumbnail(t.pixels),
            t.steps,
            "" if t.ann is None else _short(_name(found, t.ann), MOST_OF_NAME),
            "" if t.label is None else _short(_name(found, t.label), MOST_OF_NAME),
            At(f"said.{t.image}"),
        )
        for t in found.thumbnails
    ]


def _answer(found: Gathered, shot: Thumbnail, t: int) -> str:
    if t in shot.said:
        return _short(_name(found, shot.said[t]), MOST_OF_NAME)
    measure = found.comparison.measure
    if not measure.is_share:
        return f"RMSE {shot.apart[t]:.3g}"
    what = "pixel" if measure.is_mask else "answer"
    return f"{count(shot.apart[t])} {what}{'' if shot.apart[t] == 1 else 's'} apart"


def _name(found: Gathered, told: float) -> str:
    """The name of a class; of several binary answers the label with its answer; a value as it is."""
    measure = found.comparison.measure
    if not measure.is_share:
        return f"{told:.4g}"
    code = int(told)
    if measure.kind == "binary" and measure.answers > 1:
        return f"{_of(found.classes, code // 2)}: {('no', 'yes')[code % 2]}"
    return _of(found.classes, code)


def _of(names: tuple[str, ...], i: int) -> str:
    return names[i] if i < len(names) else str(i)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def counts(partings: Mapping[int, Parting]) -> dict[str, dict[str, object]]:
    """For JSON: by T."""
    return {
        str(t): {
            "images": p.images,
            "apart": p.apart,
            "ann_right": p.ann_right,
            "integer_right": p.integer_right,
            "confusion": [{"ann": a, "integer": b, "count": n} for (a, b), n in p.confusion.items()],
            "shown": list(p.shown),
            **({"errors": {str(share): e for share, e in p.errors.items()}} if p.errors else {}),
        }
        for t, p in partings.items()
    }
