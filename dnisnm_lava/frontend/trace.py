"""The traced model: torch.export's graph, with everything that does not depend on the input computed."""

from __future__ import annotations

import contextlib
import importlib
import logging
import operator
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch._C import DispatchKey

from dnisnm_lava.data import inputs
from dnisnm_lava.data.forward import runs_on
from dnisnm_lava.errors import OutOfRange, UnsupportedModel
from dnisnm_lava.frontend.held import hold
from dnisnm_lava.frontend.outputs import beside_tensors, register_dataclasses

BATCH = 2  # images of the example: a batch of one could be mistaken for an axis of length one
RECOMPILED = re.compile("cache_size_limit|recompile_limit")  # older and newer torch
CLAIM = "aten._assert_tensor_metadata"
SEQUENCES = (torch.nn.Conv1d, torch.nn.ConvTranspose1d)
OTHERS = (  # code that is not the user's: torch's, and ours that translates ONNX nodes
    "/torch/",
    "<eval_with_key>",
    f"{Path(inputs.__file__).parent}/",
)
MAPS = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Conv3d, torch.nn.ConvTranspose3d)


def example_of(model: torch.nn.Module, example_input: Any) -> torch.Tensor:
    """The example as a batch of BATCH equal images, on the model's device.

    Three axes are an image (C, H, W), two are features (N, F). In a network with 1-D convolutions two axes
    are a sequence (C, L); in one with no 2-D convolutions besides, three axes are sequences (N, C, L). Two or
    three axes that a network with 2-D convolutions does not run on so are (H, W) or (N, H, W), where it adds
    the channel itself.
    """
    x = given = _as_tensor(inputs.first(example_input))
    sequences = any(isinstance(m, SEQUENCES) for m in model.modules())
    maps = any(isinstance(m, MAPS) for m in model.modules())
    single = (1, 2 if sequences else 3, 3 if maps else 2 if sequences else 3)
    if x.ndim in single:
        x = x[None]
    elif x.ndim not in (2, 3, 4):
        raise OutOfRange(
            f"example_input: shape {tuple(x.shape)} given; give (C, H, W) or (N, C, H, W), for sequences "
            f"(C, L) or (N, C, L)"
        )
    if x.numel() == 0:
        raise OutOfRange(f"example_input: shape {tuple(x.shape)} given, which holds no value; give one image")
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    if maps and not sequences and given.ndim in (2, 3):
        other = given if given.ndim == 3 else given[None]
        if not runs_on(model, x[0]) and runs_on(model, other[0]):
            x = other
    return _batch_of(x, like)


def _batch_of(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return x[:1].expand(BATCH, *x.shape[1:]).contiguous().to(like.device, like.dtype)


def _as_tensor(example_input: Any) -> torch.Tensor:
    try:
        return torch.as_tensor(inputs.array(example_input), dtype=torch.float32)
    except (TypeError, ValueError) as error:
        kind = type(example_input).__name__
        raise OutOfRange(
            f"example_input: a {kind} given; give an image as an array or a tensor, without its label"
        ) from error


def export(model: torch.nn.Module, example: torch.Tensor) -> Any:
    """torch.export's program for the model in eval mode, which is left as it was. UnsupportedModel where it
    cannot be traced, with the line of `forward` if torch tells it, and where the program is another network
    than the model."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), _upsampling_whole(), _in_our_words(), _start_method_left_open():
            program = _exported(model, example)
            if any(_writes(n) for n in program.graph_module.graph.nodes):
                program = program.run_decompositions(
                    {}
                )  # newer torch leaves in-place operations to this step
            program = _without_claims(program)
            named, tensors = tensors_of(program)
            hold(model, program, {place: tensors[name] for place, name in named.items()}, example)
            return program
    except UnsupportedModel:
        raise
    except Exception as error:  # torch.export raises many kinds; each means that the model was not traced
        reason = _reason(error)
        other = beside_tensors(model, example)
        if other:
            raise UnsupportedModel(
                f"{type(model).__name__}: forward returns {other} beside its tensors; return tensors alone"
            ) from error
        raise UnsupportedModel(
            f"{type(model).__name__}: torch.export cannot trace it for an input of shape "
            f"{tuple(example.shape[1:])} "
            f"({reason}{_user_line(error)}); {_advice(reason)}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training


def _exported(model: torch.nn.Module, example: torch.Tensor) -> Any:
    """Anew where torch counts earlier traces of the same model as recompilations, of which it allows eight,
    or where it does not know a dataclass that the model returns."""
    _known_eager()
    try:
        return torch.export.export(model, (example,), strict=True)
    except Exception as error:
        again = RECOMPILED.search(str(error)) or register_dataclasses(model, example)
        if not again:
            raise
        torch.compiler.reset()
        return torch.export.export(model, (example,), strict=True)


def _known_eager() -> None:
    """Dynamo looks its backend `eager` up by name, and imports every backend where it does not know it yet,
    the whole of Inductor among them; one small module has it."""
    with contextlib.suppress(ImportError):
        importlib.import_module("torch._dynamo.backends.debugging")


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
    """Without what newer torch warns of about itself and Python 3.13.0, and without its log of an error that
    we tell."""
    log = logging.getLogger("torch.export._trace")
    before = log.disabled
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec|Guards may run slower")
        log.disabled = True
        try:
            yield
        finally:
            log.disabled = before


@contextlib.contextmanager
def _start_method_left_open() -> Iterator[None]:
    """torch.fx asks for tqdm's lock, where tqdm is installed; making it fixes multiprocessing's start method,
    and after that Lava cannot be imported, which sets it. So the lock is of threads alone meanwhile."""
    try:
        from tqdm.std import tqdm
    except ImportError:
        tqdm = None
    if tqdm is None or hasattr(tqdm, "_lock"):
        yield
        return
    tqdm.set_lock(threading.RLock())
    try:
        yield
    finally:
        del tqdm._lock


@contextlib.contextmanager
def _upsampling_whole() -> Iterator[None]:
    """Keep upsampling as one operation: torch 2.3 would trace a dozen index operations in its place."""
    taken: list[tuple[Any, Any, Any]] = []
    aten = torch.ops.aten  # type: ignore[attr-defined]
    for name in dir(aten):
        if name.startswith("upsample_") and not name.endswith("backward"):
            for overload in getattr(aten, name).overloads():
                op = getattr(getattr(aten, name), overload)
                for key in (DispatchKey.Autograd, DispatchKey.CompositeImplicitAutograd):
                    if key in op.py_kernels:
                        taken.append((op, key, op.py_kernels.pop(key)))
                        op._dispatch_cache.clear()
    try:
        yield
    finally:
        for op, key, kernel in taken:
            op.py_kernels[key] = kernel
            op._dispatch_cache.clear()


def _without_claims(program: Any) -> Any:
    """Without the nodes in which newer torch states a tensor's dtype and device: they compute nothing, and
    read like a layer."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if name_of(node) == CLAIM:
            graph.erase_node(node)
    return program


def _writes(node: Any) -> bool:
    schema = getattr(node.target, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


def _reason(error: BaseException) -> str:
    """torch's first line, or the next one where the first only tells which call failed; what an operation
    said, where newer torch tells of it further down."""
    said = re.search(r"Explanation: .* got \w+\((['\"])(.+?)\1\)", str(error))
    if said:
        return said.group(2)
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()] or [
        type(error).__name__
    ]
    return lines[1] if lines[0].startswith("Failed running") and len(lines) > 1 else lines[0]


def _advice(reason: str) -> str:
    text = reason.lower()
    if any(
        word in text for word in ("control flow", "data-dependent", "data dependent", "guard on", ".item()")
    ):
        return "make forward free of data-dependent control flow"
    if any(word in text for word in ("size", "shape", "channels", " dim", "expected", "index")):
        return "check the input's shape, and that forward runs on it"
    return "check that forward runs on such an input, and is free of data-dependent control flow"


def _user_line(error: BaseException) -> str:
    """The line of the user's own code that torch names, if it does."""
    found = re.findall(r'File "([^"]+)", line (\d+), in \w+', str(error))
    own = [(path, line) for path, line in found if not any(other in path for other in OTHERS)]
    return f", at {own[-1][0]}:{own[-1][1]}" if own else ""


def line_of(node: Any) -> str:
    """`file:line: code` of the user's forward, from the trace; the layer where torch tells no line."""
    frames = [f.strip().splitlines() for f in (node.meta.get("stack_trace") or "").split('File "')[1:]]
    mine = [f for f in frames if not any(other in f[0] for other in OTHERS)]
    if not mine:  # in a torch.nn.Sequential or an ONNX file, no line of the user's own
        return layer_of(node).strip(" ()") or "an unknown line"
    path, line = mine[-1][0].split('", line ')
    code = mine[-1][1].strip() if len(mine[-1]) > 1 else ""
    return f"{path}:{line.split(',')[0]} `{code}`"


def layer_of(node: Any) -> str:
    """` (layer body.1)`: the innermost module around the operation; nothing for the model itself."""
    modules = list((node.meta.get("nn_module_stack") or {}).values())
    path = module_path(str(modules[-1][0])) if modules else ""
    return f" (layer {path})" if path else ""


def module_path(text: str) -> str:
    """`layer1.0` for torch's `getattr(L['self'].layer1, '0')`."""
    while (plain := re.sub(r"getattr\(([^()]*), '(\w+)'\)", r"\1.\2", text)) != text:
        text = plain
    return re.sub(r"^L\['\w+'\]\.?", "", text).replace("_modules.", "")


def name_of(node: Any) -> str:
    """`aten.relu`: the operation without its overload."""
    if node.target is operator.getitem:
        return "getitem"
    return str(getattr(node.target, "_overloadpacket", node.target))


def short_name(node: Any) -> str:
    """`relu`."""
    return name_of(node).removeprefix("aten.")


def tensors_of(program: Any) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """{placeholder: name of its parameter, buffer or constant}, and {name: tensor}."""
    signature = program.graph_signature
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    named.update(getattr(signature, "inputs_to_lifted_tensor_constants", {}))
    return named, {**program.state_dict, **dict(getattr(program, "constants", {}))}
