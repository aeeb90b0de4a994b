"""Linear expressions into populations and projections: what becomes a population, and when.

A rectifier, a max-pool and a read-out are populations. A linear tensor is composed into its readers where
that costs no more than twice the multiplications, and becomes a two-sided population, a relay, where it
would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from dnisnm_lava.frontend import expression as ex
from dnisnm_lava.frontend.composition import after, composed_cost, matrix_after, pooled
from dnisnm_lava.frontend.expression import Blocked, Expression, Refusal, Term, compact
from dnisnm_lava.frontend.layout import Layout
from dnisnm_lava.frontend.projections import as_matrix, ordered, projection
from dnisnm_lava.frontend.tensors import as_map_shape, multiplied, no_bias, view
from dnisnm_lava.ir import (
    Activation,
    AnalogGraph,
    BatchNorm,
    Curve,
    Input,
    MaxPool,
    Population,
    Product,
    Projection,
    ReadOut,
    Rectifier,
    Relay,
    Shape,
    Smooth,
    sources,
)
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.channels import per_channel

COMPOSE_LIMIT = 2  # times the multiplications of the linear maps one by one


class Builder:
    """The graph under construction. `became` tells, for each operation, which populations hold it.

    labels: {population: (*its shape) the element of it, as it would be by itself, that each neuron is}:
    neurons are labelled anew where readers see them in another order, so that no synapse is spent on that.
    wishes: labels that readers would want. outputs: names that the model gives its outputs, which no other
    population gets.
    """

    def __init__(
        self, input_shape: Shape, labels: Mapping[str, np.ndarray], outputs: Iterable[str] = ()
    ) -> None:
        self.labels, self.wishes = labels, dict(labels)
        self.plain: set[str] = set()  # populations that are read as the maps that they are
        self.populations: list[Population] = [_input("input", input_shape, labels.get("input"))]
        self.kept = {name for name in outputs if name} - {"input"}  # until the read-out of that name is made
        self.names = {"input"} | self.kept
        self.nonnegative: set[str] = set()
        self.ceilings: dict[str, float] = {}  # of rectifiers, and of the pools behind them
        self.became: dict[str, list[str]] = {}
        self.pools: dict[tuple[str, Window], str] = {}

    def graph(self) -> AnalogGraph:
        """Populations that lead to a read-out, the read-outs last."""
        outputs = [p for p in self.populations if isinstance(p, ReadOut)]
        needed = {self.populations[0].name, *(p.name for p in outputs)}
        for p in reversed(self.populations):
            if p.name in needed:
                needed.update(sources(p))
        return AnalogGraph(
            (*(p for p in self.populations if p.name in needed and p not in outputs), *outputs)
        )

    @property
    def image(self) -> Expression:
        """The image as users give it, in the shape of a map or a vector."""
        image = self.populations[0]
        assert isinstance(image, Input)
        return _labelled(Expression.of(image.name, image.shape), self.labels.get("input"), image.image_shape)

    def unique(self, name: str) -> str:
        name = next(
            n for n in (name, *(f"{name}.{i}" for i in range(2, len(self.names) + 3))) if n not in self.names
        )
        self.names.add(name)
        return name

    # ------------------------------------------------------------ populations

    def rectify(self, e: Expression, node: str, ceiling: float = np.inf) -> Expression:
        """relu(e), at most `ceiling`; `e` itself where that changes nothing."""
        if self.is_nonnegative(e) and (ceiling == np.inf or self._is_below(e, ceiling)):
            return e
        if not e.terms:
            return replace(e, bias=np.clip(e.bias, 0, ceiling))
        made = self._populate(e, e.label or node, partial(Rectifier, ceiling=ceiling), nonnegative=True)
        self.ceilings.update({term.source: ceiling for term in made.terms})
        return made

    def activate(self, e: Expression, node: str, function: Curve | Smooth) -> Expression:
        """function(e), element by element; of a curve with a row for each channel, channels stay what they
        are."""
        if not e.terms:
            return replace(e, bias=function.at(np.broadcast_to(e.bias, e.shape)[None])[0])
        of_channels = isinstance(function, Curve) and function.rows > 1
        never_negative = isinstance(function, Curve) and not function.is_signed
        made = partial(Activation, function=function)
        return self._populate(
            e, e.label or node, made, never_negative, strip=not of_channels, keep_channels=of_channels
        )

    def multiply(self, a: Expression, b: Expression, node: str) -> Expression:
        """a times b, of a's shape, b of that or of size 1 along some axes, neither with a bias: a population
        of the two populations that they are made to be."""
        left, by_left, shape = self._factor(a)
        right, by_right, _ = (left, by_left, shape) if b is a else self._factor(b)
        name = self.unique(node)
        self.populations.append(Product(name, shape, left, right))
        for made_of in a.nodes | b.nodes:
            self.became.setdefault(made_of, []).append(name)
        if {left, right} <= self.nonnegative:
            self.nonnegative.add(name)
        return multiplied(view(Expression.of(name, shape), a.shape), np.array(by_left * by_right))

    def _factor(self, e: Expression) -> tuple[str, float, Shape]:
        """A population in e's own order, of e's shape as a map, the number that e is of it, and its shape: a
        relay where e is none."""
        scale = e.terms[0].scale
        by = float(scale[0]) if len(e.terms) == 1 and (scale == scale[0]).all() else 0.0
        whole = multiplied(e, np.array(1 / by)) if by else e
        if whole.population is not None and whole.terms[0].layout.is_identity:
            return whole.population, by, whole.terms[0].shape
        relayed = self._populate(e, f"{e.label}.relay", Relay, strip=False, keep_channels=True)
        return relayed.terms[0].source, 1.0, relayed.terms[0].shape

    def relay(self, e: Expression, strip: bool = False) -> Expression:
        """e as a two-sided population of its own shape, or (strip) of the shape of what it views; `e` itself
        where it is one already."""
        if not e.terms or (e.population is not None and (strip or e.terms[0].layout.is_identity)):
            return e
        return self._populate(e, f"{e.label}.relay", Relay, strip=strip)

    def read_out(self, e: Expression, function: str = "", axis: int = 0, named: str = "") -> None:
        """An output, under the name that the model gives it, if it does."""
        if not e.terms:
            raise Refusal("an output does not depend on the input; return tensors computed from it")
        name = named or (e.label if e.population is None else "readout")
        if name in self.kept and named:
            self.kept.discard(name)
            self.names.discard(name)
        strip = all(t.layout.in_order for t in e.terms)

        def made(name: str, shape: Shape, projections: tuple[Projection, ...], bias: np.ndarray) -> ReadOut:
            return ReadOut(
                name,
                shape,
                projections,
                bias=bias,
                view=() if shape == e.shape else e.shape,
                function=function,
                axis=axis,
            )

        self._populate(e, name, made, strip=strip, one_unit=True)

    def _populate(
        self,
        e: Expression,
        name: str,
        kind: Callable[..., Population],
        nonnegative: bool = False,
        strip: bool = True,
        one_unit: bool = False,
        keep_channels: bool = False,
    ) -> Expression:
        shape, terms, bias, layout = _arranged(e, strip)
        told = e.normed
        moments = (
            ()
            if told is None
            else tuple(_arranged(replace(e, bias=a), strip)[2] for a in (told.mean, told.variance))
        )
        name, own = self.unique(name), shape
        label = self.labels.get(name)
        if (
            label is not None
            and not keep_channels
            and label.size == bias.size
            and all(_can_be(_taken(t, own, label), label.shape) for t in terms)
        ):
            terms, bias, shape = (
                tuple(_taken(t, own, label) for t in terms),
                bias.reshape(-1)[label],
                label.shape,
            )
            moments = tuple(a.reshape(-1)[label] for a in moments)
        else:
            label = None
        pieces = [self._pieces(term, shape, one_unit) for term in terms]
        projections = tuple(projection(piece, shape[0]) for of_term in pieces for piece in of_term)
        p = kind(name, shape, projections, _bias(bias))
        if told is not None and isinstance(p, Rectifier | Relay | Activation):
            covered = [covers for covers, of_term in zip(told.covered, pieces, strict=True) for _ in of_term]
            p = replace(
                p, batch_norm=BatchNorm(tuple(int(i) for i in np.flatnonzero(covered)), *map(_bias, moments))
            )
        self.populations.append(p)
        for node in e.nodes:
            self.became.setdefault(node, []).append(p.name)
        if nonnegative:
            self.nonnegative.add(p.name)
        whole = _labelled(Expression.of(p.name, shape), label, own)
        if layout is not None:
            shown = Layout.of(shape, whole.terms[0].layout.flat().reshape(-1)[layout.flat()])
            whole = replace(
                whole, terms=(replace(whole.terms[0], layout=shown),), shape=e.shape, bias=no_bias(e.shape)
            )
        return replace(view(whole, e.shape), merged=e.merged)

    def _canonical(self, e: Expression) -> list[Term]:
        """The terms of e in the form of maps. Blocked where a layout does not fall into channels, rows and
        columns: if it is that of one population, another label of its neurons is wished for."""
        try:
            return [piece for t in e.terms for piece in self._blocks(t, e.shape)]
        except Blocked:
            self._wish(e)
            raise

    def _blocks(self, term: Term, shape: Shape) -> list[Term]:
        found = ex.canonical(term, shape)
        if term.linear is None and len(found) == 1:
            self.plain.add(term.source)
        return found

    def _wish(self, e: Expression) -> None:
        """Another label of the neurons that e shows in another order, where they are those of one
        population."""
        (term, *others) = e.terms
        bare = (
            term.linear is None and term.rows is None and term.cols is None and term.reads_all and not others
        )
        if not bare or len(e.shape) != 3:
            return
        if term.layout.is_permutation:
            self.wishes.setdefault(term.source, term.layout.flat().reshape(e.shape))
        elif term.layout.shape == e.shape and term.layout.orders:  # axes turned, and padded or cut
            whole = np.arange(int(np.prod(term.natural))).reshape(term.natural)
            self.wishes.setdefault(term.source, whole.transpose(np.argsort(term.layout.orders[0])))

    @property
    def next_labels(self) -> dict[str, np.ndarray]:
        """Those of now, and what is wished for of populations that nobody reads as they are."""
        return {
            name: label
            for name, label in self.wishes.items()
            if name in self.labels or name not in self.plain
        }

    def _pieces(self, term: Term, shape: Shape, one_unit: bool = False) -> list[Term]:
        """The term in the form of projections into a population of `shape`; one_unit: do all of its channels
        count in one unit?"""
        try:
            return self._blocks(term, shape)
        except Blocked:
            placed = ordered(term, shape, one_unit)
            if placed is not None:
                return [placed]
            if term.linear is not None and term.linear.is_conv:
                inner = Expression(
                    (replace(term, layout=Layout.identity(term.natural), gain=None),),
                    no_bias(term.natural),
                    term.natural,
                )
                relayed = self.relay(replace(inner, label=term.source)).terms[0]
                return self._pieces(replace(relayed, layout=term.layout, gain=term.gain), shape, one_unit)
        return [as_matrix(term, shape)]

    def max_pool(self, e: Expression, window: Window) -> Expression:
        """The windows' maxima: a population behind each population whose channels e shows, else behind a
        relay."""
        shown = self._shown(e)
        if shown is None:
            e = self.relay(e)
            shown = self._canonical(e)
        terms = []
        for term in shown:
            _, *size = term.shape
            name = self._pool_of(term.source, term.shape, window)
            shape = (term.shape[0], *window.output_size((size[0], size[1])))
            terms.append(
                replace(
                    term,
                    source=name,
                    shape=shape,
                    layout=Layout.identity((len(term.channels), *shape[1:])).with_channels(
                        term.layout.axes[0]  # type: ignore[index]
                    ),
                )
            )
            for node in e.nodes:
                self.became.setdefault(node, []).append(name)
        shape = (e.shape[0], *window.output_size((e.shape[1], e.shape[2])))
        return Expression(tuple(terms), e.bias, shape, e.label)

    def _pool_of(self, source: str, shape: Shape, window: Window) -> str:
        if (source, window) not in self.pools:
            name = self.unique(f"{source}.pool")
            self.populations.append(
                MaxPool(name, (shape[0], *window.output_size((shape[1], shape[2]))), source, window)
            )
            self.pools[source, window] = name
            if source in self.nonnegative:
                self.nonnegative.add(name)
            if source in self.ceilings:
                self.ceilings[name] = self.ceilings[source]
        return self.pools[source, window]

    def _shown(self, e: Expression) -> list[Term] | None:
        """The canonical terms of e, if each channel shows one channel of a population, scaled up and shifted
        alike at all pixels."""
        if any(n != 1 for n in e.bias.shape[1:]):
            return None
        try:
            pieces = self._canonical(e)
        except Blocked:
            return None
        filled = np.sum([piece.layout.axes[0] >= 0 for piece in pieces], axis=0)  # type: ignore[index]
        return pieces if all(piece.is_plain for piece in pieces) and bool((filled == 1).all()) else None

    def is_nonnegative(self, e: Expression) -> bool:
        """Sums of what never is negative, with no negative factor."""
        return bool((e.bias >= 0).all()) and all(
            t.source in self.nonnegative
            and t.linear is None
            and (t.scale >= 0).all()
            and all(a is None or bool((a >= 0).all()) for a in (t.rows, t.cols, t.gain))
            for t in e.terms
        )

    def _is_below(self, e: Expression, ceiling: float) -> bool:
        """Is e what one population sends, unscaled, that never sends more?"""
        return not e.bias.any() and all(
            len(e.terms) == 1
            and t.linear is None
            and (t.scale == 1).all()
            and all(a is None for a in (t.rows, t.cols, t.gain))
            and self.ceilings.get(t.source, np.inf) <= ceiling
            for t in e.terms
        )

    # ------------------------------------------------------------ linear layers

    def conv(self, e: Expression, linear: Projection, bias: np.ndarray | None, label: str) -> Expression:
        """A convolution of e (C, H, W)."""
        if e.shape[0] != linear.weight.shape[1] * linear.groups:
            raise Refusal(f"it takes {linear.weight.shape[1] * linear.groups} channels and gets {e.shape[0]}")
        shape = linear.output_shape(e.shape)
        e, pieces = self._composable(e, linear)
        terms = tuple(_conv_piece(piece, linear, shape) for piece in pieces)
        mapped = compact(replace(linear)(e.full_bias()[None])[0]) if e.bias.any() else no_bias(shape)
        mapped = mapped if bias is None else mapped + per_channel(bias, shape)
        return Expression(terms, mapped, shape, label, e.nodes)

    def matrix(self, e: Expression, weight: np.ndarray, bias: np.ndarray | None, label: str) -> Expression:
        """weight (O, features) times e (features,)."""
        if e.shape != weight.shape[1:]:
            raise Refusal(f"it takes {weight.shape[1]} features and gets {e.shape}")
        outputs = len(weight)
        if e.is_composite or len(e.terms) > 1:
            composed = sum(
                outputs * int(np.prod(t.read)) * (t.layout.share if t.linear is None else 1) for t in e.terms
            )
            if composed > COMPOSE_LIMIT * (relay_cost(e) + weight.size):
                e = self.relay(e)
        terms = []
        for term in e.terms:
            bare, w = matrix_after(term, weight)
            terms.append(replace(bare, linear=Projection("", w), layout=Layout.identity((outputs,))))
        mapped = weight @ e.full_bias() if e.bias.any() else np.zeros(outputs)
        return Expression(tuple(terms), mapped if bias is None else mapped + bias, (outputs,), label, e.nodes)

    def resample(self, e: Expression, rows: np.ndarray | None, cols: np.ndarray | None) -> Expression:
        """rows @ e @ cols.T for e (C, H, W)."""
        size = (e.shape[1] if rows is None else len(rows), e.shape[2] if cols is None else len(cols))
        shape = (e.shape[0], *size)
        try:
            pieces = [pooled(piece, rows, cols) for piece in self._canonical(e)]
            if sum(p.cost for p in pieces) > COMPOSE_LIMIT * (relay_cost(e) + int(np.prod(e.shape))):
                self._wish(e)
                raise Blocked
        except Blocked:
            e = self.relay(e)
            pieces = [pooled(piece, rows, cols) for piece in self._canonical(e)]
        terms = tuple(
            replace(p, layout=Layout.identity((p.natural[0], *size)).with_channels(p.layout.axes[0]))  # type: ignore[index]
            for p in pieces
        )
        bias = no_bias(shape)
        if e.bias.any():
            whole = e.full_bias()
            whole = whole if rows is None else np.matmul(rows, whole)
            bias = compact(whole if cols is None else np.matmul(whole, cols.T))
        return replace(e, terms=terms, bias=bias, shape=shape)

    def _composable(self, e: Expression, linear: Projection) -> tuple[Expression, list[Term]]:
        """e and its canonical terms, or those of its relay where composing is impossible or costs too
        much."""
        try:
            pieces = self._canonical(e)
            composed = sum(_conv_cost(piece, linear, e.shape[0]) for piece in pieces)
            if (e.is_composite or len(pieces) > 1) and composed > COMPOSE_LIMIT * (
                relay_cost(e) + linear.macs(e.shape)
            ):
                self._wish(e)
                raise Blocked
        except Blocked:
            e = self.relay(e)
            pieces = self._canonical(e)
        return e, pieces


def _input(name: str, shape: Shape, label: np.ndarray | None) -> Input:
    if label is None:
        return Input(name, shape)
    order = label.reshape(-1).astype(np.int32)
    return Input(
        name, label.shape, view=shape, order=None if bool((order == np.arange(order.size)).all()) else order
    )


def _labelled(whole: Expression, label: np.ndarray | None, own: Shape) -> Expression:
    """A population whose neurons are labelled anew, in the shape and order that it would have by itself."""
    if label is None:
        return view(whole, own)
    place = np.empty(label.size, np.int64)
    place[label.reshape(-1)] = np.arange(label.size)
    term = replace(whole.terms[0], layout=Layout.of(whole.shape, place.reshape(own)))
    return replace(whole, terms=(term,), shape=own, bias=no_bias(own))


def _can_be(term: Term, shape: Shape) -> bool:
    """Can a population of `shape` take the term with as many weights as it has?"""
    dense = term.linear is not None and not term.linear.is_conv
    return dense or ordered(term, shape, one_unit=False) is not None


def _taken(term: Term, shape: Shape, label: np.ndarray) -> Term:
    """A term of an expression of `shape`, its elements in the order of `label`."""
    gain = None if term.gain is None else np.broadcast_to(term.gain, shape).reshape(-1)[label]
    return replace(
        term, layout=Layout.of(term.layout.natural, term.layout.flat().reshape(-1)[label]), gain=gain
    )


def relay_cost(e: Expression) -> int:
    """Multiplications that making e a population takes."""
    size = int(np.prod(e.shape))
    return sum(t.cost if t.linear is not None else int(size * t.layout.share) for t in e.terms)


def _conv_cost(piece: Term, linear: Projection, channels: int) -> float:
    share = len(piece.channels) / channels if piece.linear is None else 1.0
    if piece.linear is None:
        return linear.macs((channels, *piece.natural[1:])) * share
    return composed_cost(piece.linear, linear, piece.read)


def _conv_piece(piece: Term, linear: Projection, shape: Shape) -> Term:
    """The convolution of those channels of its input that a canonical piece fills."""
    assert piece.layout.axes is not None
    filled = np.flatnonzero(piece.layout.axes[0] >= 0)
    inputs, outputs = linear.weight.shape[1], linear.weight.shape[0] // linear.groups
    if len(filled) == inputs * linear.groups:
        return _placed(after(piece, linear), np.arange(shape[0]))
    if linear.groups == 1:
        weight = ex.owned(np.ascontiguousarray(linear.weight[:, filled]))
        return _placed(after(piece, replace(linear, weight=weight)), np.arange(shape[0]))
    groups, counts = np.unique(filled // inputs, return_counts=True)
    if len(set(counts)) > 1:
        whole = replace(linear, weight=ex.ungrouped(linear)[:, filled], groups=1)
        return _placed(after(piece, whole), np.arange(shape[0]))
    rows = (groups[:, None] * outputs + np.arange(outputs)).reshape(-1)
    columns = (filled % inputs).reshape(len(groups), counts[0])
    weight = linear.weight[rows][np.arange(len(rows))[:, None], np.repeat(columns, outputs, axis=0)]
    place = np.full(shape[0], -1)
    place[rows] = np.arange(len(rows))
    return _placed(after(piece, replace(linear, weight=weight, groups=len(groups))), place)


def _placed(term: Term, channels: np.ndarray) -> Term:
    return replace(term, layout=Layout.identity(term.natural).with_channels(channels))


def _bias(full: np.ndarray) -> np.ndarray:
    """(C, 1, 1) where a map is constant over its pixels, else full."""
    if full.ndim == 3 and bool((full == full[:, :1, :1]).all()):
        return np.array(full[:, :1, :1])
    return np.array(full)


def _arranged(e: Expression, strip: bool) -> tuple[Shape, tuple[Term, ...], np.ndarray, Layout | None]:
    """Shape, terms and bias of the population that e becomes, and the layout in which e shows it, where it is
    stripped of one."""
    shape, terms, bias, layout = _stripped(e) if strip else (e.shape, e.terms, e.full_bias(), None)
    if layout is None and len(shape) not in (1, 3):
        shape = as_map_shape(shape)
        bias = bias.reshape(shape)
    return shape, terms, bias, layout


def _stripped(e: Expression) -> tuple[Shape, tuple[Term, ...], np.ndarray, Layout | None]:
    """The natural array that all terms show in one and the same order, if it holds each element once."""
    first = e.terms[0].layout
    if all(t.layout.is_identity for t in e.terms) or any(
        t.gain is not None or not t.layout.same(first) for t in e.terms
    ):
        return e.shape, e.terms, e.full_bias(), None
    if not first.is_permutation:
        return e.shape, e.terms, e.full_bias(), None
    bias = np.zeros(int(np.prod(first.natural)))
    bias[first.flat().reshape(-1)] = e.full_bias().reshape(-1)
    terms = tuple(replace(t, layout=Layout.identity(t.natural)) for t in e.terms)
    return first.natural, terms, bias.reshape(first.natural), first
