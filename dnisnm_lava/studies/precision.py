"""What integers cost: accuracy over the bits of weights, payloads and state; and which population breaks
first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from dnisnm_lava.backends import batched
from dnisnm_lava.data.inputs import Device, Images, Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation.session import SESSION, Session
from dnisnm_lava.evaluation.tallies import said
from dnisnm_lava.evaluation.trials import Journal
from dnisnm_lava.ir import SNM, ReadOut, SpikingGraph, checked_pairs
from dnisnm_lava.ir.fixedpoint import STATE_BITS
from dnisnm_lava.ir.integers import Bits
from dnisnm_lava.measures import AUTO, Asked, Measure, asked
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.stages.quantization import Readings, quantize
from dnisnm_lava.system.progress import tell

KINDS = ("weights", "payloads", "state")
WEIGHTS, PAYLOADS, STATE = range(2, 9), range(1, 9), range(16, STATE_BITS + 1)
TOLERANCE = 2.0  # points of agreement that a population may cost alone


@dataclass(frozen=True)
class Outcome:
    """What one integer network says of all images. accuracy: share of labels met; agreement: share of the
    float network's answers; of masks, the mean IoU of either; of values, R2 against targets and against the
    float network's; accuracy None
    without labels, both None where these bits do not hold the network, as `refused` tells. saturations: of
    the state, all together."""

    accuracy: float | None
    agreement: float | None
    saturations: int = 0
    refused: str = ""


@dataclass(frozen=True)
class Cell:
    """One choice of bits for the whole network."""

    weights: int
    payloads: int
    state: int
    outcome: Outcome

    @property
    def bits(self) -> tuple[int, int, int]:
        return self.weights, self.payloads, self.state


@dataclass(frozen=True)
class Alone:
    """`population` with so many bits of one of KINDS, all else with the most."""

    population: str
    kind: str
    bits: int
    outcome: Outcome
    loss: float  # points of agreement below the finest network's


@dataclass(frozen=True)
class Precision:
    """measure: what was measured. spiking: accuracy of the float network, None without labels. grid: all
    combinations, the finest the last. alone: each population's own."""

    spiking: float | None
    grid: tuple[Cell, ...]
    alone: tuple[Alone, ...]
    tolerance: float
    images: int
    measure: Measure

    @property
    def finest(self) -> Cell:
        return self.grid[-1]

    def first(self, kind: str) -> Alone | None:
        """The population that breaks at the most bits (of several, that which loses most): alone, it costs
        more than the tolerance at so many bits, and at all fewer. None if none does."""
        rows = [a for a in self.alone if a.kind == kind]
        broken = [
            a
            for a in rows
            if all(self._is_broken(b) for b in rows if b.population == a.population and b.bits <= a.bits)
        ]
        return max(broken, key=lambda a: (a.bits, a.loss), default=None)

    def _is_broken(self, row: Alone) -> bool:
        return row.loss > self.tolerance + 1e-9  # shares of a number of images, which floats hold to 1e-15


@dataclass(frozen=True)
class Tried:
    """Bits to try: of weights, of payloads, of the state."""

    weights: Iterable[int] = WEIGHTS
    payloads: Iterable[int] = PAYLOADS
    state: Iterable[int] = STATE


TRIED = Tried()


def precision(
    nets: Networks,
    images: Images,
    labels: Labels | None = None,
    *,
    bits: Tried = TRIED,
    tolerance: float = TOLERANCE,
    measure: Asked = AUTO,
    session: Session = SESSION,
    journal: Journal | None = None,
) -> Precision:
    """The float network of `nets` in integers of every choice of bits, on `images` (N, *input shape) with
    `labels` (N, ...) (default: those that come with the images). measure: as in `compare`; of values, R2
    counts for a share, and a point is 0.01 of it.

    First all combinations for the whole network. Then each population alone, its weights, payloads or state
    in turn, with all else at the most bits. Spikes and readings are those of `nets`. A narrower state has
    coarser units, and saturates sooner: the integer network is quantized for it and run with it. tolerance:
    points (%) of agreement with the float network that a population may cost before it counts as broken.
    journal: keeps each network's outcome, and has those of an attempt before.
    """
    spiking, progress = nets.spiking, session.stages("precision")
    spikes = "graded" if nets.recipe is None else nets.recipe.spikes
    tried = (
        tuple(sorted(set(bits.weights))),
        tuple(sorted(set(bits.payloads))),
        tuple(sorted(set(bits.state))),
    )
    if not all(tried):
        raise OutOfRange(
            "precision: no bits given for "
            + ", ".join(kind for kind, bits in zip(KINDS, tried, strict=True) if not bits)
        )
    x, y = checked_pairs(spiking, images, labels)
    found = asked(spiking, y, measure)
    own = said(batched.run(spiking, x, device=session.device), found, spiking.steps)
    right = None if y is None or not found.labels else found.wanted(y)
    kept = Journal() if journal is None else journal
    bench = _Bench(spiking, x, found, right, own, spikes, nets.readings, session.device, kept)
    combinations, singles = list(product(*tried)), list(_singles(spiking, tried))
    count = kept.of = len(combinations) + len(singles)
    grid = []
    for choice in combinations:
        grid.append(Cell(*choice, bench.outcome(*choice)))
        tell(progress, len(grid), count)
    alone: list[Alone] = []
    for name, kind, b in singles:
        alone.append(_alone(bench, grid[-1], name, kind, b))
        tell(progress, len(grid) + len(alone), count)
    return Precision(bench.score(own, right), tuple(grid), tuple(alone), tolerance, len(x), found)


@dataclass(frozen=True)
class _Bench:
    """The float network, what it is measured on, labels if there are some, and its own answers."""

    spiking: SpikingGraph
    images: np.ndarray
    measure: Measure
    labels: np.ndarray | None
    own: np.ndarray
    spikes: str
    readings: Readings | None
    device: Device
    journal: Journal

    def outcome(self, weights: Bits, payloads: Bits, state: Bits) -> Outcome:
        key = json.dumps([weights, payloads, state])
        return Outcome(**self.journal.once(key, lambda: asdict(self._measured(weights, payloads, state))))

    def _measured(self, weights: Bits, payloads: Bits, state: Bits) -> Outcome:
        try:
            integer = quantize(
                self.spiking,
                weight_bits=weights,
                payload_bits=payloads,
                state_bits=state,
                spikes=self.spikes,
                readings=self.readings,
            )
            run = batched.run(integer, self.images, device=self.device)
        except OutOfRange as error:
            return Outcome(None, None, refused=str(error))
        found = said(run, self.measure, self.spiking.steps)
        return Outcome(
            self.score(found, self.labels), self.score(found, self.own), sum(run.saturations.values())
        )

    def score(self, answers: np.ndarray, wanted: np.ndarray | None) -> float | None:
        if wanted is None:
            return None
        return self.measure.score(
            self.measure.count(answers, wanted), self.measure.spread(wanted), len(self.images)
        ).quality


def _alone(bench: _Bench, finest: Cell, name: str, kind: str, bits: int) -> Alone:
    if finest.outcome.agreement is None:
        raise OutOfRange(f"precision: the network does not fit the most bits: {finest.outcome.refused}")
    choice = {k: {p.name: most for p in bench.spiking} for k, most in zip(KINDS, finest.bits, strict=True)}
    choice[kind][name] = bits
    found = bench.outcome(*choice.values())
    return Alone(name, kind, bits, found, 100 * (finest.outcome.agreement - (found.agreement or 0.0)))


def _singles(spiking: SpikingGraph, tried: Sequence[Sequence[int]]) -> Iterator[tuple[str, str, int]]:
    """(population, kind, bits): all but the most bits, which all have together. A read-out sends no
    payloads."""
    for p in spiking:
        for kind, bits in zip(KINDS, tried, strict=True):
            if isinstance(p, SNM) or (isinstance(p, ReadOut) and kind != "payloads"):
                yield from ((p.name, kind, b) for b in bits[:-1])
