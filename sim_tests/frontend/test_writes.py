"""Writes into part of a tensor, circular padding, and products with one matrix as einsum writes them: each
against the model itself; what differs between images or depends on them is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from graphs import images
from one_layer import Net, assert_converts, c, head, net

import dnisnm_lava as dn
from dnisnm_lava.errors import UnsupportedModel

Body = Callable[[torch.Tensor, Net], torch.Tensor]


def written(x: torch.Tensor, write: Callable[[torch.Tensor], object]) -> torch.Tensor:
    """A copy of x, written into."""
    y = x.clone()
    write(y)
    return y


def into(x: torch.Tensor, place: object, value: object) -> torch.Tensor:
    return written(x, lambda y: y.__setitem__(place, value))


ALL = slice(None)
WRITES: dict[str, Body] = {
    "a row": lambda x, n: written(x, lambda y: y[:, :, 1].copy_(y[:, :, 0])),
    "every second column": lambda x, n: into(x, (..., slice(0, 4, 2)), x[..., 1::2]),
    "a channel of a constant": lambda x, n: written(x, lambda y: y[:, 2].fill_(0.5)),
    "a tensor of numbers": lambda x, n: into(x, (ALL, 1), n.mix),
    "pixels of a mask": lambda x, n: into(x, (..., n.mix > 0.3), 0.25),
    "rows of an index": lambda x, n: into(x, (ALL, ALL, torch.tensor([0, 2])), x[:, :, [1, 3]]),
    "the middle of zeros": lambda x, n: written(
        x.new_zeros(x.shape[0], 4, 6, 6), lambda y: y[:, :, 1:-1, 1:-1].copy_(x)
    )[:, :, :4, 2:],
    "fresh memory": lambda x, n: written(
        torch.empty_like(x), lambda y: (y[:, :1].copy_(x[:, 3:]), y[:, 1:].copy_(x[:, :3]))
    ),
    "all of it": lambda x, n: written(torch.zeros_like(x), lambda y: y.copy_(x)),
    "constants alone": lambda x, n: x + written(torch.zeros_like(x), lambda y: y[:, 1:3, :, 0].fill_(2.0)),
    "circular padding": lambda x, n: F.pad(x, (1, 2, 0, 1), mode="circular")[:, :, :4, 3:],
    "a circular convolution": lambda x, n: n.circular(x),
}
PRODUCTS: dict[str, Body] = {
    "channels": lambda x, n: torch.einsum("nchw,oc->nohw", x, n.mix),
    "rows": lambda x, n: torch.einsum("nchw,oh->ncow", x, n.mix),
    "columns": lambda x, n: torch.einsum("nchw,ow->ncho", x, n.mix),
    "a vector": lambda x, n: torch.einsum("nchw,c->nhw", x, n.mix[0])[:, None].expand(-1, 4, -1, -1),
    "all": lambda x, n: torch.einsum("nchw,ochw->no", x, n.mix[:, None, None] * n.mix[:, :, None])[
        :, :, None, None
    ].expand(-1, -1, 4, 4),
    "a matrix in front": lambda x, n: torch.bmm(n.mix.expand(len(x), 4, 4), x.flatten(2)).reshape(x.shape),
    "a matrix behind": lambda x, n: (x[:, 0] @ n.mix.expand(len(x), 4, 4))[:, None].expand(-1, 4, -1, -1),
}
CASES = {f"write: {k}": v for k, v in WRITES.items()} | {f"product: {k}": v for k, v in PRODUCTS.items()}


def model(body: Body) -> torch.nn.Module:
    made = net(
        lambda n, x: n.h(F.relu(body(n.a(x), n))),
        a=c(8, 4, 3),
        h=head(4),
        circular=torch.nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    )
    made.register_buffer("mix", torch.linspace(-1.0, 1.0, 16).reshape(4, 4))
    return made


@pytest.mark.parametrize("name", CASES)
def test_it_is_what_the_model_computes(name: str) -> None:
    assert_converts(model(CASES[name]), (3, 6, 6))


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (lambda x, n: x * (x.flatten(2) @ x.flatten(2).transpose(1, 2))[..., None], "product of two tensors"),
        (lambda x, n: x * torch.einsum("nchw,nchw->nhw", x, x)[:, None], "joined with the batch|two tensors"),
        (lambda x, n: x @ torch.stack([n.mix] * 3 + [n.mix.T]), "joined with the batch|matrix of its own"),
        (lambda x, n: into(x, slice(0, 1), 0.0), "batch axis first"),
        (lambda x, n: into(x, 1, x[0]), "batch axis first"),
        (lambda x, n: into(x, x > 0, 0.5), "depends on the input|where the input says|constant indices"),
    ],
)
def test_what_has_no_meaning_is_refused(body: Body, match: str) -> None:
    with pytest.raises(UnsupportedModel, match=match):
        dn.from_torch(model(body), images(1, (3, 6, 6), 0)[0])
