"""An ONNX file that is sound, and the image that it takes. Nothing outside the file's folder is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dnisnm_lava.errors import BackendMissing, BadFile, UnsupportedModel
from dnisnm_lava.system.extras import missing

BROADCAST = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")
OLDEST = 7  # opset 6 and before broadcast by an attribute


def is_onnx(spec: str) -> bool:
    return spec.lower().endswith(".onnx")


def read(path: Path) -> Any:
    """The ModelProto, checked, its functions written out, its external data read. BadFile, BackendMissing,
    UnsupportedModel."""
    onnx = _onnx()
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the network")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf has its own
        raise BadFile(
            f"{path}: not a sound ONNX file, or truncated ({first_line(error)}); copy or export it anew"
        ) from error
    _read_external(model, path)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise BadFile(
            f"{path}: not a sound ONNX file, or truncated ({first_line(error)}); {_remedy(model)}"
        ) from error
    if model.training_info:
        raise UnsupportedModel(f"{path}: holds how it is trained; export the network alone, in eval mode")
    return _inlined(_of_known_opset(model, path))


def _onnx() -> Any:
    try:
        import onnx
        import onnx.checker
    except ModuleNotFoundError as error:
        raise BackendMissing(missing(f"{error.name}", "onnx")) from error
    return onnx


def _remedy(model: Any) -> str:
    from onnx import IR_VERSION
    from onnx.defs import onnx_opset_version

    if model.ir_version > IR_VERSION:
        return (
            f"it is newer than the onnx installed here: export it with opset {onnx_opset_version()} "
            f"or lower, or install a newer onnx"
        )
    return "export it anew"


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0].rstrip('.')}"


def _read_external(model: Any, path: Path) -> None:
    """Weights in files of their own: in the model's folder, or below it, and nowhere else."""
    from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

    folder = path.parent.resolve()
    outside = [tensor for tensor in _tensors(model.graph, model.functions) if uses_external_data(tensor)]
    for tensor in outside:
        place = ExternalDataInfo(tensor).location
        data = (folder / place).resolve()
        if not place or Path(place).is_absolute() or not data.is_relative_to(folder):
            raise BadFile(
                f"{path}: the weights {tensor.name} lie in {place!r}, outside the model's folder; put "
                f"them beside it: refused"
            )
        if not data.is_file():
            raise BadFile(
                f"{path}: the weights {tensor.name} lie in {place}, which is not there; put that file "
                f"beside the model"
            )
    if not outside:
        return
    try:
        load_external_data_for_model(model, str(folder))
    except Exception as error:
        raise BadFile(
            f"{path}: its external weights cannot be read ({first_line(error)}); copy or export both "
            f"files anew"
        ) from error


def _tensors(graph: Any, functions: Any = ()) -> Iterator[Any]:
    """Every tensor of a graph, of its nodes' attributes, and of the graphs within."""
    yield from getattr(graph, "initializer", ())
    for sparse in getattr(graph, "sparse_initializer", ()):
        yield from (sparse.values, sparse.indices)
    for attribute in (a for node in graph.node for a in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)
    for function in functions:
        yield from _tensors(function)


def _of_known_opset(model: Any, path: Path) -> Any:
    """As of opset OLDEST or later; operators of other domains are left to their names."""
    from onnx import version_converter

    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if min(versions, default=OLDEST) >= OLDEST:
        return model
    for batch in (i.type.tensor_type.shape.dim[0] for i in model.graph.input if i.type.tensor_type.shape.dim):
        batch.dim_value = batch.dim_value or 1  # a free one is more than the converter understands
    axes = {
        node.output[0]: a.i
        for node in model.graph.node
        if node.op_type in BROADCAST
        for a in node.attribute
        if a.name == "axis"
    }
    try:
        return _with_axes(version_converter.convert_version(model, OLDEST + 1), axes)
    except Exception as error:
        said = (
            f"of opset {versions[0]}, which onnx's version_converter cannot bring to {OLDEST + 1} "
            f"({first_line(error)})"
        )
        raise UnsupportedModel(f"{path}: {said}; export it anew, with opset 13 to 17") from error


def _with_axes(model: Any, axes: Mapping[str, int]) -> Any:
    """The second operand of the nodes that make `axes`, {name: its first axis in the first operand}, lies
    there: onnx's converter appends as many axes as it lacks, also those in front of it."""
    del model.graph.value_info[:]  # shapes as the converter means them
    made = {node.output[0]: node for node in model.graph.node}
    for name, axis in axes.items():
        unsqueeze = made.get(made[name].input[1])
        if unsqueeze is None or unsqueeze.op_type != "Unsqueeze":
            continue
        (appended,) = (a for a in unsqueeze.attribute if a.name == "axes")
        behind = len(appended.ints) - axis % (appended.ints[0] + len(appended.ints))
        del appended.ints[behind:]
        if behind <= 0:
            unsqueeze.op_type = "Identity"
            del unsqueeze.attribute[:]
    return model


def _inlined(model: Any) -> Any:
    if not model.functions:
        return model
    from onnx import inliner

    return inliner.inline_local_functions(model)


def image(model: Any, name: str) -> Any:
    """The graph's one input."""
    weights = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs)
        raise UnsupportedModel(
            f"{name}: takes {len(inputs)} inputs ({names}); one image is needed: make the others "
            f"constants, or cut the part that reads one"
        )
    if not inputs[0].type.HasField("tensor_type"):
        raise UnsupportedModel(
            f"{name}: its input {inputs[0].name} is no tensor but a sequence or a map; one image is needed"
        )
    return inputs[0]


def image_shape(path: Path) -> tuple[int, ...] | None:
    """The shape of one image, without the batch, where the file fixes it."""
    shape = [d.dim_value for d in image(read(path), str(path)).type.tensor_type.shape.dim][1:]
    return tuple(shape) if shape and all(n > 0 for n in shape) else None
