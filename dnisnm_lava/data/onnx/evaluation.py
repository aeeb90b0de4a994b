"""Our torch module against onnx: the shape of every tensor as onnx infers it, its values as onnx's reference
evaluator computes them.

Both compute in float64, from the float32 constants of the file, on seeded random images, and every operation
begins with the same inputs: ours. So nothing adds up, and a difference is that of the operation which shows
it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnisnm_lava.data.onnx.explicit import in_other_words
from dnisnm_lava.data.onnx.parts import part_of
from dnisnm_lava.data.onnx.reading import first_line, image
from dnisnm_lava.data.onnx.reference import evaluated_node
from dnisnm_lava.errors import UnsupportedModel
from dnisnm_lava.system.progress import Progress, tell

SEEDS = (0, 1, 2)
SMALL = 1_000_000  # values of all tensors together: beyond, one seed
FREE_BATCH = "export it with a free batch axis, and keep that axis first and apart"
TOLERANCE = 2.0**-21
"""The share of (largest input) * max(1, largest weight), at most. An output is a sum of n products, n below
2^16; in float64 (unit roundoff 2^-53) both orders of summing err by less than n * 2^-53 * sum |w x| <= n^2 *
2^-53 * max|w| max|x| < 2^-21 max|w| max|x|."""
CONTROL = ("If", "Loop", "Scan")


@dataclass(frozen=True)
class Evaluation:
    """What was held against onnx of a file's operations that depend on the image.

    nodes: how many. values: those whose values were compared; shapes: those whose shape onnx infers. in_part:
    nodes that cost too much, compared on some channels. explicit: nodes that onnx's evaluator does not
    compute as written, compared in another form (`explicit.py`). left_out: the others, (node, evaluator's
    words). inferred_else: nodes of which onnx's inference says another shape than onnx's evaluator and this
    program. images: random ones, in all. largest: difference, as a part of what it was compared with.
    """

    nodes: int
    values: int
    shapes: int
    in_part: int
    explicit: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    inferred_else: tuple[str, ...]
    images: int
    largest: float

    def sentence(self) -> str:
        parts = f", {self.in_part} of them on some channels" if self.in_part else ""
        said = (
            f"{self.values} of {self.nodes} ONNX nodes give what onnx's reference evaluator gives on "
            f"{self.images} random images{parts} "
            f"(largest difference {self.largest:.1e} of the values), {self.shapes} of {self.nodes} have "
            f"the shape that onnx infers"
        )
        return "; ".join([said, *self.exceptions()])

    def exceptions(self) -> list[str]:
        form = "compared in another form, since onnx's evaluator fails on this one or contradicts its text"
        written = [f"{name}: {form}" for name in self.explicit]
        missing = [
            f"{name}: its values were not compared, since onnx's evaluator fails on it ({why})"
            for name, why in self.left_out
        ]
        return [
            *written,
            *missing,
            *(
                f"{name}: onnx infers another shape than its evaluator computes"
                for name in self.inferred_else
            ),
        ]


def evaluate(
    path: Path,
    model: Any,
    module: torch.fx.GraphModule,
    tensors: Mapping[str, torch.fx.Node],
    progress: Progress | None = None,
) -> Evaluation:
    """UnsupportedModel at the first node whose shape or values are not onnx's. model: the whole ModelProto,
    with the image's shape."""
    source = image(model, str(path))
    shape = [d.dim_value for d in source.type.tensor_type.shape.dim]
    double = copy.deepcopy(module).double().eval()
    given = [_images(seed, shape) for seed in SEEDS]
    ours = _values(double, tensors, given[0])
    found = _Held(path, model, source.name, given[0], ours).run(progress)
    for images in given[1:] if sum(v.size for v in ours.values()) <= SMALL else []:
        once = _Held(path, model, source.name, images, _values(double, tensors, images)).run(None)
        found = replace(once, images=found.images + once.images, largest=max(found.largest, once.largest))
    _hold_batches(path, double, given)
    return found


def _hold_batches(path: Path, module: torch.nn.Module, given: Sequence[np.ndarray]) -> None:
    """Images of one batch must not change each other, nor the batch that the file was made with matter."""
    apart = [torch.from_numpy(images[:1]) for images in given[:2]]
    with torch.no_grad():
        try:
            together, alone = _tuple(module(torch.cat(apart))), [_tuple(module(x)) for x in apart]
            differ = any(
                (t - torch.cat(a)).abs().max() > TOLERANCE * t.abs().max()
                for t, *a in zip(together, *alone, strict=True)
            )
        except RuntimeError as error:
            raise UnsupportedModel(
                f"{path}: works for a batch of {len(given[0])} alone ({first_line(error)}); {FREE_BATCH}"
            ) from error
    if differ:
        raise UnsupportedModel(
            f"{path}: what it gives for an image depends on the others of the batch; {FREE_BATCH}"
        )


def _tuple(outputs: Any) -> tuple[torch.Tensor, ...]:
    return tuple(outputs.values()) if isinstance(outputs, dict) else (outputs,)


def _images(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Standard normal, in float32's values."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32).astype(np.float64)


def _values(
    module: torch.fx.GraphModule, tensors: Mapping[str, torch.fx.Node], images: np.ndarray
) -> dict[str, np.ndarray]:
    """What the module makes of every tensor of the file that it has."""
    interpreter = torch.fx.Interpreter(module, garbage_collect_values=False)
    with torch.no_grad():
        interpreter.run(torch.from_numpy(images))
    values = {node.name: value for node, value in interpreter.env.items() if isinstance(value, torch.Tensor)}
    return {name: values[node.name].numpy() for name, node in tensors.items() if node.name in values}


class _Held:
    """One walk through the file's nodes: onnx's values of constants, ours of all that depends on the
    image."""

    def __init__(
        self, path: Path, model: Any, source: str, images: np.ndarray, ours: Mapping[str, np.ndarray]
    ) -> None:
        self.path, self.model, self.ours = path, model, ours
        self.images = images
        self.values: dict[str, np.ndarray] = {source: images}
        self.depends = {source}
        self.found = Evaluation(0, 0, 0, 0, (), (), (), len(images), 0.0)

    def run(self, progress: Progress | None) -> Evaluation:
        from onnx import numpy_helper

        self.values.update((i.name, _wide(numpy_helper.to_array(i))) for i in self.model.graph.initializer)
        inferred = self._inferred()
        nodes = list(self.model.graph.node)
        for i, node in enumerate(nodes):
            tell(progress, i + 1, len(nodes))
            self._node(node, inferred)
        return self.found

    def _inferred(self) -> dict[str, tuple[int, ...]]:
        """Shapes by onnx's inference, where it knows them all."""
        from onnx.shape_inference import infer_shapes

        model = copy.deepcopy(self.model)
        image(model, str(self.path)).type.tensor_type.shape.dim[0].dim_value = len(self.images)
        graph = infer_shapes(model, data_prop=True).graph
        shapes = {
            v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
            for v in (*graph.value_info, *graph.output)
        }
        return {name: shape for name, shape in shapes.items() if shape and all(shape)}

    def _node(self, node: Any, inferred: Mapping[str, tuple[int, ...]]) -> None:
        given = {name: self.values.get(name) for name in node.input if name}
        of_image = bool(self.depends & set(given))
        known = {name: value for name, value in given.items() if value is not None}
        if len(known) < len(given):
            return  # behind one that the outputs do not depend on, and that could not be evaluated
        if of_image:
            self.depends |= set(node.output)
        ours = {name: self.ours[name] for name in node.output if name in self.ours}
        if of_image and not ours and node.op_type in CONTROL:
            return  # no output depends on it
        self._compare(node, known, ours, inferred)

    def _compare(
        self,
        node: Any,
        known: Mapping[str, np.ndarray],
        ours: Mapping[str, np.ndarray],
        inferred: Mapping[str, tuple[int, ...]],
    ) -> None:
        if node.op_type == "Identity" or (node.op_type == "Cast" and ours):
            found = self.found
            self.values.update(ours or dict(zip(node.output, known.values(), strict=False)))
            self.found = replace(
                found,
                nodes=found.nodes + bool(ours),
                values=found.values + bool(ours),
                shapes=found.shapes + bool(ours),
            )
            return
        part = part_of(node, known, ours) if ours else None
        inputs, mine = (known, ours) if part is None else (part.inputs, part.outputs)
        theirs, why = _evaluated(node, inputs, self.model.opset_import)
        if not ours:
            self.values.update(theirs)
            return
        self.values.update(ours)
        said = why if not theirs else self._difference(node, mine, theirs, inputs)
        other = self._other_words(node, inputs, mine) if said else {}
        if said and theirs and not other:
            raise UnsupportedModel(self._differs(node, said))
        agree, differ = self._hold_shapes(
            node, ours, {n: v.shape for n, v in (other or theirs).items()} if part is None else {}, inferred
        )
        found, compared = self.found, bool(other or theirs)
        self.found = replace(
            found,
            nodes=found.nodes + 1,
            values=found.values + compared,
            shapes=found.shapes + agree,
            in_part=found.in_part + (part is not None and compared),
            explicit=(*found.explicit, *([shown(node)] if other else [])),
            left_out=(*found.left_out, *([] if compared else [(shown(node), why)])),
            inferred_else=(*found.inferred_else, *([shown(node)] if differ else [])),
        )

    def _other_words(
        self, node: Any, inputs: Mapping[str, np.ndarray], mine: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """What onnx's evaluator makes of the node in another form, where that is what this program makes."""
        version = max((o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")), default=1)
        found = in_other_words(node, inputs, version)
        theirs = (
            {}
            if found is None
            else {name: _wide_if_floating(value) for name, value in zip(node.output, found, strict=False)}
        )
        return {} if not theirs or self._difference(node, mine, theirs, inputs) else theirs

    def _difference(
        self,
        node: Any,
        ours: Mapping[str, np.ndarray],
        theirs: Mapping[str, np.ndarray],
        inputs: Mapping[str, np.ndarray],
    ) -> str:
        """How the values differ, beyond rounding; nothing where they do not."""
        for name, mine in ours.items():
            value = theirs[name]
            if value.shape != mine.shape:
                return f"onnx's evaluator gives {value.shape}, this program {mine.shape}"
            scale, both = _scale(inputs, value), np.isfinite(value) & np.isfinite(mine)
            away = float(np.abs(np.where(both, value, 0.0) - np.where(both, mine, 0.0)).max(initial=0.0))
            if away > TOLERANCE * scale or not np.array_equal(value[~both], mine[~both], equal_nan=True):
                most = np.abs(value).max(initial=0.0)
                return (
                    f"this program's values are {away:.3g} away from those of onnx's evaluator, whose "
                    f"largest is {most:.3g}"
                )
            self.found = replace(self.found, largest=max(self.found.largest, away / scale if scale else 0.0))
        return ""

    def _hold_shapes(
        self,
        node: Any,
        ours: Mapping[str, np.ndarray],
        theirs: Mapping[str, tuple[int, ...]],
        inferred: Mapping[str, tuple[int, ...]],
    ) -> tuple[bool, bool]:
        """(as onnx infers, unlike what onnx infers but as onnx evaluates)."""
        agree = differ = False
        for name, value in ours.items():
            if name not in inferred:
                continue
            if inferred[name] == value.shape:
                agree = True
            elif theirs.get(name) == value.shape:
                differ = True
            else:
                raise UnsupportedModel(
                    self._differs(node, f"onnx infers {inferred[name]}, this program makes {value.shape}")
                )
        return agree and not differ, differ

    def _differs(self, node: Any, said: str) -> str:
        return (
            f"{self.path}: its node {shown(node)} means something else here than in onnx: {said}; export "
            f"it without this form of "
            f"{node.op_type}, or give the network itself (file.py:factory), and report it with the file"
        )


def shown(node: Any) -> str:
    return f"{node.name or 'unnamed, making ' + node.output[0]} ({node.op_type})"


def _wide(values: np.ndarray) -> np.ndarray:
    return (
        values.astype(np.float32).astype(np.float64) if np.issubdtype(values.dtype, np.floating) else values
    )


def _scale(inputs: Mapping[str, np.ndarray], theirs: np.ndarray) -> float:
    """What a rounding error is measured by: (largest input) * max(1, largest of the others), and the outputs
    themselves."""
    largest = [_largest(v) for v in inputs.values() if np.issubdtype(v.dtype, np.floating)]
    return max(max(largest, default=0.0) * max([1.0, *largest[1:]]), _largest(theirs))


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0, where=np.isfinite(values)))


def _evaluated(node: Any, inputs: Mapping[str, np.ndarray], opsets: Any) -> tuple[dict[str, np.ndarray], str]:
    """(outputs by name, why there are none)."""
    try:
        values = evaluated_node(node, inputs, opsets)
    except Exception as error:  # onnx's evaluator has many
        return {}, first_line(error)
    return {
        name: _wide_if_floating(value) for name, value in zip(filter(None, node.output), values, strict=False)
    }, ""


def _wide_if_floating(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float64) if np.issubdtype(value.dtype, np.floating) else value
