"""All frames of a watched stream in a few numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from dnisnm_lava.evaluation import tallies
from dnisnm_lava.measures import Counts, Measure, Score
from dnisnm_lava.studies.streams.bills import Energy
from dnisnm_lava.studies.streams.dials import Dials
from dnisnm_lava.studies.streams.rows import Row


@dataclass(frozen=True)
class Summary:
    """`frames` frames, the first of which is number `first`. Of one frame on average: spikes, operations and
    energy, by who: "stream", "alone" (the frame-wise integers), "ann", "skipping" (the quantized ANN without
    its zeros); operations of "ann" are its multiplications. agreement: {"alone", "ann"} scores of the
    stream's answers, None where the reference's values do not vary; the interval takes frames for
    independent, which those of a clip are not. disagreeing: {"alone", "ann"} frames with another answer.
    saturations, clipped: in all. inexact: frames behind a saturation, the first of which is first_inexact.
    fresh: frames with which the stream began anew; settled: its operations in a frame that is none of them,
    None where there is none. seconds: of a frame, by who, the median, since the first frames wait for
    compilers."""

    frames: int
    first: int
    dials: Dials
    measure: Measure | None
    agreement: Mapping[str, Score | None]
    spikes: Mapping[str, float]
    operations: Mapping[str, float]
    energy: Mapping[str, Energy]
    saturations: int
    clipped: int
    inexact: int
    first_inexact: int | None
    fresh: int
    settled: float | None
    disagreeing: Mapping[str, int]
    seconds: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Frames a second of the stream alone: without reading, preparing and references."""
        return 1 / max(self.seconds["stream"], 1e-9)

    def ratio(self, of: str) -> float | None:
        """The stream's operations by those of `of`; None where they were not counted."""
        return self.operations["stream"] / self.operations[of] if self.operations.get(of) else None


def summary(rows: Sequence[Row], told: Dials, measure: Measure | None, multiplications: int) -> Summary:
    """multiplications: of the ANN, a frame."""
    said = {key for row in rows for key in row.counts}
    inexact = [row.frame for row in rows if not row.exact]
    return Summary(
        len(rows),
        rows[0].frame,
        told,
        measure,
        {key: _score(measure, rows, key) for key in sorted(said) if measure is not None},
        _means(rows, lambda row: row.spikes),
        {**_means(rows, lambda row: row.operations), "ann": float(multiplications)},
        _energies(rows),
        sum(row.saturations for row in rows),
        sum(row.clipped for row in rows),
        len(inexact),
        inexact[0] if inexact else None,
        sum(row.fresh for row in rows),
        _settled(rows),
        {
            key: sum(row.agreement[key] < 1 for row in rows)
            for key in sorted(said)
            if measure is not None and measure.is_share
        },
        {key: median(row.seconds[key] for row in rows) for key in rows[0].seconds},
    )


def _score(measure: Measure | None, rows: Sequence[Row], key: str) -> Score | None:
    assert measure is not None
    counts: Counts = tallies.total(dict(row.counts[key]) for row in rows)
    spread: Counts = tallies.total(dict(row.spread[key]) for row in rows)
    return measure.score(counts, spread, len(rows)) if measure.varies(spread) else None


def _settled(rows: Sequence[Row]) -> float | None:
    found = [row.operations["stream"] for row in rows if not row.fresh]
    return sum(found) / len(found) if found else None


def _means(rows: Sequence[Row], of: Callable[[Row], Mapping[str, float]]) -> dict[str, float]:
    return {key: sum(of(row)[key] for row in rows) / len(rows) for key in of(rows[0])}


def _energies(rows: Sequence[Row]) -> dict[str, Energy]:
    return {key: _mean([row.energy[key] for row in rows]) for key in rows[0].energy}


def _mean(of: Sequence[Energy]) -> Energy:
    """A view that says nothing of one says nothing of any."""
    arithmetic = sum(e.arithmetic for e in of) / len(of)
    paper, chip = ([v for e in of if (v := getattr(e, name)) is not None] for name in ("paper", "chip"))
    return Energy(sum(paper) / len(of) if paper else None, arithmetic, sum(chip) / len(of) if chip else None)
