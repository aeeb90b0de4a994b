"""A user's own network and its weights: `path/to/file.py:factory`, `package.module:factory`,
`torchvision:NAME` or `path/to/file.onnx`."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import torch

from dnisnm_lava.data.onnx.conversion import load as load_onnx
from dnisnm_lava.data.onnx.reading import image_shape, is_onnx
from dnisnm_lava.data.weights import checkpoints, downloads, reading
from dnisnm_lava.errors import BadFile
from dnisnm_lava.system.progress import Progress

TORCHVISION = "torchvision:"
Weights: TypeAlias = str | Path | Mapping[str, torch.Tensor] | Enum


def load_model(
    spec: str | torch.nn.Module,
    weights: Weights | None = None,
    input_shape: Sequence[int] = (),
    progress: Progress | None = None,
) -> torch.nn.Module:
    """The module that `spec` names, or `spec` itself, in eval mode, with `weights` in it: a state_dict or a
    file of one; for torchvision also a set of its weights, or its name. What torchvision makes without
    weights is random, and a UserWarning says so. input_shape: of one image, for an ONNX graph that leaves it
    open. progress(done, of): of an ONNX graph's nodes that were held against onnx's own evaluation; a
    UserWarning tells what could not be.

    BadFile where there is no such file, module, factory or network, it fails, or makes something else;
    BackendMissing where ONNX is not installed; UnsupportedModel where an ONNX graph has no torch module.
    """
    if isinstance(weights, Mapping | Enum):
        return _with_own(spec, weights, input_shape)
    weights = None if weights is None else str(weights)
    if isinstance(spec, torch.nn.Module):
        if weights is not None:
            load_weights(spec, Path(weights))
        return spec.eval()
    if spec.startswith(TORCHVISION):
        return _torchvision(spec.removeprefix(TORCHVISION), weights).eval()
    if is_onnx(spec):
        if weights is not None:
            raise BadFile(f"{spec}: an ONNX file brings its own weights; leave out {weights}")
        return load_onnx(Path(spec), input_shape, progress).eval()
    model = call_factory(spec)
    if not isinstance(model, torch.nn.Module):
        raise BadFile(
            f"{spec}: makes a {type(model).__name__}, not a torch.nn.Module; name the function or class "
            f"that builds the network"
        )
    if weights is not None:
        load_weights(model, Path(weights))
    return model.eval()


def _with_own(
    spec: str | torch.nn.Module, weights: Mapping[str, torch.Tensor] | Enum, input_shape: Sequence[int]
) -> torch.nn.Module:
    """With weights that are in memory, or in an enum of torchvision's."""
    if isinstance(weights, Enum):
        if not isinstance(spec, str) or not spec.startswith(TORCHVISION):
            raise BadFile(
                f"{weights}: a set of torchvision's weights; name the network as {TORCHVISION}NAME, or "
                f"give a state_dict"
            )
        return _torchvision(spec.removeprefix(TORCHVISION), _member_of(spec, weights)).eval()
    if isinstance(spec, str) and spec.startswith(TORCHVISION):
        model = _unfilled(spec.removeprefix(TORCHVISION), auxiliary=_has_auxiliary(weights))
    else:
        model = load_model(spec, None, input_shape)
    checkpoints.fill(model, weights, "weights")
    return model.eval()


def _member_of(spec: str, weights: Enum) -> str:
    """The name of `weights` among those of the network."""
    from torchvision import models

    known = models.get_model_weights(_name_of(spec.removeprefix(TORCHVISION)))
    if weights not in list(known):
        raise BadFile(f"{weights}: not of {spec}; give one of {', '.join(sorted(known.__members__))}")
    return weights.name


def transforms_of(spec: str, weights: str | None) -> tuple[str, Callable[[Any], torch.Tensor]] | None:
    """(their name, what they do to an image): the transforms that torchvision's set of weights was measured
    with; None where `weights` is not the name of such a set."""
    if not spec.startswith(TORCHVISION) or weights is None or Path(weights).is_file():
        return None
    from torchvision import models

    known = models.get_model_weights(_name_of(spec.removeprefix(TORCHVISION)))
    found = known.__members__.get(weights)
    return None if found is None else (str(found), found.transforms())


def transforms_named(name: str) -> tuple[str, Callable[[Any], torch.Tensor]]:
    """The same of `name`, such as ResNet18_Weights.DEFAULT; BadFile for what torchvision does not have."""
    from torchvision import models

    try:
        found = models.get_weight(name)
    except (ValueError, KeyError, AttributeError) as error:
        raise BadFile(
            f"{name}: no set of torchvision's weights; name one as ResNet18_Weights.DEFAULT"
        ) from error
    return str(found), found.transforms()


def own_input_shape(spec: str) -> tuple[int, ...] | None:
    """The shape of one image where `spec` itself tells it: an ONNX graph's, torchvision's classifiers'."""
    if spec.startswith(TORCHVISION):
        from torchvision import models

        name = _name_of(spec.removeprefix(TORCHVISION))
        side = 299 if name == "inception_v3" else 224
        return (3, side, side) if name in models.list_models(module=models) else None
    if is_onnx(spec):
        return image_shape(Path(spec))
    return None


def call_factory(spec: str) -> Any:
    """What the factory of `spec` returns; `spec` may also name an object that is ready."""
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        raise BadFile(
            f"{spec}: not understood; write path/to/file.py:factory, package.module:factory, "
            f"torchvision:NAME or path/to/file.onnx"
        )
    with _import_path(place):
        try:
            module = _import(place)
        except Exception as error:
            raise BadFile(
                f"{spec}: {place} cannot be imported ({_where(error)}); make it import on its own first"
            ) from error
        if not hasattr(module, name):
            raise BadFile(
                f"{spec}: {place} has no {name!r}; name a function, class or object that it defines"
            )
        found = getattr(module, name)
        if isinstance(found, torch.nn.Module) or not callable(found):
            return found
        try:
            return found()
        except Exception as error:
            raise BadFile(
                f"{spec}: {name}() failed ({_where(error)}); it must work without arguments"
            ) from error


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
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if f.filename != __file__ and not f.filename.startswith("<")
    ]
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {first}{place}"


# ---------------------------------------------------------------- weights


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Load a file of weights into `model`: a state_dict, or a checkpoint in which one dict fits
    (weight_files.checkpoints)."""
    checkpoints.fill(model, reading.read(path), path)


# ---------------------------------------------------------------- torchvision


def _torchvision(name: str, weights: str | None) -> torch.nn.Module:
    """torchvision's network: with weights from a file, or by their name, or random."""
    from torchvision import models

    file = Path(weights) if weights is not None and Path(weights).is_file() else None
    if file is not None:
        content = reading.read(file)
        model = _unfilled(name, auxiliary=_has_auxiliary(content))
        checkpoints.fill(model, content, file)
        return model
    if weights is None:
        model = _unfilled(name, auxiliary=True)
        warnings.warn(
            f"{TORCHVISION}{name}: no weights given, so they are random and accuracy is meaningless",
            stacklevel=3,
        )
        return model
    known = models.get_model_weights(_name_of(name)).__members__
    if weights not in known:
        raise BadFile(
            f"{weights}: no such file, and no weights of {name}; give a state_dict or one of "
            f"{', '.join(sorted(known))}"
        )
    downloads.check_kept(known[weights].url)
    try:
        return models.get_model(name, weights=known[weights], progress=False)
    except (OSError, RuntimeError) as error:  # no network, no space, no such page; another hash than promised
        raise BadFile(
            f"{weights}: the weights of {name} cannot be downloaded ({error}); give a file of them"
        ) from error


def _has_auxiliary(content: Any) -> bool:
    """Weights of the heads that two old networks have for training."""
    return any(
        part.lower().startswith("aux") for name in checkpoints.names(content) for part in name.split(".")[:2]
    )


def _name_of(name: str) -> str:
    """`name` as torchvision writes it; BadFile for what it does not have."""
    from torchvision import models

    known = models.list_models()
    if name.lower() in known:
        return name.lower()
    close = " or ".join(difflib.get_close_matches(name.lower(), known, 3))
    advice = f"did you mean {close}?" if close else "torchvision.models.list_models() lists what it has"
    raise BadFile(f"{TORCHVISION}{name}: torchvision has no such network; {advice}")


def _unfilled(name: str, auxiliary: bool) -> torch.nn.Module:
    """The network without a download, and without the minute in which two old ones draw their weights."""
    from torchvision import models

    name = _name_of(name)
    options: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options.update(init_weights=False, aux_logits=auxiliary)
    if "weights_backbone" in inspect.signature(models.get_model_builder(name)).parameters:
        options["weights_backbone"] = None
    return models.get_model(name, **options)
