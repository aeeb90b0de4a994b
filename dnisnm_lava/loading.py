"""A user's own network: `path/to/file.py:factory` or `package.module:factory`, and its weights."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pickle
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from dnisnm_lava.errors import BadFile

SAVE_ANEW = "save it anew with torch.save(model.state_dict(), ...)"


def load_model(spec: str, weights: str | Path | None = None) -> torch.nn.Module:
    """The module that the factory of `spec` makes, in eval mode, with `weights` in it.

    BadFile where there is no such file, module or factory, or the factory fails or makes something else.
    """
    model = call_factory(spec)
    if not isinstance(model, torch.nn.Module):
        raise BadFile(f"{spec}: makes a {type(model).__name__}, not a torch.nn.Module; name the function or class that builds the network")
    if weights is not None:
        load_weights(model, Path(weights))
    return model.eval()


def call_factory(spec: str) -> Any:
    """What the factory of `spec` returns; `spec` may also name an object that is ready."""
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        raise BadFile(f"{spec}: not understood; write path/to/file.py:factory or package.module:factory")
    with _import_path(place):
        try:
            module = _import(place)
        except Exception as error:
            raise BadFile(f"{spec}: {place} cannot be imported ({_where(error)}); make it import on its own first") from error
        if not hasattr(module, name):
            raise BadFile(f"{spec}: {place} has no {name!r}; name a function, class or object that it defines")
        found = getattr(module, name)
        if isinstance(found, torch.nn.Module) or not callable(found):
            return found
        try:
            return found()
        except Exception as error:
            raise BadFile(f"{spec}: {name}() failed ({_where(error)}); it must work without arguments") from error


def _import(place: str) -> Any:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place)
    if not path.is_file():
        raise FileNotFoundError("no such file")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickle look a module up by its name
    specification.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _import_path(place: str) -> Iterator[None]:
    """The file's folder, or the working folder, in front of sys.path, as `python file.py` has it."""
    folder = str(Path(place).resolve().parent if place.endswith(".py") else Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _where(error: BaseException) -> str:
    """`KeyError: 'x' at model.py:12`: the last line of the user's own code."""
    first = (str(error).strip() or "no message").splitlines()[0]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__ and not f.filename.startswith("<")]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {first}{place}"


# ---------------------------------------------------------------- weights


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a state_dict with weights_only=True; `{"state_dict": ...}` and `module.` prefixes are understood."""
    state = _state_dict(path)
    own = dict(model.state_dict())
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    misshapen = [k for k in state if k in own and state[k].shape != own[k].shape]
    if missing or unexpected or misshapen:
        raise BadFile(
            f"{path}: does not fit {type(model).__name__}: {_some(missing, 'missing')}, {_some(unexpected, 'unexpected')}, "
            f"{_some(misshapen, 'of another shape')}; give the weights of this very model"
        )
    model.load_state_dict(state, strict=False)


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the weights")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise BadFile(f"{path}: not a state_dict that loads with weights_only=True ({type(error).__name__}); {SAVE_ANEW}") from error
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise BadFile(f"{path}: holds a {type(state).__name__}, not a state_dict of tensors; {SAVE_ANEW}")
    prefixed = bool(state) and all(k.startswith("module.") for k in state)
    return {k.removeprefix("module.") if prefixed else k: v for k, v in state.items()}


def _some(names: list[str], what: str) -> str:
    return f"{len(names)} {what}" + (f" ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})" if names else "")
