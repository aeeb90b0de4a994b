"""Layouts take no synapse: images are permuted when they are read, and neurons are labelled as their readers
see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import images, randomized
from pieces import Net
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import ann, batched, lava_cpu, reference
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import Relay, SpikingGraph
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import follow
from exporters import netx, torch_module

MODELS = {
    "an image (H, W, C)": (
        lambda n, x: n.l(F.relu(n.c(x.permute(0, 3, 1, 2))).mean((2, 3))),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3, 2, 1), "l": nn.Linear(4, 3)},
    ),
    "an image (H, W, C), its bytes scaled by the model": (
        lambda n, x: n.l(F.relu(n.c((x / 255 - 0.5).permute(0, 3, 1, 2))).flatten(1)),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3, 2, 1), "l": nn.Linear(36, 3)},
    ),
    "an image (W, H, C)": (
        lambda n, x: n.l(F.relu(n.c(x.permute(0, 3, 2, 1))).mean((2, 3))),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3, 2, 1), "l": nn.Linear(4, 3)},
    ),
    "an image (H, W, C), padded": (
        lambda n, x: n.l(F.relu(n.c(F.pad(x.permute(0, 3, 1, 2), (0, 1, 2, 0)))).mean((2, 3))),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3, 2), "l": nn.Linear(4, 3)},
    ),
    "an image (H, W, C), padded by reflection": (
        lambda n, x: n.l(
            F.relu(n.c(F.pad(x.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="reflect"))).mean((2, 3))
        ),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3, 2), "l": nn.Linear(4, 3)},
    ),
    "an image (H, W, C), cut": (
        lambda n, x: n.l(F.relu(n.c(x.permute(0, 3, 1, 2)[:, :, 1:, :-1])).mean((2, 3))),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3), "l": nn.Linear(4, 3)},
    ),
    "(H, W, C) between all layers": (
        lambda n, x: n.l(last(n.d, F.pad(last(n.c, x), (0, 0, 1, 0, 1, 0))).mean((1, 2))),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3, padding=1), "d": nn.Conv2d(4, 4, 2), "l": nn.Linear(4, 3)},
    ),
    "(H, W, C), the sum of rows": (
        lambda n, x: n.l(last(n.c, x).sum(2).flatten(1)),
        (6, 5, 3),
        {"c": nn.Conv2d(3, 4, 3), "l": nn.Linear(16, 3)},
    ),
    "a flat image": (
        lambda n, x: n.l(F.relu(n.c(x.view(-1, 1, 6, 5))).flatten(1)),
        (30,),
        {"c": nn.Conv2d(1, 2, 3), "l": nn.Linear(24, 3)},
    ),
    "a flat image, pooled": (
        lambda n, x: n.l(F.max_pool2d(x.view(-1, 1, 6, 5), 2).flatten(1)),
        (30,),
        {"l": nn.Linear(6, 3)},
    ),
    "a flat image, averaged": (
        lambda n, x: n.l(F.avg_pool2d(x.view(-1, 1, 6, 5), 2).flatten(1)),
        (30,),
        {"l": nn.Linear(6, 3)},
    ),
    "a flat image, read twice": (
        lambda n, x: n.l(F.relu(n.c(x.view(-1, 3, 5, 2).permute(0, 2, 1, 3))).flatten(1)) + n.d(x),
        (30,),
        {"c": nn.Conv2d(5, 2, 2), "l": nn.Linear(4, 3), "d": nn.Linear(30, 3)},
    ),
    "sequences (L, C)": (
        lambda n, x: n.l(F.relu(n.c(x.transpose(1, 2))).mean(2)),
        (9, 3),
        {"c": nn.Conv1d(3, 4, 3), "l": nn.Linear(4, 3)},
    ),
    "sequences (L, C) between all layers": (
        lambda n, x: n.l(F.relu(n.c(F.pad(x.transpose(1, 2), (1, 0)))).transpose(1, 2).mean(1)),
        (9, 3),
        {"c": nn.Conv1d(3, 4, 3), "l": nn.Linear(4, 3)},
    ),
    "a decoder": (
        lambda n, x: n.u(F.relu(n.l(x)).view(-1, 4, 3, 2)),
        (5,),
        {"l": nn.Linear(5, 24), "u": nn.ConvTranspose2d(4, 2, 2, 2)},
    ),
    "a decoder that unflattens (H, W, C)": (
        lambda n, x: n.u(F.relu(n.l(x)).view(-1, 3, 2, 4).permute(0, 3, 1, 2)),
        (5,),
        {"l": nn.Linear(5, 24), "u": nn.Conv2d(4, 2, 3, padding=1)},
    ),
    "a decoder of sequences": (
        lambda n, x: n.u(F.relu(n.l(x)).unflatten(1, (4, 6))),
        (5,),
        {"l": nn.Linear(5, 24), "u": nn.ConvTranspose1d(4, 2, 2, 2)},
    ),
    "a decoder of two vectors, added": (
        lambda n, x: n.u(F.relu(n.l(x) + n.m(F.relu(x))).view(-1, 4, 3, 2)),
        (5,),
        {"l": nn.Linear(5, 24), "m": nn.Linear(5, 24), "u": nn.Conv2d(4, 2, 2)},
    ),
    "a vector read as a map and as itself": (
        lambda n, x: (n.u(F.relu(n.l(x)).view(-1, 4, 3, 2)), n.m(F.relu(n.l(x)))),
        (5,),
        {"l": nn.Linear(5, 24), "u": nn.Conv2d(4, 2, 2), "m": nn.Linear(24, 3)},
    ),
    "an autoencoder": (
        lambda n, x: n.u(F.relu(n.m(F.relu(n.l(F.relu(n.c(x)).flatten(1))))).view(-1, 4, 3, 2)),
        (2, 5, 4),
        {
            "c": nn.Conv2d(2, 3, 3),
            "l": nn.Linear(18, 6),
            "m": nn.Linear(6, 24),
            "u": nn.ConvTranspose2d(4, 2, 2, 2),
        },
    ),
    "maps given out as (H, W, C)": (
        lambda n, x: n.u(F.relu(n.c(x))).permute(0, 2, 3, 1),
        (2, 5, 4),
        {"c": nn.Conv2d(2, 3, 3, padding=1), "u": nn.Conv2d(3, 2, 1)},
    ),
    "boxes of several scales": (
        lambda n, x: boxes(n, F.relu(n.c(x))),
        (2, 6, 4),
        {
            "c": nn.Conv2d(2, 3, 3, padding=1),
            "a": nn.Conv2d(3, 8, 3, padding=1),
            "b": nn.Conv2d(3, 8, 3, 2, 1),
        },
    ),
    "boxes, some of them scaled": (
        lambda n, x: boxes(n, F.relu(n.c(x)))[..., 1:] * torch.tensor([2.0, 2.0, 0.5]),
        (2, 6, 4),
        {
            "c": nn.Conv2d(2, 3, 3, padding=1),
            "a": nn.Conv2d(3, 8, 3, padding=1),
            "b": nn.Conv2d(3, 8, 3, 2, 1),
        },
    ),
    "feature maps of a ReLU, given out as (H, W, C)": (
        lambda n, x: F.relu(n.c(x)).permute(0, 2, 3, 1),
        (2, 5, 4),
        {"c": nn.Conv2d(2, 3, 3, padding=1)},
    ),
    "maps read as sequences": (
        lambda n, x: n.u(F.relu(n.c(x)).flatten(2)),
        (2, 5, 4),
        {"c": nn.Conv2d(2, 3, 3, padding=1), "u": nn.Conv1d(3, 2, 5)},
    ),
    "maps read as maps of other sides": (
        lambda n, x: n.u(F.relu(n.c(x)).reshape(-1, 3, 10, 2)),
        (2, 5, 4),
        {"c": nn.Conv2d(2, 3, 3, padding=1), "u": nn.Conv2d(3, 2, 2)},
    ),
    "maps read as maps of fewer channels": (
        lambda n, x: n.u(F.relu(n.c(x)).reshape(-1, 2, 10, 4)),
        (2, 5, 4),
        {"c": nn.Conv2d(2, 4, 3, padding=1), "u": nn.Conv2d(2, 2, 2)},
    ),
    "sequences read as maps": (
        lambda n, x: n.u(F.relu(n.c(x)).reshape(-1, 3, 4, 2)),
        (2, 8),
        {"c": nn.Conv1d(2, 3, 3, padding=1), "u": nn.Conv2d(3, 2, 2)},
    ),
}


def last(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A convolution and ReLU of maps whose channels stand last."""
    return F.relu(layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


def boxes(n: nn.Module, y: torch.Tensor) -> torch.Tensor:
    """(N, boxes, 4) of 2 anchors at each pixel of two maps."""
    scales = [
        head(y).unflatten(1, (2, 4)).permute(0, 3, 4, 1, 2).reshape(len(y), -1, 4) for head in (n.a, n.b)
    ]  # type: ignore[operator]
    return torch.cat(scales, 1)


def labelled(name: str) -> tuple[nn.Module, np.ndarray]:
    forward, shape, layers = MODELS[name]
    return randomized(Net(forward, **layers), 2), images(6, shape, 1)  # type: ignore[arg-type]


def integers(model: nn.Module, x: np.ndarray) -> dn.SpikingGraph:
    analog = dn.from_torch(model, x[0])
    return dn.quantize(dn.convert(analog, dn.calibrate(analog, x), steps=4, levels=3))


@pytest.mark.parametrize("name", MODELS)
def test_a_layout_takes_no_synapse_and_changes_nothing(name: str, tmp_path: Path) -> None:
    model, x = labelled(name)
    analog = dn.from_torch(model, x[0])
    assert not analog.of(Relay)
    found = dn.inspect(model, x[0])
    assert (
        found.graph_macs <= 4 * found.macs
    )  # a 2x2 transposed convolution is one with three zeros for each pixel
    with torch.no_grad():
        expected = model(torch.from_numpy(x))
    for own, out in zip(
        analog.outputs(x).values(), expected if isinstance(expected, tuple) else (expected,), strict=True
    ):
        np.testing.assert_allclose(
            own, out.numpy(), rtol=0, atol=100 * 2**-24 * max(1, own.max())
        )  # sums of 100 terms in float32
    assert np.array_equal(analog.ann(x).argmax(1), ann.ann(analog, x).argmax(1))
    assert max(q.weight.size for p in analog.populations[1:] for q in getattr(p, "projections", ())) <= max(
        tensor.numel() for tensor in model.state_dict().values()
    )
    integer = integers(model, x)
    run = batched.run(integer, x, record=True)
    exact = reference.run(integer, x)
    assert np.array_equal(run.logits, exact.logits)
    assert all(np.array_equal(run.spikes[p], exact.spikes[p]) for p in exact.spikes)
    module = torch_module.module(integer)(torch.from_numpy(x))
    assert np.array_equal(run.logits, (module[0] if isinstance(module, tuple) else module).numpy())
    again = netx.read(netx.write(tmp_path / "network.net", integer))
    assert again == integer
    assert np.array_equal(batched.run(again, x).logits, run.logits)


@pytest.mark.parametrize(
    "name",
    [
        "an image (H, W, C)",
        "sequences (L, C)",
        "a flat image",
        "a decoder",
        "boxes of several scales",
        "maps read as sequences",
    ],
)
def test_recipes_read_such_images_too(name: str) -> None:
    model, x = labelled(name)
    analog = dn.from_torch(model, x[0])
    many = np.concatenate([x, x[:, ::-1]])
    found = follow(recipes.BEST, analog, dn.calibrate(analog, many), many)
    run = batched.run(found.integer, x, steps=4)
    assert np.array_equal(run.logits, reference.run(found.integer, x, steps=4).logits)


@pytest.mark.parametrize(
    "name",
    [
        "an image (H, W, C)",
        "a decoder that unflattens (H, W, C)",
        "boxes of several scales",
        "maps read as sequences",
    ],
)
def test_lava_gives_the_same(name: str) -> None:
    pytest.importorskip("lava")
    model, x = labelled(name)
    integer = integers(model, x)
    run = lava_cpu.run(integer, x[:2])
    exact = reference.run(integer, x[:2])
    assert np.array_equal(run.logits, exact.logits)
    assert all(np.array_equal(run.spikes[p], exact.spikes[p]) for p in exact.spikes)


def test_the_input_keeps_the_user_s_shape_and_one_scale_for_each_colour() -> None:
    model, x = labelled("an image (H, W, C)")
    x[..., 2] *= 10
    image = integers(model, x).input
    assert (image.image_shape, image.shape, image.scale is not None and image.scale.shape) == (
        (6, 5, 3),
        (3, 6, 5),
        (3,),
    )
    assert np.array_equal(image.arranged(x), x.transpose(0, 3, 1, 2))
    assert image.scale is not None
    assert image.scale[2] > 2 * image.scale[0]


def test_images_of_another_order_are_refused_by_the_user_s_shape() -> None:
    model, x = labelled("an image (H, W, C)")
    with pytest.raises(OutOfRange, match=r"shape \(6, 3, 6, 5\) given, \(N, 6, 5, 3\) needed"):
        batched.run(integers(model, x), x.transpose(0, 3, 1, 2))


BROKEN = {
    "an element of the image twice": (
        "an image (H, W, C)",
        "layer/0/order",
        lambda a: np.where(a == 1, 0, a),
        "each of 90 elements",
    ),
    "an image of another size": (
        "an image (H, W, C)",
        "layer/0/view",
        lambda a: a + 1,
        r"images \(7, 6, 4\) do not fill \(3, 6, 5\)",
    ),
    "an image of sizes whose product wraps": (
        "an image (H, W, C)",
        "layer/0/view",
        lambda a: a * 0 + (1 << 62),
        "do not fill|integers",
    ),
    "an order of fewer elements": (
        "an image (H, W, C)",
        "layer/0/order",
        lambda a: a[1:],
        "each of 90 elements",
    ),
    "a neuron driven twice": (
        "maps given out as (H, W, C)",
        "layer/2/target_order",
        lambda a: a * 0,
        "drives a neuron twice",
    ),
    "a neuron outside": (
        "maps given out as (H, W, C)",
        "layer/2/target_order",
        lambda a: a + 1,
        "outside 0 to 39",
    ),
    "fewer currents": (
        "maps given out as (H, W, C)",
        "layer/2/target_order",
        lambda a: a[1:],
        "an order of 39 for the 40 currents",
    ),
    "floats for an order": (
        "maps given out as (H, W, C)",
        "layer/2/target_order",
        lambda a: a * 1.5,
        "target_order",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_whose_order_is_none_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    network, key, spoil, match = BROKEN[name]
    path = netx.write(tmp_path / "network.net", integers(*labelled(network)))
    with h5py.File(path, "r+") as file:
        values = file[key][()]
        del file[key]
        file[key] = spoil(values)  # type: ignore[no-untyped-call]
    with pytest.raises(BadFile, match=match):
        netx.read(path)


def test_an_order_takes_each_element_once() -> None:
    model, x = labelled("an image (H, W, C)")
    analog = dn.from_torch(model, x[0])
    assert analog.input.order is not None
    twice = np.where(analog.input.order == 1, 0, analog.input.order)
    with pytest.raises(OutOfRange, match="does not take each of 90 elements of an image once"):
        replace(analog, populations=(replace(analog.input, order=twice), *analog.populations[1:]))


# ---------------------------------------------------------------- biases of neurons in another order


def straight_and_permuted(correct: tuple[str, ...]) -> list[tuple[SpikingGraph, np.ndarray]]:
    """The integers of one network, coarse enough to lose currents, and their sums (N, C, H, W): as it is, and
    given out as (H, W, C)."""
    modules = {"c": nn.Conv2d(2, 3, 3, padding=1), "u": nn.Conv2d(3, 4, 3, padding=1)}
    x, made = images(24, (2, 5, 4), 0), []
    for permute in (False, True):
        model = randomized(
            Net(
                lambda n, x, p=permute: (lambda y: y.permute(0, 2, 3, 1) if p else y)(n.u(F.relu(n.c(x)))),
                **modules,
            ),
            0,
        )
        recipe = replace(recipes.BEST, steps=4, correct=correct, weight_bits=3)
        analog = dn.from_torch(model, x[0])
        integer = follow(recipe, analog, dn.calibrate(analog, x), x).integer
        last = batched.run(integer, x).logits[:, -1]
        made.append((integer, last.transpose(0, 3, 1, 2) if permute else last))
    return made


def test_compensated_rounding_gives_permuted_read_outs_the_same_biases() -> None:
    """A row's lost current is its neurons', wherever they stand: every sum is that of the network that does
    not permute."""
    (plain, sums), (permuted, others) = straight_and_permuted(())
    assert permuted.readout.projections[0].target_order is not None
    assert plain.readout.bias.shape == (4, 1, 1)
    np.testing.assert_array_equal(sums, others)


def test_fit_shifts_the_biases_of_permuted_read_outs_by_row() -> None:
    """Sums of floats in another order move a bias by at most its last digit: a unit, in each of 4 steps."""
    (_, sums), (_, others) = straight_and_permuted(("bias",))
    assert np.abs(sums - others).max() <= 4


def test_boxes_of_several_scales_keep_their_mean_currents() -> None:
    """Two projections that drive neurons of their own: on average, 3-bit weights move the outputs less than
    with biases left alone."""
    forward, shape, modules = MODELS["boxes of several scales"]
    x = images(24, shape, 0)
    analog = dn.from_torch(randomized(Net(forward, **modules), 0), x[0])
    recipe = replace(recipes.BEST, steps=8, correct=(), weight_bits=3)
    made = follow(recipe, analog, dn.calibrate(analog, x), x)
    out, meant = made.integer.readout, batched.run(made.spiking, x).values(8)
    alone = replace(
        out,
        bias=np.rint(made.spiking.readout.bias / out.unit.reshape(-1, *(1,) * (len(out.shape) - 1))).astype(
            np.int32
        ),
    )
    without = SpikingGraph(tuple(alone if p is out else p for p in made.integer), steps=8)
    lost, left = (
        np.abs((batched.run(g, x).values(8) - meant).mean(axis=(0, 1))).mean()
        for g in (without, made.integer)
    )
    assert left < lost
