"""A user's own network and its weights: `path/to/file.py:factory`, `package.module:factory`, `torchvision:NAME`
or `path/to/file.onnx`."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import io
import pickle
import pickletools
import re
import struct
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

from dnisnm_lava.errors import BackendMissing, BadFile, UnsupportedModel

SAVE_ANEW = "save it anew with torch.save(model.state_dict(), ...)"
TENSORS = re.compile(  # names in sound files
    r"torch\.(_utils|_tensor|serialization|storage|nn\.parameter)\.|torch\.(\w+Storage|Size|device|[a-z]+\d+)$"
    r"|collections\.OrderedDict$|_codecs\.encode$"
)
DAMAGED = (
    pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    MemoryError, struct.error,
)  # fmt: skip
TORCHVISION = "torchvision:"
Weights: TypeAlias = str | Path | Mapping[str, torch.Tensor] | Enum


def load_model(spec: str | torch.nn.Module, weights: Weights | None = None, input_shape: Sequence[int] = ()) -> torch.nn.Module:
    """The module that `spec` names, or `spec` itself, in eval mode, with `weights` in it: a state_dict or a file of one; for
    torchvision also a set of its weights, or its name. What torchvision makes without weights is random, and a UserWarning
    says so. input_shape: of one image, for an ONNX graph that leaves it open.

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
    if _is_onnx(spec):
        if weights is not None:
            raise BadFile(f"{spec}: an ONNX file brings its own weights; leave out {weights}")
        return _onnx(Path(spec), input_shape).eval()
    model = call_factory(spec)
    if not isinstance(model, torch.nn.Module):
        raise BadFile(f"{spec}: makes a {type(model).__name__}, not a torch.nn.Module; name the function or class that builds the network")
    if weights is not None:
        load_weights(model, Path(weights))
    return model.eval()


def _with_own(spec: str | torch.nn.Module, weights: Mapping[str, torch.Tensor] | Enum, input_shape: Sequence[int]) -> torch.nn.Module:
    """With weights that are in memory, or in an enum of torchvision's."""
    if isinstance(weights, Enum):
        if not isinstance(spec, str) or not spec.startswith(TORCHVISION):
            raise BadFile(f"{weights}: a set of torchvision's weights; name the network as {TORCHVISION}NAME, or give a state_dict")
        return _torchvision(spec.removeprefix(TORCHVISION), _member_of(spec, weights)).eval()
    if isinstance(spec, str) and spec.startswith(TORCHVISION):
        model = _unfilled(spec.removeprefix(TORCHVISION), auxiliary=any(k.lower().startswith("aux") for k in weights))
    else:
        model = load_model(spec, None, input_shape)
    _fill(model, _tensors(weights, "weights"), "weights")
    return model.eval()


def _member_of(spec: str, weights: Enum) -> str:
    """The name of `weights` among those of the network."""
    from torchvision import models

    known = models.get_model_weights(_name_of(spec.removeprefix(TORCHVISION)))
    if weights not in list(known):
        raise BadFile(f"{weights}: not of {spec}; give one of {', '.join(sorted(known.__members__))}")
    return weights.name


def transforms_of(spec: str, weights: str | None) -> tuple[str, Callable[[Any], torch.Tensor]] | None:
    """(their name, what they do to an image): the transforms that torchvision's set of weights was measured with; None where
    `weights` is not the name of such a set."""
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
        raise BadFile(f"{name}: no set of torchvision's weights; name one as ResNet18_Weights.DEFAULT") from error
    return str(found), found.transforms()


def own_input_shape(spec: str) -> tuple[int, ...] | None:
    """The shape of one image where `spec` itself tells it: an ONNX graph's, torchvision's classifiers'."""
    if spec.startswith(TORCHVISION):
        from torchvision import models

        name = _name_of(spec.removeprefix(TORCHVISION))
        side = 299 if name == "inception_v3" else 224
        return (3, side, side) if name in models.list_models(module=models) else None
    if _is_onnx(spec):
        shape = [d.dim_value for d in _image(_read_onnx(Path(spec)), spec).type.tensor_type.shape.dim][1:]
        return tuple(shape) if shape and all(n > 0 for n in shape) else None
    return None


def call_factory(spec: str) -> Any:
    """What the factory of `spec` returns; `spec` may also name an object that is ready."""
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        raise BadFile(
            f"{spec}: not understood; write path/to/file.py:factory, package.module:factory, torchvision:NAME or path/to/file.onnx"
        )
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
    _fill(model, _state_dict(path), path)


def _fill(model: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path | str) -> None:
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
    except DAMAGED as error:
        named = _named_code(path)
        why = f"its pickle names {named}, and a pickle that names code can run it: refused" if named else type(error).__name__
        raise BadFile(f"{path}: not a state_dict that loads with weights_only=True ({why}); {SAVE_ANEW}") from error
    return _tensors(state, path)


def _tensors(state: Any, path: Path | str) -> dict[str, torch.Tensor]:
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise BadFile(f"{path}: holds a {type(state).__name__}, not a state_dict of tensors; {SAVE_ANEW}")
    prefixed = bool(state) and all(k.startswith("module.") for k in state)
    return {k.removeprefix("module.") if prefixed else k: v for k, v in state.items()}


def _named_code(path: Path) -> str:
    """What the pickles of a weights file ask for beside tensors and dictionaries, as far as they can be followed; nothing is run."""
    data = path.read_bytes()
    with contextlib.suppress(zipfile.BadZipFile, StopIteration, *DAMAGED), zipfile.ZipFile(io.BytesIO(data)) as archive:
        data = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    found: list[str] = []
    stream, texts = io.BytesIO(data), ["?", "?"]
    with contextlib.suppress(*DAMAGED):
        while stream.tell() < len(data):  # an old file is several pickles, one behind the other
            for opcode, value, _ in pickletools.genops(stream):
                if opcode.name in ("GLOBAL", "INST"):
                    found.append(str(value).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    found.append(".".join(texts[-2:]))
                elif isinstance(value, str):
                    texts.append(value)
    return ", ".join(dict.fromkeys(name for name in found if not TENSORS.match(name)))


def _some(names: list[str], what: str) -> str:
    return f"{len(names)} {what}" + (f" ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})" if names else "")


# ---------------------------------------------------------------- torchvision


def _torchvision(name: str, weights: str | None) -> torch.nn.Module:
    """torchvision's network: with weights from a file, or by their name, or random."""
    from torchvision import models

    file = Path(weights) if weights is not None and Path(weights).is_file() else None
    if file is not None:
        state = _state_dict(file)
        model = _unfilled(name, auxiliary=any(k.lower().startswith("aux") for k in state))
        _fill(model, state, file)
        return model
    if weights is None:
        model = _unfilled(name, auxiliary=True)
        warnings.warn(f"{TORCHVISION}{name}: no weights given, so they are random and accuracy is meaningless", stacklevel=3)
        return model
    known = models.get_model_weights(_name_of(name)).__members__
    if weights not in known:
        raise BadFile(f"{weights}: no such file, and no weights of {name}; give a state_dict or one of {', '.join(sorted(known))}")
    try:
        return models.get_model(name, weights=known[weights], progress=False)
    except (OSError, RuntimeError) as error:  # no network, no space, no such page; another hash than promised
        raise BadFile(f"{weights}: the weights of {name} cannot be downloaded ({error}); give a file of them") from error


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


# ---------------------------------------------------------------- ONNX


BATCH = 7919  # stands for a free batch axis while shapes are computed: a prime that no other axis has
OPSET = 17  # the newest that onnx2torch 1.5 knows
LARGE = 1024  # values above which an initializer is weights, not a shape


def _is_onnx(spec: str) -> bool:
    return spec.lower().endswith(".onnx")


def _onnx(path: Path, input_shape: Sequence[int]) -> torch.nn.Module:
    """The graph as a torch.fx.GraphModule that torch.export can trace, for a batch of any size."""
    model = _read_onnx(path)
    axes = _image(model, str(path)).type.tensor_type.shape.dim
    for axis, size in zip(axes, (BATCH, *input_shape), strict=False):
        if axis.dim_value <= 0:
            axis.dim_value = size
    fixed = all(axis.dim_value > 0 for axis in axes)
    advice = f"export it anew, with opset {OPSET} or lower" if fixed else "its image has no fixed shape: give it (--input-shape)"
    try:
        _fold(model)
        _to_known_opset(model)
        for node in model.graph.node:
            node.name = _layer_name(node)
        module = importlib.import_module("onnx2torch").convert(model)
        _bind_constants(module, axes[0].dim_value if axes else BATCH)
        _nest(module)
    except NotImplementedError as error:
        raise UnsupportedModel(f"{path}: onnx2torch cannot make a torch module of it ({error}); {advice}") from error
    except Exception as error:  # onnx, onnx2torch and torch.fx each have their own
        raise UnsupportedModel(f"{path}: no torch module can be made of it ({_where(error)}); {advice}") from error
    assert isinstance(module, torch.nn.Module)
    return module


def _read_onnx(path: Path) -> Any:
    try:
        import onnx
        import onnx2torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise BackendMissing(f"{error.name} is not installed in this Python; pip install 'dnisnm-lava[onnx]' brings it") from error
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the network")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, onnx and the file system each have their own
        raise BadFile(f"{path}: not a sound ONNX file, or truncated ({type(error).__name__}); export it anew") from error
    return model


def _image(model: Any, name: str) -> Any:
    """The graph's one input."""
    weights = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        raise UnsupportedModel(f"{name}: takes {len(inputs)} inputs ({', '.join(i.name for i in inputs)}); one image is needed")
    return inputs[0]


def _fold(model: Any) -> None:
    """What depends on no image becomes an initializer: padding sizes, shapes computed from shapes, shared weights."""
    from onnx import numpy_helper
    from onnx.shape_inference import infer_shapes

    graph = model.graph
    known = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    del graph.initializer[:]
    graph.initializer.extend(_light(name, value) for name, value in known.items())
    folded = True
    while folded:
        shapes = _shapes(infer_shapes(model, data_prop=True).graph)
        partial = {n.output[0]: _shape(n, shapes) for n in graph.node if n.op_type == "Shape"}
        nodes, folded = [], False
        for node in graph.node:
            values = _folded(node, known, partial, model.opset_import)
            if values is None:
                nodes.append(node)
                continue
            folded = True
            made = dict(zip(filter(None, node.output), values, strict=False))
            known.update(made)
            graph.initializer.extend(_light(name, value) for name, value in made.items())
        del graph.node[:]
        graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input}
    del graph.initializer[:]
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in known.items() if name in used)


def _light(name: str, value: np.ndarray) -> Any:
    """The initializer; of weights the shape alone, which suffices, for serializing them takes long."""
    from onnx import TensorProto, helper, numpy_helper

    if value.size <= LARGE:
        return numpy_helper.from_array(value, name)
    return TensorProto(name=name, dims=value.shape, data_type=helper.np_dtype_to_tensor_dtype(value.dtype))


def _shapes(graph: Any) -> dict[str, list[int]]:
    """Axes of every tensor whose rank is known; an unknown axis is 0."""
    values = [*graph.input, *graph.value_info, *graph.output]
    return {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values if v.type.tensor_type.HasField("shape")}


def _shape(node: Any, shapes: Mapping[str, list[int]]) -> list[int]:
    """What the Shape node `node` gives, as far as it is known."""
    from onnx import helper

    limits = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return shapes.get(node.input[0], [])[limits.get("start", 0) : limits.get("end")]


def _folded(node: Any, known: Mapping[str, np.ndarray], partial: Mapping[str, list[int]], opsets: Any) -> list[np.ndarray] | None:
    """What `node` gives where that does not depend on the image, else None."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type == "Shape" and node.input[0] not in known:
        axes = partial[node.output[0]]
        return [np.array(axes, np.int64)] if axes and all(axes) else None
    if node.op_type == "Gather" and node.input[0] in partial and node.input[1] in known:
        axes = partial[node.input[0]]
        picked = np.array(axes, np.int64)[known[node.input[1]]] if axes else np.zeros(1)
        return [np.asarray(picked)] if picked.all() else None
    random = not node.input and node.op_type != "Constant"
    inside = any(a.HasField("g") or a.graphs for a in node.attribute)
    if random or inside or not all(name in known for name in node.input if name):
        return None
    given = {name: known[name] for name in node.input if name}
    untyped = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names if n] for names in (given, node.output)]
    alone = helper.make_model(helper.make_graph([node], "alone", *untyped), opset_imports=opsets)
    return [np.asarray(value) for value in ReferenceEvaluator(alone).run(None, given)]


def _to_known_opset(model: Any) -> None:
    """A newer graph as of OPSET, where it says the same: axes of a reduction were an attribute then. The checker
    refuses what did not exist."""
    import onnx

    versions = [o for o in model.opset_import if o.domain in ("", "ai.onnx") and o.version > OPSET]
    if not versions:
        return
    numbers = {i.name: i for i in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type.startswith("Reduce") and node.op_type != "ReduceSum" and len(node.input) == 2 and node.input[1] in numbers:
            axes = onnx.numpy_helper.to_array(numbers[node.input.pop()])
            node.attribute.append(onnx.helper.make_attribute("axes", axes.tolist()))
        dated = [a for a in node.attribute if a.name in ("noop_with_empty_axes", "num_outputs") and node.op_type != "ReduceSum"]
        for attribute in dated:
            node.attribute.remove(attribute)
    for version in versions:
        version.version = OPSET
    onnx.checker.check_model(model)


def _layer_name(node: Any) -> str:
    """torch calls a layer's operation /layer1/layer1.0/conv1/Conv: that is layer1.0.conv1."""
    *path, operation = node.name.strip("/").split("/")
    names = [name for name, inner in zip(path, [*path[1:], ""], strict=False) if not inner.startswith(f"{name}.")]
    return ".".join(names if names and operation == node.op_type and operation in ("Conv", "Gemm", "MatMul") else [*names, operation])


class _Plain(torch.nn.Module):
    """`function` of the image and of numbers."""

    def __init__(self, function: Callable[..., Any], *numbers: Any) -> None:
        super().__init__()
        self.function, self.numbers = function, numbers

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.numbers)


def _bind_constants(module: Any, batch: int) -> None:
    """Sizes that onnx2torch passes as tensors become numbers, which torch.export can trace; a matrix, a layer."""
    for node in module.graph.nodes:
        old = module.get_submodule(node.target) if node.op == "call_module" else None
        if type(old).__name__ == "OnnxResize":
            module.add_submodule(node.target, _resize(module, node, old))
            node.args, node.kwargs = node.args[:1], {}
        plain = _PLAIN.get(type(old).__name__)
        if plain is None:
            continue
        constants = [module.get_buffer(a.target) for a in node.args[1:] if a.op == "get_attr"]
        if type(old).__name__ == "OnnxMatMul" and (not constants or constants[0].ndim != 2):
            continue
        if node.kwargs or len(constants) < len(node.args) - 1:
            raise NotImplementedError(f"{node.target}: its sizes are computed from the image")
        module.add_submodule(node.target, plain(old, batch, *constants))
        node.args = node.args[:1]
    module.graph.eliminate_dead_code()


def _resize(module: Any, node: Any, old: Any) -> torch.nn.Module:
    """Upsampling by constant scales, or to a constant size."""
    given = {**dict(zip(("roi", "scales", "sizes"), node.args[1:], strict=False)), **node.kwargs}
    known: dict[str, tuple[Any, ...]] = {}
    for key in ("scales", "sizes"):
        source = given.get(key)
        if source is not None and source.op != "get_attr":
            raise NotImplementedError(f"{node.target}: its {key} are computed from the image")
        known[key] = () if source is None else tuple(module.get_buffer(source.target).tolist()[2:])
    mode = {("nearest", 1): "nearest", ("nearest", 2): "nearest", ("linear", 1): "linear", ("linear", 2): "bilinear",
            ("cubic", 2): "bicubic"}[old.onnx_mode, len(known["scales"] or known["sizes"])]  # fmt: skip
    return _Plain(F.interpolate, known["sizes"] or None, known["scales"] or None, mode, old.align_corners)


def _nest(module: Any) -> None:
    """onnx2torch writes layer1/0/conv1 for layer1.0.conv1: a submodule of its own again."""
    for node in module.graph.nodes:
        name = str(node.target).replace("/", ".")
        if node.op == "call_module" and name not in dict(module.named_modules()):
            module.add_submodule(name, module.get_submodule(node.target))
            delattr(module, node.target)
            node.target = name
    module.recompile()


def _reshape(x: torch.Tensor, sizes: Sequence[int], batch: int) -> torch.Tensor:
    kept = [x.shape[i] if n == 0 or (i == 0 and n == batch) else n for i, n in enumerate(sizes)]
    return x.reshape(kept)


def _slice(
    x: torch.Tensor, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] = (), steps: Sequence[int] = ()
) -> torch.Tensor:
    parts = [slice(None)] * x.dim()
    axes, steps = axes or range(len(starts)), steps or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        parts[axis] = slice(start, min(end, x.shape[axis]), step)
    return x[tuple(parts)]


def _split(x: torch.Tensor, axis: int, parts: int, sizes: Sequence[int] = ()) -> tuple[torch.Tensor, ...]:
    """Parts of `sizes`; without them, of equal size but for the last."""
    return torch.split(x, list(sizes) or -(-x.shape[axis] // parts), axis)


def _borders(pads: Sequence[int]) -> list[int]:
    """ONNX: where each axis begins, then where each ends. torch: both for each axis, the last axis first."""
    rank = len(pads) // 2
    borders = [pads[side * rank + axis] for axis in reversed(range(rank)) for side in range(2)]
    while len(borders) > 2 and borders[-2:] == [0, 0]:  # not all modes take the batch and the channels
        del borders[-2:]
    return borders


def _linear(matrix: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(matrix.shape[0], matrix.shape[1], bias=False)
    layer.weight.data = matrix.T.contiguous()
    return layer


_PLAIN: dict[str, Callable[..., torch.nn.Module]] = {
    "OnnxMatMul": lambda old, batch, matrix: _linear(matrix),
    "OnnxReshape": lambda old, batch, sizes: _Plain(_reshape, sizes.tolist(), batch),
    "OnnxSlice": lambda old, batch, *numbers: _Plain(_slice, *(n.tolist() for n in numbers)),
    "OnnxPadDynamic": lambda old, batch, pads, *value: _Plain(F.pad, _borders(pads.tolist()), old.mode, *(v.item() for v in value)),
    "OnnxSplit13": lambda old, batch, *sizes: _Plain(_split, old.axis, old.num_splits, *(n.tolist() for n in sizes)),
    "OnnxSqueezeDynamicAxes": lambda old, batch, *axes: _Plain(torch.squeeze, *(tuple(n.tolist()) for n in axes)),
}  # what torch.export cannot trace of onnx2torch, by the name of its class
