"""The table of operations: each entry stands once, means something, and is known to torch; the page names
nothing else; clips from 0 on commute with max-pools."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from one_layer import Net
from torch import Tensor, nn

import dnisnm_lava as dn
from dnisnm_lava.frontend import walk  # noqa: F401, it fills the table
from dnisnm_lava.frontend.fusion import LINES, SMOOTH
from dnisnm_lava.frontend.table import REMEDIES, TABLE, Kind, named
from dnisnm_lava.ir import MaxPool, Rectifier, Relay
from dnisnm_lava.ir.functions import FUNCTIONS


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_operation_is_torchs_and_means_something(name: str) -> None:
    known = TABLE[name]
    assert known.name == name
    assert (known.meaning is None) == (known.kind in (Kind.MOVE, Kind.SHAPE))
    assert (known.kind is Kind.LAST) == (known.function in FUNCTIONS)
    assert not name.endswith("_")  # in place is the same, and listed nowhere
    assert named(f"aten.{name}_") is known is named(f"aten.{name}")
    if "." not in name:
        assert hasattr(torch.ops.aten, name), "torch knows no such operation"
    if known.shown:
        assert hasattr(F, known.shown)


def test_parts_of_functions_written_by_hand_stand_in_the_table_too_or_make_masks() -> None:
    """`fusion` says what each is as lines; alone, each has its meaning in the table."""
    masks = {name for name in LINES if named(name) is None}
    assert masks == {
        *("gt", "ge", "lt", "le", "sign"),
        *(f"{kind}_{does}" for kind in ("logical", "bitwise") for does in ("not", "and", "or")),
    }
    assert {name for name in SMOOTH if named(name) is None} == {"expm1", "log1p", "erf", "reciprocal"}


def test_remedies_are_of_operations_that_are_refused_somewhere() -> None:
    """In the body of a network, or for some arguments."""
    always = {name for name, o in TABLE.items() if o.kind in (Kind.MOVE, Kind.SHAPE)}
    assert not always & set(REMEDIES)
    assert not [name for name in REMEDIES if name.endswith("_")]


NAMED = {  # what docs/own-network.md says converts, and the operations that it is
    "convolutions over maps and sequences": ("conv1d", "conv2d", "convolution"),
    "transposed convolutions": ("conv_transpose1d", "conv_transpose2d"),
    "linear layers": ("linear", "addmm", "matmul", "mm", "bmm"),
    "batch norm": ("batch_norm", "_native_batch_norm_legit_no_training"),
    "ReLU in every spelling": ("relu", "clamp_min", "maximum", "threshold", "leaky_relu"),
    "ReLU6 and clamps": ("relu6", "hardtanh", "clamp", "clamp_max", "minimum"),
    "LeakyReLU": ("leaky_relu", "rrelu_with_noise"),
    "PReLU": ("prelu", "_prelu_kernel"),
    "Hardsigmoid": ("hardsigmoid",),
    "abs and shrinks": ("abs", "softshrink", "hardshrink"),
    "SiLU": ("silu",),
    "GELU": ("gelu",),
    "Hardswish": ("hardswish",),
    "sigmoid, tanh": ("sigmoid", "tanh"),
    "softplus": ("softplus",),
    "ELU, SELU, CELU": ("elu", "selu", "celu"),
    "Mish": ("mish",),
    "softsign": ("div", "abs"),
    "LogSigmoid and exp": ("log_sigmoid", "log_sigmoid_forward", "exp"),
    "gates and other products of two tensors": ("mul", "pow", "glu"),
    "maxima and minima": ("maximum", "minimum"),
    "max-pools": ("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "amax", "max"),
    "average": ("avg_pool1d", "avg_pool2d"),
    "adaptive and global pools": (
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
    ),
    "means": ("mean",),
    "residuals": ("add",),
    "sums and differences": ("add", "sub", "rsub", "sum", "neg"),
    "products with constants": ("mul", "div"),
    "masks": ("mul", "masked_fill", "where"),
    "writes in place": ("slice_scatter", "select_scatter", "copy", "fill", "index_put"),
    "concatenations": ("cat", "stack"),
    "chunks": ("chunk", "tensor_split", "unbind"),
    "splits": ("split", "split_with_sizes"),
    "slices": ("slice", "select", "narrow", "index", "index_select"),
    "pads (constant, reflect, replicate, circular)": (
        "constant_pad_nd",
        "pad",
        "reflection_pad1d",
        "reflection_pad2d",
        "replication_pad1d",
        "replication_pad2d",
        "new_empty",
    ),
    "flips": ("flip", "roll", "rot90"),
    "pixel shuffles": ("pixel_shuffle", "pixel_unshuffle"),
    "shuffles": ("channel_shuffle", "native_channel_shuffle"),
    "nearest": ("upsample_nearest1d", "upsample_nearest2d"),
    "(bi)linear and bicubic upsampling": ("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d"),
    "either antialiased": ("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
    "views and permutations": ("view", "reshape", "flatten", "permute", "transpose"),
}
SHAPES = "linear tensors that several layers read", "several outputs", "outputs that are maps", "sequences"


def test_the_table_has_every_operation_that_the_page_names() -> None:
    page = (Path(__file__).parents[2] / "docs/own-network.md").read_text()
    page = page.split("### What converts")[1].split("Each operation is converted exactly")[0]
    listed = " ".join(page.split("networks, as they are:")[1].split())
    for name, operations in NAMED.items():
        assert name in listed, name
        assert not [o for o in operations if named(o) is None], name
    for name in sorted((*NAMED, *SHAPES), key=len, reverse=True):
        listed = listed.replace(name, "")
    said = re.sub(
        r"\(.*?\)|\b(anywhere|on vectors and on maps|of anything|of any number of branches)", "", listed
    )
    assert not re.findall(r"\w+", said), "the page names what stands in no row here"


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_functions_behind_the_last_layer_stand_in_the_table(function: str) -> None:
    assert function in {known.function for known in TABLE.values()}


CLIPS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "relu": (F.relu, np.inf),
    "relu in place": (lambda x: F.relu(x, inplace=True), np.inf),
    "nn.ReLU": (nn.ReLU(), np.inf),
    "relu6": (F.relu6, 6),
    "nn.ReLU6": (nn.ReLU6(), 6),
    "nn.ReLU6 in place": (nn.ReLU6(inplace=True), 6),
    "hardtanh": (lambda x: F.hardtanh(x, 0, 4), 4),
    "nn.Hardtanh in place": (nn.Hardtanh(0, 4, inplace=True), 4),
    "clamp": (lambda x: x.clamp(0, 2), 2),
    "clamp in place": (lambda x: x.clamp_(min=0, max=2), 2),
    "clamp_min": (lambda x: x.clamp_min(0), np.inf),
    "clamp from 0": (lambda x: x.clamp(min=0), np.inf),
    "threshold at 0": (lambda x: F.threshold(x, 0, 0), np.inf),
    "nn.Threshold at 0 in place": (nn.Threshold(0.0, 0.0, inplace=True), np.inf),
    "leaky_relu without a slope": (lambda x: F.leaky_relu(x, 0.0), np.inf),
    "nn.LeakyReLU without a slope": (nn.LeakyReLU(0), np.inf),
}


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("indices", [False, True])
def test_a_max_pool_before_a_clip_from_0_on_takes_no_relay(name: str, indices: bool) -> None:
    clip, ceiling = CLIPS[name]

    def forward(n: nn.Module, x: Tensor) -> Tensor:
        z = n.conv(x)  # type: ignore[operator]
        pooled = F.max_pool2d(z, 2, return_indices=True)[0] if indices else F.max_pool2d(z, 2)
        return n.last(clip(pooled).flatten(1))  # type: ignore[operator]

    model = randomized(Net(forward, conv=nn.Conv2d(8, 4, 3, padding=1), last=nn.Linear(64, 3)), 0)
    x = 4 * images(6, (3, 8, 8), 1)
    analog = dn.from_torch(model, x[0])
    assert (len(analog.of(Relay)), len(analog.of(MaxPool)), len(analog.of(Rectifier))) == (0, 1, 2)
    assert {p.ceiling for p in analog.of(Rectifier)} == {np.inf, ceiling}
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        analog.ann(x), expected, rtol=1e-4, atol=1e-4
    )  # float32's products and sums of up to 72


def test_a_second_clip_that_changes_nothing_is_dropped() -> None:
    def forward(n: nn.Module, x: Tensor) -> Tensor:
        return n.last(F.relu6(F.relu6(n.conv(x))).flatten(1))  # type: ignore[operator]

    model = randomized(Net(forward, conv=nn.Conv2d(8, 4, 3, padding=1), last=nn.Linear(256, 3)), 0)
    analog = dn.from_torch(model, images(1, (3, 8, 8), 1)[0])
    assert [p.ceiling for p in analog.of(Rectifier)] == [np.inf, 6]  # one_layer's first, and the clip


@pytest.mark.parametrize(
    "clip",
    [
        lambda x: x.clamp(-1, 1),
        lambda x: x.clamp(max=1),
        lambda x: F.threshold(x, -1, -1),
        lambda x: F.relu(x) - x,
    ],
    ids=["clamp", "below", "threshold", "both"],
)
def test_other_readers_of_a_pool_leave_it_where_it_is(clip: Callable[[Tensor], Tensor]) -> None:
    def forward(n: nn.Module, x: Tensor) -> Tensor:
        return n.last(clip(F.max_pool2d(n.conv(x), 2)).flatten(1))  # type: ignore[operator]

    model = randomized(Net(forward, conv=nn.Conv2d(8, 4, 3, padding=1), last=nn.Linear(64, 3)), 0)
    x = 4 * images(6, (3, 8, 8), 1)
    analog = dn.from_torch(model, x[0])
    assert len(analog.of(Relay)) >= 1
    with torch.no_grad():
        np.testing.assert_allclose(analog.ann(x), model(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-4)
