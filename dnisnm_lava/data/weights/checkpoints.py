"""Which dict of a checkpoint holds the weights of a model, under which prefix of its names; and what is in
the way where none does.

The model decides: a dict fits where it has a tensor of the right shape for each of the model's. Wrappers that
torch puts between names (torch.compile, DataParallel, FSDP, averaged models) are seen through; what is taken
is told where it is not the whole content.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dnisnm_lava.data.weights import parts as stored
from dnisnm_lava.data.weights.reading import QUANTIZED, SAVE_ANEW
from dnisnm_lava.errors import BadFile

WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
OF_TRAINING = re.compile(
    r"fake_quant|activation_post_process|_observer|num_batches_tracked$|^n_averaged$|total_(?:ops|params)$"
)
PACKED = ("_packed_params", "_packed_params.dtype", "zero_point", "qweight", "qzeros")
DEPTH = 3  # of dicts inside of dicts, or of lists
Keys = tuple[str | int, ...]  # that lead to a dict
Own = Mapping[
    str, tuple[str, torch.Tensor]
]  # a model's tensors: {name without wrappers: (the model's name, tensor)}


@dataclass(frozen=True)
class Candidate:
    """A dict of a checkpoint, read under one prefix. path: keys that lead to it; tensors: by name, without
    wrappers and prefix; found, missing, unexpected, misshapen, unfit (integers, complex numbers): names;
    beside: tensors that have another prefix; left: what only training reads; joined: weights that were stored
    in parts."""

    path: Keys
    prefix: str
    tensors: Mapping[str, torch.Tensor]
    found: Sequence[str]
    missing: Sequence[str]
    unexpected: Sequence[str]
    misshapen: Sequence[str]
    unfit: Sequence[str]
    beside: int
    left: int
    joined: int

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen or self.unfit)

    @property
    def place(self) -> str:
        """`['model'], names that begin with 'net.'`; nothing for the whole content."""
        keys = "".join(f"[{key!r}]" for key in self.path)
        return ", ".join(
            filter(None, (keys, f"names that begin with {self.prefix!r}" if self.prefix else ""))
        )


def fill(model: torch.nn.Module, content: Any, who: Path | str) -> None:
    """Load into `model` the one dict of `content` that fits it. who: whose content it is, for the sentences.

    BadFile where none fits, or several do that differ. A UserWarning tells which was taken, where that is not
    all of `content`.
    """
    own = _own(model)
    candidates = _all(content, own)
    fitting = _different([c for c in candidates if c.fits])
    if not fitting and (inner := _inner(own)):
        own, fitting = inner, _different([c for c in _all(content, inner) if c.fits])
    if not fitting:
        raise BadFile(f"{who}: {_why(model, content, candidates)}")
    if len(fitting) > 1:
        places = "; ".join(c.place or "all of it" for c in fitting[:3])
        raise BadFile(
            f"{who}: {len(fitting)} sets of weights in it fit {type(model).__name__}: {places}; save the "
            f"one that you mean alone"
        )
    taken = fitting[0]
    _tell(who, taken)
    state = {
        own[name][0]: taken.tensors[name].to_dense() for name in taken.found
    }  # of a dense tensor, itself
    model.load_state_dict(state, strict=False)


def names(content: Any) -> list[str]:
    """Names of all tensors in `content`, in whichever dict, without wrappers."""
    return [
        _unwrapped(key)
        for _, state in _dicts(content)
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    ]


def _own(model: torch.nn.Module) -> Own:
    return {_unwrapped(k): (k, v) for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}


def _inner(own: Own) -> Own:
    """The names of the one network that a module holds (DataParallel, or a user's own); nothing for any
    other."""
    first = {name.partition(".")[0] for name in own}
    return {name.partition(".")[2]: value for name, value in own.items()} if len(first) == 1 else {}


def _unwrapped(name: str) -> str:
    return WRAPPERS.sub("", name)


# ---------------------------------------------------------------- what a checkpoint holds


def _all(content: Any, own: Own) -> list[Candidate]:
    return [c for path, state in _dicts(content) for c in _candidates(path, state, own)]


def _dicts(content: Any, path: Keys = ()) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
    """(keys that lead to it, dict), of each dict of names in `content`, and in lists of such."""
    if len(path) > DEPTH:
        return
    if isinstance(content, list | tuple):
        for i, value in enumerate(content):
            yield from _dicts(value, (*path, i))
        return
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return
    yield path, content
    for key, value in content.items():
        yield from _dicts(value, (*path, key))


def _candidates(path: Keys, state: Mapping[str, Any], own: Own) -> Iterator[Candidate]:
    """The dict under each prefix under which it has as many of the model's names as under any."""
    tensors = {_unwrapped(k): v for k, v in state.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        return
    whole, joined = stored.whole(tensors, own)
    votes = Counter(key[:start] for key in whole for start in _starts(key) if key[start:] in own)
    most = max(votes.values(), default=0)
    for prefix in [p for p, count in votes.items() if count == most] or [""]:
        yield _candidate(path, prefix, whole, own, joined)


def _starts(key: str) -> list[int]:
    """Where a name may begin: at 0 and behind each dot."""
    return [0, *(i + 1 for i, letter in enumerate(key) if letter == ".")]


def _candidate(
    path: Keys, prefix: str, whole: Mapping[str, torch.Tensor], own: Own, joined: int
) -> Candidate:
    under = {k.removeprefix(prefix): v for k, v in whole.items() if k.startswith(prefix)}
    found = [k for k in under if k in own]
    others = [k for k in under if k not in own]
    unexpected = [k for k in others if not OF_TRAINING.search(k)]
    return Candidate(
        path,
        prefix,
        under,
        found,
        [k for k in own if k not in under and not k.endswith("num_batches_tracked")],
        unexpected,
        [k for k in found if under[k].shape != own[k][1].shape],
        [k for k in found if _is_unfit(under[k], own[k][1])],
        len(whole) - len(under),
        len(others) - len(unexpected),
        joined,
    )


def _is_unfit(value: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Does `value` need more than another width to be what is wanted?"""
    return (
        value.is_quantized or value.is_meta or (wanted.is_floating_point() and not value.is_floating_point())
    )


def _different(fitting: list[Candidate]) -> list[Candidate]:
    """Without those whose tensors an earlier one has, such as one dict under two keys."""
    kept: list[Candidate] = []
    for candidate in fitting:
        if not any(_are_equal(candidate, other) for other in kept):
            kept.append(candidate)
    return kept


def _are_equal(one: Candidate, other: Candidate) -> bool:
    return all(
        torch.equal(one.tensors[name], other.tensors[name])
        for name in {*one.found, *other.found}
        if name in one.tensors
    )


# ---------------------------------------------------------------- what is told


def _tell(who: Path | str, taken: Candidate) -> None:
    what = [
        f"the weights are taken from {taken.place}" if taken.place else "",
        f"{taken.beside} tensors beside them are left out" if taken.beside and taken.prefix else "",
        f"{taken.joined} weights are made of their parts (a norm and a direction, or a mask)"
        if taken.joined
        else "",
        f"{taken.left} values of observers and fake quantization are left out" if taken.left else "",
    ]
    if any(what):
        warnings.warn(f"{who}: {'; '.join(filter(None, what))}", stacklevel=4)


def _why(model: torch.nn.Module, content: Any, candidates: list[Candidate]) -> str:
    """What is in the way, of the dict that comes nearest."""
    if not candidates and not isinstance(content, Mapping):
        return f"holds a {type(content).__name__}, not a state_dict of tensors; {SAVE_ANEW}"
    packed = next((key for _, state in _dicts(content) for key in state if key.endswith(PACKED)), "")
    if packed:
        return f"holds weights of a quantized network ({packed}); {QUANTIZED}"
    if not candidates:
        seen = ", ".join(map(repr, list(content)[:6])) + (", ..." if len(content) > 6 else "")
        return (
            f"holds a {type(content).__name__}, not a state_dict of tensors: its keys are "
            f"{seen or 'none'}; {SAVE_ANEW}"
        )
    nearest = max(candidates, key=lambda c: len(c.found) - len(c.misshapen))
    parts = stored.unresolved(nearest.tensors)
    if parts:
        return parts
    where = f" ({nearest.place})" if nearest.place else ""
    if nearest.unfit:
        name = nearest.unfit[0]
        if nearest.tensors[name].is_meta:
            return f"{len(nearest.unfit)} weights{where} have no values (meta device); {SAVE_ANEW}"
        kind = str(nearest.tensors[name].dtype).removeprefix("torch.")
        return f"{len(nearest.unfit)} weights{where} are no floats ({name} is {kind}); {QUANTIZED}"
    differences = f"{_some(nearest.missing, 'missing')}, {_some(nearest.unexpected, 'unexpected')}, "
    differences += _some(nearest.misshapen, "of another shape")
    return f"does not fit {type(model).__name__}{where}: {differences}; give the weights of this very model"


def _some(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}" + (
        f" ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})" if names else ""
    )
