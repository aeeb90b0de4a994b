"""Why nodes of an ONNX graph are refused, and where to cut it: all of them in one sentence a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHOWN = 4  # nodes named of one kind
QUANTIZED = (
    "it computes with integers of another quantization; export the float model: dnisnm_lava "
    "quantizes it itself"
)
CHOICE = "it chooses or counts, which is no part of a spiking network"
CONTROL = (
    "it is control flow; export with fixed shapes and without branches (torch.jit.trace, constant arguments)"
)
RECURRENT = "a recurrent layer has no feed-forward meaning; use convolutions over time"
STATISTICS = "it needs statistics of the image at hand; use batch norm, which is a constant in eval mode"
RANDOM = "it is random; export the model in eval mode (model.eval())"
OTHER = (
    "it has no torch module here; replace it by ReLU or another activation, convolution, linear, batch norm, "
    "pooling, concatenation, addition or a product"
)
KINDS = {
    **dict.fromkeys(
        (
            "QuantizeLinear",
            "DequantizeLinear",
            "DynamicQuantizeLinear",
            "QLinearConv",
            "QLinearMatMul",
            "ConvInteger",
            "MatMulInteger",
        ),
        QUANTIZED,
    ),
    **dict.fromkeys(
        (
            "ArgMax",
            "ArgMin",
            "TopK",
            "OneHot",
            "NonMaxSuppression",
            "NonZero",
            "Hardmax",
            "Unique",
            "Equal",
            "Xor",
            "IsNaN",
            "IsInf",
            "CumSum",
            "ScatterND",
            "ScatterElements",
            "Scatter",
            "GatherND",
            "GatherElements",
            "RoiAlign",
            "MaxRoiPool",
            "Range",
            "Shape",
            "Size",
            "Compress",
        ),
        CHOICE,
    ),
    **dict.fromkeys(
        (
            "If",
            "Loop",
            "Scan",
            "SequenceAt",
            "SequenceConstruct",
            "SplitToSequence",
            "ConcatFromSequence",
            "SequenceMap",
            "SequenceEmpty",
            "SequenceInsert",
            "Optional",
            "OptionalGetElement",
            "OptionalHasElement",
        ),
        CONTROL,
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), RECURRENT),
    **dict.fromkeys(
        (
            "LayerNormalization",
            "InstanceNormalization",
            "GroupNormalization",
            "LpNormalization",
            "MeanVarianceNormalization",
            "LRN",
            "RMSNormalization",
        ),
        STATISTICS,
    ),
    **dict.fromkeys(
        (
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
            "Bernoulli",
            "Multinomial",
        ),
        RANDOM,
    ),
}


@dataclass(frozen=True)
class Refused:
    """why: `reason; remedy`."""

    name: str
    kind: str
    outputs: tuple[str, ...]
    why: str

    @property
    def shown(self) -> str:
        return f"{self.name or 'unnamed, making ' + self.outputs[0]} ({self.kind})"


def reason(kind: str, domain: str = "") -> str:
    """Why an operation has no torch module, and what to do."""
    if kind.startswith(("QLinear", "QGemm", "QAttention")):
        return QUANTIZED
    if domain not in ("", "ai.onnx"):
        return (
            f"it is of the domain {domain}, which only its own runtime knows; export it anew with "
            f"ONNX's own operators, not optimised"
        )
    return KINDS.get(kind, OTHER)


def sentence(path: Path, model: Any, image: str, refused: Sequence[Refused]) -> str:
    """Every refused node by reason; for what only comes last, where to cut."""
    total = len(refused)
    parts = []
    for why in dict.fromkeys(r.why for r in refused):
        named = [r.shown for r in refused if r.why == why]
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        parts.append(f"{', '.join(named[:SHOWN])}{more}: {why}")
    head = f"{path}: {total} of its nodes {'has' if total == 1 else 'have'} no meaning here. "
    return head + ". ".join(parts) + _cut(path, model, image, refused)


def _cut(path: Path, model: Any, image: str, refused: Sequence[Refused]) -> str:
    """How to cut the graph in front of a tail, where what is left still holds weights and nothing that is
    refused has weights behind."""
    ends = _ends(model, {name for r in refused for name in r.outputs})
    if not ends:
        return ""
    names = ", ".join(ends)
    command = f"onnx.utils.extract_model({str(path)!r}, 'cut.onnx', [{image!r}], {ends!r})"
    return f'. Or cut the graph at {names}: python -c "import onnx.utils; {command}"'


def _ends(model: Any, refused: set[str]) -> list[str]:
    """The last tensors that depend on nothing refused; none where weights lie behind what is refused."""
    weights = {i.name for i in model.graph.initializer if len(i.dims) > 1}
    heavy = ("Conv", "ConvTranspose", "Gemm", "MatMul")
    tainted, read, made, weighed = set(refused), set[str](), list[str](), False
    for node in model.graph.node:
        if not tainted & {*node.input, *node.output}:
            made.extend(node.output)
            weighed |= node.op_type in heavy
            continue
        if node.op_type in heavy and tainted & set(node.input) and weights & set(node.input):
            return []
        read |= set(node.input) - tainted
        tainted |= set(node.output)
    outputs = {o.name for o in model.graph.output}
    return [name for name in made if name in read or name in outputs] if weighed else []
