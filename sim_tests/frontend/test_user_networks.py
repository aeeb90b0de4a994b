"""What users' networks once got wrong, each named after its symptom."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from one_layer import Net, assert_converts, c, head, net
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.errors import OutOfRange, UnsupportedModel
from dnisnm_lava.ir import Relay


@pytest.mark.parametrize("value", [-1.0, 0.5, 1.0, 2.0])
def test_a_border_of_a_value_other_than_zero_is_that_value(value: float) -> None:
    assert_converts(
        net(lambda n, x: n.h(F.relu(n.a(F.pad(x, (1, 2, 0, 1), value=value)))), a=c(8, 4, 3), h=head(4)),
        (3, 6, 6),
    )
    assert_converts(
        randomized(nn.Sequential(nn.ConstantPad2d(1, value), c(3, 4, 3), nn.ReLU(), head(4)), 1), (3, 5, 5)
    )
    assert_converts(
        net(
            lambda n, x: n.h(F.relu(n.a(F.pad(x, (0, 0, 0, 0, 1, 0), value=value)))), a=c(9, 4, 3), h=head(4)
        ),
        (3, 6, 6),
    )


def test_a_border_of_minus_infinity_before_a_max_pool_never_wins() -> None:
    minus = float("-inf")
    analog = assert_converts(
        net(lambda n, x: n.h(F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=minus), 3, 2)), h=head(8)), (3, 6, 6)
    )
    assert not analog.of(type(analog.readout))[1:]
    with pytest.raises(UnsupportedModel, match=r"pads with -inf; give max_pool2d its padding"):
        dn.from_torch(
            net(lambda n, x: n.h(n.a(F.pad(x, (0, 1), value=minus))), a=c(8, 4), h=head(4)),
            images(1, (3, 6, 6), 0)[0],
        )


@pytest.mark.parametrize(
    "forward",
    [
        lambda n, x: torch.cat([F.softmax(n.a(x), 1), F.softmax(n.b(x), 1)], 1),
        lambda n, x: F.softmax(n.a(x).view(-1, 2, 3), 1).flatten(1),
        lambda n, x: F.softmax(n.a(x).view(-1, 2, 3), 1).transpose(1, 2),
    ],
    ids=[
        "softmaxes joined",
        "softmax of groups, flattened",
        "softmax of groups, transposed",
    ],
)
def test_a_softmax_that_changes_the_class_is_not_left_out(forward: Callable[..., torch.Tensor]) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 6), nn.Linear(8, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(self, x)

    with pytest.raises(
        UnsupportedModel, match=r"aten\.(_?softmax|sigmoid)\.(default|int) at .*test_user_networks\.py"
    ):
        dn.from_torch(Heads(), images(1, (8,), 0)[0])


@pytest.mark.parametrize(("mode", "size"), [("bilinear", 33), ("bilinear", 20), ("bicubic", 20)])
def test_weights_behind_an_upsampling_keep_their_bits(mode: str, size: int) -> None:
    """They once shrank to one level or none, since the matrices took all of the 24-bit state."""
    x = images(16, (3, 10, 10), 0)
    model = randomized(Net(lambda n, x: F.interpolate(n.o(x), size=(size, size), mode=mode), o=c(8, 4)), 0)
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=32)
    integer = dn.quantize(spiking)
    assert max(int(np.abs(q.weight).max()) for q in integer.readout.projections) >= 15
    logits = [batched.run(g, x[:8]).logits[:, -1] * g.readout.unit[0] / 32 for g in (spiking, integer)]  # type: ignore[index]
    assert (
        np.abs(logits[0] - logits[1]).max() < 0.15 * np.abs(logits[0]).max()
    )  # matrices and weights of 4 to 5 bits: steps of 3 to 6 %


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "to",
    [{"size": (5, 7)}, {"size": (23, 17)}, {"scale_factor": (0.37, 0.8)}, {"size": 6, "align_corners": True}],
)
def test_a_resampling_without_aliases_is_its_matrices(mode: str, to: dict[str, object]) -> None:
    """torch itself antialiases a map of one column wrongly, which matrices were read from."""

    def forward(n: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return n.o(F.interpolate(n.a(x).relu(), mode=mode, antialias=True, **to))  # type: ignore[operator,arg-type]

    assert_converts(net(forward, a=c(8, 4), o=c(4, 2)), (3, 12, 12))


@pytest.mark.parametrize("example", [(8, 9), (2, 8, 9)], ids=["(H, W)", "(N, H, W)"])
def test_pictures_whose_channel_the_model_adds_itself_convert(example: tuple[int, ...]) -> None:
    """(H, W) was taken for features, (N, H, W) for channels."""

    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.l = c(1, 4, 3, stride=2), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.l(self.a(x.unsqueeze(1)).relu().mean((2, 3)))

    model, x = randomized(Grey(), 0), images(5, (8, 9), 1)
    analog = dn.from_torch(model, images(1, example, 0)[0])
    with torch.no_grad():
        wanted = model.double()(torch.from_numpy(x).double())
    np.testing.assert_allclose(analog.outputs(x)["l"], wanted, rtol=0, atol=1e-12)  # float64 on both sides


def test_a_flattened_output_has_the_models_shape_and_its_classes() -> None:
    model = randomized(nn.Sequential(c(2, 3, 3), nn.Flatten()), 0)
    analog = assert_converts(model, (2, 4, 4))
    x = images(8, (2, 4, 4), 1)
    graph = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=16))
    run = batched.run(graph, x)
    assert run.logits.shape == (8, 16, 12)
    assert run.accuracy(model(torch.from_numpy(x)).argmax(1).numpy(), 16) >= 0.75
    np.testing.assert_array_equal(reference.run(graph, x[:1]).logits, run.logits[:1])


SPELLINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "maximum with zeros": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum with a constant": lambda x: torch.maximum(x, torch.tensor(0.25)),
    "minimum with a constant": lambda x: torch.minimum(x, torch.tensor(0.25)),
    "LeakyReLU of slope 0": nn.LeakyReLU(0.0),
    "Threshold at its value": nn.Threshold(0.5, 0.5),
    "clamp from below": lambda x: x.clamp(min=-0.5),
    "clamp from above": lambda x: x.clamp(max=0.5),
    "Hardtanh": nn.Hardtanh(),
    "amax": lambda x: x.amax((2, 3), keepdim=True),
    "max over a row": lambda x: torch.max(x, 2, keepdim=True)[0],
    "max over flattened pixels": lambda x: x.flatten(2).max(2)[0][:, :, None, None],
    "rows masked": lambda x: x * torch.tensor([1.0, 0, 1, 1])[:, None],
    "pixels weighed by a product": lambda x: (
        x * torch.tensor([1.0, 0.5, 2, 1])[:, None] * torch.tensor([0.25, 1.0, 3, 1])
    ),
    "pixels masked": lambda x: x * (torch.arange(16).reshape(4, 4) % 3 > 0),
    "where a mask says": lambda x: torch.where(torch.arange(16).reshape(4, 4) % 3 > 0, x, torch.zeros(1)),
    "masked_fill": lambda x: x.masked_fill(torch.tensor([True, False, False, True]), 0.5),
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_another_spelling_converts(name: str) -> None:
    assert_converts(net(lambda n, x: n.h(SPELLINGS[name](n.a(x))), a=c(8, 4, 3), h=head(4)), (3, 6, 6))


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x.flip(0),
        lambda x: torch.roll(x, 1, 0),
        lambda x: x[[1, 0]],
        lambda x: torch.cat([x[1:], x[:1]]),
    ],
    ids=["flip", "roll", "index", "cat"],
)
def test_images_that_change_places_are_not_taken_for_themselves(
    move: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """The example is a batch of equal images, in which such a move is not to be seen."""
    with pytest.raises(UnsupportedModel, match="the batch axis first and apart"):
        dn.from_torch(net(lambda n, x: n.h(move(x)), h=head(8)), images(1, (3, 6, 6), 0)[0])


def test_weights_that_the_model_computes_are_computed_in_float64() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 4, 3))
    assert_converts(net(lambda n, x: n.h(F.relu(n.a(x))), a=layer, h=head(4)), (3, 6, 6))


def test_a_mask_before_a_convolution_and_behind_one() -> None:
    mask = torch.tensor([1.0, 0, 1, 1, 0, 1])[:, None] * torch.tensor([1.0, 1, 0, 1, 1, 1])
    analog = assert_converts(net(lambda n, x: n.h(F.relu(n.a(x * mask))), a=c(8, 4, 3), h=head(4)), (3, 6, 6))
    assert not analog.of(Relay)  # rows and columns of the projection
    assert_converts(
        net(lambda n, x: n.h(F.relu(n.a(x) * mask)), a=c(8, 4, 3, padding=1), h=head(4)), (3, 6, 6)
    )


def test_an_output_that_is_none_is_no_output() -> None:
    x = images(1, (3, 6, 6), 0)[0]
    assert len(dn.from_torch(net(lambda n, x: (n.h(x), None), h=head(8)), x).readouts) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_model_of_another_precision_converts(dtype: torch.dtype) -> None:
    model = net(lambda n, x: n.h(F.relu(n.a(x))), a=c(8, 4, 3), h=head(4)).to(dtype)
    x = images(2, (3, 6, 6), 0)
    with torch.no_grad():
        expected = copy.deepcopy(model).double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(
        dn.from_torch(model, x[0]).ann(x), expected, rtol=0, atol=1e-9
    )  # outputs below 100, in float64


# ---------------------------------------------------------------- one sentence, that helps


SMALL = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
IMAGE = np.zeros((2, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("model", "example", "match"),
    [
        (
            SMALL,
            np.zeros((3, 4, 4), np.float32),
            r"to have 2 channels, but got 3 channels.*; check the input's shape",
        ),
        (SMALL, np.zeros((2, 5, 4), np.float32), "check the input's shape"),
        (nn.Sequential(nn.LazyConv2d(3, 3)), IMAGE, r"0\.weight: has no values yet \(lazy"),
        (nn.Conv2d, IMAGE, "not a torch.nn.Module in Python; give the module itself"),
        (SMALL.state_dict(), IMAGE, "OrderedDict: not a torch.nn.Module"),
        (
            nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(2, 2))),
            np.zeros(2),
            r"hook \(WeightNorm\); call .*remove_weight_norm",
        ),
        (
            nn.Sequential(nn.GroupNorm(1, 2), nn.Conv2d(2, 2, 1)),
            IMAGE,
            r"aten\.(native_)?group_norm\.default at layer 0: ",
        ),
    ],
    ids=["channels", "size", "lazy", "a class", "weights", "weight_norm", "a layer of a Sequential"],
)
def test_a_model_that_cannot_be_traced_is_refused_with_the_reason(
    model: object, example: np.ndarray, match: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UnsupportedModel, match=match) as caught:
            dn.from_torch(model, example)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("example", [None, "image.png", (IMAGE, 3), np.zeros((0, 2, 4, 4), np.float32)])
def test_an_example_that_is_no_image_is_refused(example: object) -> None:
    with pytest.raises(OutOfRange, match=r"example_input: .* given"):
        dn.from_torch(SMALL, example)


def test_an_example_may_be_any_tensor() -> None:
    for dtype in (torch.bfloat16, torch.float64, torch.uint8):
        dn.from_torch(SMALL, torch.zeros(2, 4, 4, dtype=dtype))
    dn.from_torch(SMALL, torch.zeros(2, 4, 4, requires_grad=True))


def test_a_division_by_zero_is_told_where_it_happens() -> None:
    with pytest.raises(
        UnsupportedModel, match=r"aten\.div.* at .*: it multiplies a constant that is NaN or infinite"
    ):
        dn.from_torch(net(lambda n, x: n.h(x / torch.zeros(8, 1, 1)), h=head(8)), images(1, (3, 6, 6), 0)[0])
