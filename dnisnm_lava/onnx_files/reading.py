"""An ONNX file that is sound, and the image that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dnisnm_lava.errors import BackendMissing, BadFile, UnsupportedModel
from dnisnm_lava.extras import missing


def is_onnx(spec: str) -> bool:
    return spec.lower().endswith(".onnx")


def read(path: Path) -> Any:
    try:
        import onnx
        import onnx2torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise BackendMissing(missing(f"{error.name}", "onnx")) from error
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path of the network")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf, onnx and the file system each have their own
        raise BadFile(f"{path}: not a sound ONNX file, or truncated ({type(error).__name__}); export it anew") from error
    return model


def image(model: Any, name: str) -> Any:
    """The graph's one input."""
    weights = {i.name for i in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in weights]
    if len(inputs) != 1:
        raise UnsupportedModel(f"{name}: takes {len(inputs)} inputs ({', '.join(i.name for i in inputs)}); one image is needed")
    return inputs[0]


def image_shape(path: Path) -> tuple[int, ...] | None:
    """The shape of one image, without the batch, where the file fixes it."""
    shape = [d.dim_value for d in image(read(path), str(path)).type.tensor_type.shape.dim][1:]
    return tuple(shape) if shape and all(n > 0 for n in shape) else None
