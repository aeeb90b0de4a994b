"""A small network for every piece of a network that converts, for every piece that is refused, and a
Hypothesis strategy for networks of such pieces.

Factories give models that are ready: eval mode, seeded weights. Constants are buffers outside of the state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from graphs import randomized
from hypothesis import strategies as st
from torch import Tensor, nn

Shape = tuple[int, ...]
Forward = Callable[..., object]
Factory = Callable[[], nn.Module]


class Net(nn.Module):
    """`forward` with named layers (modules) and constants (tensors)."""

    def __init__(self, forward: Forward, **layers: nn.Module | Tensor) -> None:
        super().__init__()
        self.body = forward
        for name, layer in layers.items():
            if isinstance(layer, Tensor):
                self.register_buffer(name, layer, persistent=False)
            else:
                self.add_module(name, layer)

    def forward(self, x: Tensor) -> object:
        return self.body(self, x)


class Body(Net):
    """A convolution (or a linear layer) of 4 channels and a ReLU, then `forward`, then a linear layer."""

    def __init__(self, forward: Forward, shape: Shape, **layers: nn.Module | Tensor) -> None:
        super().__init__(forward, **layers)
        kinds = {1: nn.Linear, 2: nn.Conv1d, 3: nn.Conv2d}
        size = {} if len(shape) == 1 else {"kernel_size": 3, "padding": 1}
        self.first = kinds[len(shape)](shape[0], 4, **size)
        with torch.no_grad():
            self.last = nn.Linear(self.eval().features(torch.zeros(1, *shape)).shape[1], 3)

    def features(self, x: Tensor) -> Tensor:
        return self.body(self, F.relu(self.first(x))).flatten(1)  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.features(x))


def ready(model: nn.Module, seed: int = 1) -> Factory:
    return lambda: randomized(copy.deepcopy(model), seed)


def net(
    forward: Forward, shape: Shape = (2, 6, 6), *, seed: int = 1, **layers: nn.Module | Tensor
) -> tuple[Factory, Shape]:
    return ready(Net(forward, **layers), seed), shape


def body(
    forward: Forward, shape: Shape = (2, 6, 6), *, seed: int = 1, **layers: nn.Module | Tensor
) -> tuple[Factory, Shape]:
    return ready(Body(forward, shape, **layers), seed), shape


def conv(*args: object, shape: Shape = (2, 6, 6), **kwargs: object) -> tuple[Factory, Shape]:
    """A convolution of the 4 channels, and a ReLU."""
    kind = nn.Conv1d if len(shape) == 2 else nn.Conv2d
    return body(lambda n, x: F.relu(n.conv(x)), shape, conv=kind(4, *args, **kwargs))  # type: ignore[arg-type]


def layer(module: nn.Module, shape: Shape = (2, 6, 6)) -> tuple[Factory, Shape]:
    """One layer between the first ReLU and a further convolution with its ReLU."""
    kind = nn.Conv1d if len(shape) == 2 else nn.Conv2d
    with torch.no_grad():
        channels = module.eval()(torch.zeros(1, 4, *shape[1:])).shape[1]
    return body(lambda n, x: F.relu(n.conv(n.layer(x))), shape, layer=module, conv=kind(channels, 3, 2))


def mapped(forward: Callable[[Tensor], Tensor], shape: Shape = (2, 6, 6)) -> tuple[Factory, Shape]:
    """`layer` for a function."""
    return layer(Function(forward), shape)


def rectified(relu: Callable[[Tensor], Tensor]) -> tuple[Factory, Shape]:
    return body(lambda n, x: relu(n.conv(x)), (2, 4, 4), conv=nn.Conv2d(4, 4, 3, padding=1))


class Function(nn.Module):
    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: Tensor) -> Tensor:
        return self.function(*x)


def column(*values: float) -> Tensor:
    """A constant for each channel of a map."""
    return torch.tensor(values).reshape(-1, 1, 1)


def shuffled(x: Tensor) -> Tensor:
    return (
        x.view(x.size(0), 2, 2, x.size(2), x.size(3))
        .transpose(1, 2)
        .contiguous()
        .view(x.size(0), -1, x.size(2), x.size(3))
    )


def option_a(x: Tensor) -> Tensor:
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))


def zero_channels(x: Tensor) -> Tensor:
    return torch.cat([x, torch.zeros(x.size(0), 2, x.size(2), x.size(3))], 1)


def channels_last(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return function(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def in_place(n: nn.Module, x: Tensor) -> Tensor:
    y = n.a(x)
    y += x
    y *= 0.5
    return y.relu_()


# ---------------------------------------------------------------- blocks of known networks


def conv_bn(*args: int, **kwargs: int) -> nn.Sequential:
    """A convolution without bias, and its batch norm."""
    return nn.Sequential(nn.Conv2d(*args, bias=False, **kwargs), nn.BatchNorm2d(args[1]))  # type: ignore[arg-type]


class InvertedResidual(nn.Module):
    """MobileNetV2: expand, depthwise, linear bottleneck."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.expand, self.depthwise = (
            conv_bn(inputs, 6, kernel_size=1),
            conv_bn(6, 6, kernel_size=3, padding=1, groups=6),
        )
        self.project, self.same = conv_bn(6, outputs, kernel_size=1), inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(F.relu6(self.depthwise(F.relu6(self.expand(x)))))
        return x + y if self.same else y


class PreActivation(nn.Module):
    """A block of the second ResNet: batch norm and ReLU come first, the sum is linear."""

    def __init__(self) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))


class Dense(nn.Module):
    """A layer of DenseNet, growth 4."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.bn, self.conv = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 4, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.bn(x)))], 1)


class Fire(nn.Module):
    """SqueezeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.one, self.three = (
            nn.Conv2d(4, 2, 1),
            nn.Conv2d(2, 3, 1),
            nn.Conv2d(2, 3, 3, padding=1),
        )
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.squeeze(x))
        return torch.cat([self.act(self.one(x)), self.act(self.three(x))], 1)


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(conv_bn(4, 2, kernel_size=1), nn.ReLU())
        self.three = nn.Sequential(
            conv_bn(4, 2, kernel_size=1), nn.ReLU(), conv_bn(2, 3, kernel_size=3, padding=1), nn.ReLU()
        )
        self.five = nn.Sequential(
            conv_bn(4, 1, kernel_size=1), nn.ReLU(), conv_bn(1, 2, kernel_size=5, padding=2), nn.ReLU()
        )
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(4, 2, kernel_size=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in (self.one, self.three, self.five, self.pool)], 1)


class ShuffleUnit(nn.Module):
    """ShuffleNetV2: half of the channels pass, the other half is convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv_bn(2, 2, kernel_size=1),
            nn.ReLU(),
            conv_bn(2, 2, kernel_size=3, padding=1, groups=2),
            conv_bn(2, 2, kernel_size=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        return shuffled(torch.cat([a, self.branch(b)], 1))


class OptionA(nn.Module):
    """A block of the CIFAR ResNet that halves the map and adds zero channels to its shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (
            conv_bn(4, 8, kernel_size=3, stride=2, padding=1),
            conv_bn(8, 8, kernel_size=3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.b(F.relu(self.a(x))) + option_a(x))


class Segmentation(nn.Module):
    """A tiny FCN: the read-out is a map as large as the image."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(F.relu(self.deep(F.relu(self.down(x)))))
        return F.interpolate(y, size=x.shape[-2:], mode="bilinear", align_corners=False)


def audio() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(1, 4, 5, stride=2),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(4, 6, 3),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def classifier(*head: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3), *head)


def c(inputs: int = 4, outputs: int = 4, kernel: int | tuple[int, int] = 1, **kwargs: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **kwargs)  # type: ignore[arg-type]


CONVOLUTIONS = {
    "conv2d, strides": conv(3, 3, stride=(2, 1), padding=1),
    "conv2d, stride over a remainder": conv(3, 2, stride=3, shape=(2, 7, 7)),
    "conv2d, kernel and padding uneven": conv(3, (3, 1), padding=(1, 2), bias=False),
    "conv2d, padding same": conv(3, 3, padding="same"),
    "conv2d, padding same, even kernel": conv(3, (2, 4), padding="same"),
    "conv2d, padding same, dilated": conv(3, 3, padding="same", dilation=2),
    "conv2d, padding valid": conv(3, 3, padding="valid"),
    "conv2d, asymmetric pad": body(lambda n, x: F.relu(n.a(F.pad(x, (0, 1, 2, 0)))), a=c(4, 3, 3, stride=2)),
    "conv2d, negative pad": body(lambda n, x: F.relu(n.a(F.pad(x, (-1, -2, 0, -1)))), a=c(4, 3, 2)),
    "conv2d, pad that crops and adds": body(lambda n, x: F.relu(n.a(F.pad(x, (1, -1, -2, 2)))), a=c(4, 3, 3)),
    "conv2d, nn.ZeroPad2d": layer(nn.ZeroPad2d((1, 0, 0, 2))),
    "conv2d, dilation": conv(3, 3, dilation=2),
    "conv2d, groups": conv(6, 3, padding=1, groups=2),
    "conv2d, depthwise, 256 groups": body(
        lambda n, x: F.relu(n.dw(F.relu(n.a(x)))).mean((2, 3)),
        (2, 2, 2),
        a=c(4, 256),
        dw=c(256, 256, 2, padding=1, groups=256),
    ),
    "conv2d, depthwise, multiplier": conv(8, 3, padding=1, groups=4),
    "conv1d, stride": conv(3, 3, stride=2, padding=1, shape=(2, 12)),
    "conv1d, padding same": conv(3, 4, padding="same", shape=(2, 12)),
    "conv1d, padding valid": conv(3, 3, padding="valid", shape=(2, 12)),
    "conv1d, asymmetric pad": body(
        lambda n, x: F.relu(n.a(F.pad(x, (4, 0)))), (2, 12), a=nn.Conv1d(4, 3, 3, dilation=2)
    ),
    "conv1d, negative pad": body(lambda n, x: F.relu(n.a(F.pad(x, (-2, 1)))), (2, 12), a=nn.Conv1d(4, 3, 3)),
    "conv1d, dilation and groups": conv(6, 3, dilation=3, groups=2, shape=(2, 12)),
    "conv1d, depthwise, multiplier": conv(8, 3, groups=4, shape=(2, 12)),
    "conv_transpose2d": body(
        lambda n, x: F.relu(n.up(x)), (2, 4, 4), up=nn.ConvTranspose2d(4, 3, 3, padding=1)
    ),
    "conv_transpose2d, stride 2, output padding": body(
        lambda n, x: F.relu(n.up(x)),
        (2, 3, 3),
        up=nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1),
    ),
    "conv_transpose2d, groups": body(
        lambda n, x: F.relu(n.up(x)), (2, 3, 3), up=nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2)
    ),
    "conv_transpose2d, uneven, dilated": body(
        lambda n, x: F.relu(n.up(x)),
        (2, 3, 4),
        up=nn.ConvTranspose2d(4, 3, (2, 3), (1, 2), (0, 1), dilation=(2, 1), bias=False),
    ),
    "conv_transpose1d, stride 2": body(
        lambda n, x: F.relu(n.up(x)),
        (2, 7),
        up=nn.ConvTranspose1d(4, 3, 3, stride=2, padding=1, output_padding=1),
    ),
    "conv_transpose1d, groups": body(
        lambda n, x: F.relu(n.up(x)), (2, 7), up=nn.ConvTranspose1d(4, 4, 3, groups=4)
    ),
    "linear on vectors": body(lambda n, x: F.relu(n.fc(x)), (6,), fc=nn.Linear(4, 5, bias=False)),
    "linear on channel maps": body(
        lambda n, x: F.relu(channels_last(n.fc, x)), (2, 4, 4), fc=nn.Linear(4, 5)
    ),
    "linear on channel maps, ReLU in the middle": body(
        lambda n, x: channels_last(lambda y: n.b(F.relu(n.a(y))), x),
        (2, 4, 4),
        a=nn.Linear(4, 5),
        b=nn.Linear(5, 4),
    ),
}

NORMS = {
    "batch norm after a convolution": body(
        lambda n, x: F.relu(n.bn(n.a(x))), a=c(4, 3, 3), bn=nn.BatchNorm2d(3)
    ),
    "batch norm without affine": body(
        lambda n, x: F.relu(n.bn(n.a(x))), a=c(4, 3, 3), bn=nn.BatchNorm2d(3, affine=False)
    ),
    "batch norm before a padded convolution": layer(nn.BatchNorm2d(4)),
    "batch norm before a convolution": body(
        lambda n, x: F.relu(n.a(n.bn(x))), a=c(4, 3, 3, padding=1), bn=nn.BatchNorm2d(4)
    ),
    "batch norm after a concat, before a ReLU": body(
        lambda n, x: F.relu(n.bn(torch.cat([x, n.a(x)], 1))), a=c(4, 3, 3, padding=1), bn=nn.BatchNorm2d(7)
    ),
    "batch norm on flattened maps": body(
        lambda n, x: F.relu(n.fc(n.bn(x.flatten(1)))), (2, 4, 4), bn=nn.BatchNorm1d(64), fc=nn.Linear(64, 5)
    ),
    "batch norm 1d after a convolution": body(
        lambda n, x: F.relu(n.bn(n.a(x))), (2, 9), a=nn.Conv1d(4, 3, 3), bn=nn.BatchNorm1d(3)
    ),
    "batch norm 1d after a linear layer": body(
        lambda n, x: F.relu(n.bn(n.a(x))), (6,), a=nn.Linear(4, 5), bn=nn.BatchNorm1d(5)
    ),
    "batch norm of the image": net(
        lambda n, x: n.last(F.relu(n.a(n.bn(x))).flatten(1)),
        bn=nn.BatchNorm2d(2),
        a=c(2, 4, 3, padding=1),
        last=nn.Linear(144, 3),
    ),
}

POOLS = {
    "average pool, overlapping": layer(nn.AvgPool2d(3, 2)),
    "average pool, ceil mode": layer(nn.AvgPool2d(2, 2, ceil_mode=True), (2, 7, 5)),
    "average pool, ceil mode, padding": layer(nn.AvgPool2d(3, 2, 1, ceil_mode=True)),
    "average pool, padding": layer(nn.AvgPool2d(3, 2, 1)),
    "average pool, padding not counted": layer(nn.AvgPool2d(3, 2, 1, count_include_pad=False)),
    "average pool, divisor": layer(nn.AvgPool2d(2, divisor_override=3)),
    "average pool 1d": layer(nn.AvgPool1d(3, 2, 1), (2, 12)),
    "average pool, then a ReLU": body(lambda n, x: F.relu(F.avg_pool2d(n.a(x), 2)), a=c(4, 3, 3, padding=1)),
    "adaptive average pool that divides": layer(nn.AdaptiveAvgPool2d((3, 2))),
    "adaptive average pool that does not divide": layer(nn.AdaptiveAvgPool2d((3, 2)), (2, 5, 7)),
    "adaptive average pool 1d": layer(nn.AdaptiveAvgPool1d(5), (2, 12)),
    "global average pool": body(lambda n, x: F.adaptive_avg_pool2d(x, 1)),
    "mean over both axes": body(lambda n, x: x.mean((2, 3))),
    "mean over one axis, kept": mapped(lambda x: x.mean(2, keepdim=True).expand(-1, -1, 2, -1)),
    "mean over one axis": body(lambda n, x: F.relu(n.a(x.mean(3))), a=nn.Conv1d(4, 3, 3)),
    "mean over channels": mapped(lambda x: x.mean(1, keepdim=True)),
    "mean over flattened positions": body(lambda n, x: x.flatten(2).mean(2)),
}

RESAMPLED = {
    "nearest, scale 2": mapped(lambda x: F.interpolate(x, scale_factor=2), (2, 3, 3)),
    "nearest, to a size": mapped(lambda x: F.interpolate(x, size=(5, 7)), (2, 3, 4)),
    "nearest, scale 1.5": mapped(lambda x: F.interpolate(x, scale_factor=1.5), (2, 4, 5)),
    "nearest, down": mapped(lambda x: F.interpolate(x, scale_factor=0.5)),
    "nn.Upsample": layer(nn.Upsample(scale_factor=2), (2, 3, 3)),
    "bilinear, scale 2": mapped(
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), (2, 3, 3)
    ),
    "bilinear, scale 2, corners aligned": layer(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), (2, 3, 3)
    ),
    "bilinear, to a size": mapped(lambda x: F.interpolate(x, size=(5, 7), mode="bilinear"), (2, 3, 4)),
    "bilinear, to a size, corners aligned": mapped(
        lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=True), (2, 3, 4)
    ),
    "bilinear, scale 1.7": mapped(lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"), (2, 4, 3)),
    "pixel shuffle": layer(nn.PixelShuffle(2), (2, 3, 3)),
    "pixel unshuffle": layer(nn.PixelUnshuffle(2)),
    "slice of channels": mapped(lambda x: x[:, 1:3]),
    "slice of rows": mapped(lambda x: x[:, :, 1:-1]),
    "slice with steps": mapped(lambda x: x[:, ::3, ::2, 1::2]),
    "slice from the end": mapped(lambda x: x[:, -2:, :, -4:-1]),
    "one row": body(lambda n, x: F.relu(n.a(x[:, :, 2])), a=nn.Conv1d(4, 3, 3)),
    "one position": body(lambda n, x: F.relu(n.a(x[:, :, 1, -1])), a=nn.Linear(4, 3)),
    "flip": mapped(lambda x: x.flip(3)),
    "flip of two axes": mapped(lambda x: torch.flip(x, (1, 2))),
    "roll": mapped(lambda x: torch.roll(x, (1, -2), (2, 3))),
    "roll of channels": mapped(lambda x: torch.roll(x, 1, 1)),
    "zero channels by F.pad": mapped(option_a),
    "zero channels by torch.zeros": mapped(zero_channels),
    "zero channels by zeros_like": mapped(lambda x: torch.cat([torch.zeros_like(x), x], 1)),
    "zero channels by multiplication": mapped(lambda x: torch.cat([x, x.mul(0)], 1)),
}

JOINS = {
    "concat on channels": body(
        lambda n, x: F.relu(n.b(torch.cat([x, F.relu(n.a(x)), x], 1))), a=c(4, 2, 3, padding=1), b=c(10, 3)
    ),
    "concat on height": body(
        lambda n, x: F.relu(n.b(torch.cat([F.relu(n.a(x)), x], 2))), a=c(4, 4, (3, 1)), b=c(4, 3, 3)
    ),
    "concat with the image": net(
        lambda n, x: n.last(F.relu(n.b(torch.cat([x, F.relu(n.a(x))], 1))).flatten(1)),
        a=c(2, 3),
        b=c(5, 3, 3),
        last=nn.Linear(48, 3),
    ),
    "chunk": body(lambda n, x: F.relu(n.a(x.chunk(2, 1)[1])), a=c(2, 3, 3)),
    "split, uneven": body(
        lambda n, x: F.relu(sum(f(part) for f, part in zip((n.a, n.b), x.split([1, 3], 1), strict=True))),
        a=c(1, 3),
        b=c(3, 3),
    ),
    "channel shuffle, depthwise": body(
        lambda n, x: F.relu(n.dw(shuffled(x))), dw=c(4, 4, 3, padding=1, groups=4)
    ),
    "channel shuffle, 1x1": body(lambda n, x: F.relu(n.a(shuffled(x))), a=c(4, 3)),
    "nn.ChannelShuffle, grouped": body(
        lambda n, x: F.relu(n.g(n.s(x))), s=nn.ChannelShuffle(2), g=c(4, 6, 3, groups=2)
    ),
    "nn.ChannelShuffle, 1x1": body(lambda n, x: F.relu(n.a(n.s(x))), s=nn.ChannelShuffle(2), a=c(4, 3)),
    "channel shuffle of a linear map": body(lambda n, x: F.relu(shuffled(n.a(x))), a=c(4, 4, 3, groups=2)),
    "stack and sum": body(
        lambda n, x: F.relu(torch.stack([n.a(x), n.b(x), x], 1).sum(1)), a=c(), b=c(4, 4, 3, padding=1)
    ),
    "sum of four": body(
        lambda n, x: F.relu(x + n.a(x) + n.b(x) + n.d(x)), a=c(), b=c(4, 4, 3, padding=1), d=c(bias=False)
    ),
    "difference": body(lambda n, x: F.relu(x - n.a(x)), a=c()),
    "add and sub with alpha": body(
        lambda n, x: F.relu(torch.sub(torch.add(x, n.a(x), alpha=2), n.b(x), alpha=0.5)), a=c(), b=c()
    ),
    "numbers": body(lambda n, x: F.relu((1 - (n.a(x) * 2 - 0.5)) / 4 + 0.25), a=c()),
    "torch.rsub": body(lambda n, x: F.relu(torch.rsub(n.a(x), 1.5)), a=c()),
    "negation": body(lambda n, x: F.relu(-n.a(x)), a=c()),
    "constants for each channel": body(
        lambda n, x: F.relu((n.a(x) + n.shift) * n.scale / n.size - n.shift),
        a=c(),
        shift=column(0.5, -1, 0, 2),
        scale=column(-1, 0.5, 2, 3),
        size=column(1, 2, 0.5, 4),
    ),
    "a map broadcast over positions": body(lambda n, x: F.relu(x + n.a(x.mean((2, 3), keepdim=True))), a=c()),
    "a map broadcast over channels": body(
        lambda n, x: F.relu(n.a(x) - n.b(x)), a=c(4, 4, 3, padding=1), b=c(4, 1)
    ),
    "residual, in place": body(in_place, a=c(4, 4, 3, padding=1)),
    "flatten": body(lambda n, x: F.relu(n.fc(torch.flatten(x, 1))), (2, 4, 4), fc=nn.Linear(64, 4)),
    "view by size": body(lambda n, x: F.relu(n.fc(x.view(x.size(0), -1))), (2, 4, 4), fc=nn.Linear(64, 4)),
    "permute and flatten": body(
        lambda n, x: F.relu(n.fc(x.permute(0, 2, 3, 1).flatten(1))), (2, 4, 4), fc=nn.Linear(64, 4)
    ),
    "view from vectors to maps": body(
        lambda n, x: F.relu(n.a(n.fc(x).view(-1, 2, 3, 3))), (6,), fc=nn.Linear(4, 18), a=c(2, 3, 2)
    ),
    "squeeze": body(
        lambda n, x: F.relu(n.fc(F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1))), fc=nn.Linear(4, 4)
    ),
    "unsqueeze": body(lambda n, x: F.relu(n.a(x.unsqueeze(2).squeeze(2))), (2, 9), a=nn.Conv1d(4, 3, 3)),
    "concat of two flattened branches": body(
        lambda n, x: F.relu(n.fc(torch.cat([F.relu(n.a(x)).flatten(1), F.max_pool2d(x, 3).flatten(1)], 1))),
        a=c(4, 2, 3),
        fc=nn.Linear(48, 5),
    ),
}

RECTIFIERS = {
    "nn.ReLU": rectified(nn.ReLU()),
    "nn.ReLU in place": rectified(nn.ReLU(inplace=True)),
    "nn.ReLU reused": body(
        lambda n, x: n.act(n.b(n.act(n.a(x)))), a=c(), b=c(4, 3, 3), act=nn.ReLU(inplace=True)
    ),
    "F.relu": rectified(F.relu),
    "F.relu in place": rectified(lambda x: F.relu(x, inplace=True)),
    "torch.relu": rectified(torch.relu),
    "Tensor.relu": rectified(lambda x: x.relu()),
    "clamp from 0": rectified(lambda x: x.clamp(min=0)),
    "clamp_min": rectified(lambda x: torch.clamp_min(x, 0)),
    "F.relu6": rectified(F.relu6),
    "nn.ReLU6": rectified(nn.ReLU6(inplace=True)),
    "nn.Hardtanh": rectified(nn.Hardtanh(0, 2)),
    "clamp on both sides": rectified(lambda x: x.clamp(0, 1.5)),
    "F.threshold": rectified(lambda x: F.threshold(x, 0, 0)),
    "ReLU of a ReLU": rectified(lambda x: F.relu(F.relu(x))),
    "ReLU of a ReLU6": rectified(lambda x: F.relu(F.relu6(x))),
    "ReLU6 of a scaled ReLU": rectified(lambda x: F.relu6(2 * F.relu(x))),
    "ReLU of the image": net(lambda n, x: n.fc(F.relu(x).flatten(1)), (2, 4, 4), fc=nn.Linear(32, 3)),
    "ReLU of a concat": body(
        lambda n, x: F.relu(n.b(F.relu(torch.cat([x, n.a(x)], 1)))), a=c(4, 3), b=c(7, 3, 3)
    ),
    "ReLU6 of a concat": body(lambda n, x: F.relu6(3 * torch.cat([x, n.a(x)], 1)), a=c(4, 3)),
    "ReLU after flatten": body(lambda n, x: F.relu(n.a(x).flatten(1)), a=c(4, 3, 3)),
    "ReLU after permute": body(lambda n, x: F.relu(n.a(x).permute(0, 2, 3, 1)), (2, 4, 5), a=c(4, 3, 2)),
    "a map and its ReLU": body(lambda n, x: F.relu(n.a(x)) + n.a(x), a=c()),
    "max-pool, overlapping, padded": layer(nn.MaxPool2d(3, 2, 1)),
    "max-pool, ceil mode": layer(nn.MaxPool2d(2, 2, ceil_mode=True), (2, 7, 5)),
    "max-pool, ceil mode drops a window": layer(nn.MaxPool2d(1, 2, ceil_mode=True)),
    "max-pool, uneven": layer(nn.MaxPool2d((2, 3), (2, 1))),
    "max-pool, dilated": mapped(lambda x: F.max_pool2d(x, 2, 1, dilation=2)),
    "max-pool before its ReLU": body(lambda n, x: F.relu(F.max_pool2d(n.a(x), 2)), a=c(4, 3, 3)),
    "max-pool, padded, before its ReLU6": body(
        lambda n, x: F.relu6(F.max_pool2d(n.a(x), 3, 2, 1)), a=c(4, 3, 3)
    ),
    "max-pool, padded, of a linear map": body(
        lambda n, x: F.relu(n.b(F.max_pool2d(n.a(x), 3, 2, 1))), a=c(4, 3), b=c(3, 3, 2)
    ),
    "max-pool of the image": net(
        lambda n, x: n.fc(F.relu(n.a(F.max_pool2d(x, 2))).flatten(1)), a=c(2, 4, 2), fc=nn.Linear(16, 3)
    ),
    "max-pool of a concat": body(
        lambda n, x: F.relu(n.b(F.max_pool2d(torch.cat([x, n.a(x)], 1), 2))), a=c(4, 2), b=c(6, 3, 2)
    ),
    "max-pool of a normed map, no ReLU": body(
        lambda n, x: F.max_pool2d(n.bn(n.a(x)), 2), a=c(4, 3), bn=nn.BatchNorm2d(3)
    ),
    "max-pool of an average": mapped(lambda x: F.max_pool2d(F.avg_pool2d(x, 2, 1), 2)),
    "max-pool of a max-pool": mapped(lambda x: F.max_pool2d(F.max_pool2d(x, 2, 1), 2)),
    "adaptive max-pool": layer(nn.AdaptiveMaxPool2d((3, 2))),
    "global max-pool": body(lambda n, x: F.adaptive_max_pool2d(n.a(x), 1), a=c(4, 3)),
    "max-pool 1d": layer(nn.MaxPool1d(3, 2, 1), (2, 12)),
}

LINEAR = {
    "MobileNetV2": net(
        lambda n, x: n.last(F.relu6(n.blocks(n.first(8 * x))).mean((2, 3))),
        (2, 4, 4),
        first=c(2, 3, 3, padding=1),
        blocks=nn.Sequential(InvertedResidual(3, 3), InvertedResidual(3, 4), InvertedResidual(4, 4)),
        last=nn.Linear(4, 3),
    ),
    "DenseNet": net(
        lambda n, x: n.last(
            F.relu(n.end(F.avg_pool2d(n.transition(F.relu(n.bn(n.layers(n.first(x))))), 2))).mean((2, 3))
        ),
        (2, 4, 4),
        first=c(2, 4, 3, padding=1),
        layers=nn.Sequential(Dense(4), Dense(8), Dense(12), Dense(16)),
        bn=nn.BatchNorm2d(20),
        transition=c(20, 6),
        end=nn.BatchNorm2d(6),
        last=nn.Linear(6, 3),
    ),
    "pre-activation ResNet": net(
        lambda n, x: n.last(F.relu(n.bn(n.blocks(n.first(x)))).mean((2, 3))),
        (2, 4, 4),
        first=c(2, 4, 3, padding=1),
        blocks=nn.Sequential(PreActivation(), PreActivation(), PreActivation()),
        bn=nn.BatchNorm2d(4),
        last=nn.Linear(4, 3),
    ),
    "1x1 then 3x3": body(lambda n, x: F.relu(n.b(n.a(x))), a=c(4, 2), b=c(2, 3, 3)),
    "3x3 then 3x3, padded": body(
        lambda n, x: F.relu(n.b(n.a(x))), a=c(4, 2, 3, padding=1), b=c(2, 3, 3, padding=1)
    ),
    "3x3 then 3x3, strides": body(
        lambda n, x: F.relu(n.b(n.a(x))), a=c(4, 2, 3, stride=2, padding=1), b=c(2, 3, 2, stride=2)
    ),
    "depthwise then pointwise": body(
        lambda n, x: F.relu(n.b(n.a(x))), a=c(4, 4, 3, padding=1, groups=4), b=c(4, 3)
    ),
    "pointwise then depthwise": body(
        lambda n, x: F.relu(n.b(n.a(x))), a=c(4, 6), b=c(6, 6, 3, padding=1, groups=6)
    ),
    "convolution then linear": body(
        lambda n, x: F.relu(n.b(n.a(x).flatten(1))), a=c(4, 2, 3), b=nn.Linear(32, 4)
    ),
    "linear then linear": body(lambda n, x: F.relu(n.b(n.a(x))), (6,), a=nn.Linear(4, 5), b=nn.Linear(5, 4)),
    "convolution then read-out": body(lambda n, x: n.a(x), a=c(4, 2, 3)),
    "convolution, average pool, ReLU": body(
        lambda n, x: F.relu(n.pool(n.a(x))), a=c(4, 3, 3), pool=nn.AvgPool2d(2)
    ),
    "no ReLU at all": net(lambda n, x: n.b(n.a(x).flatten(1)), (2, 4, 4), a=c(2, 3, 3), b=nn.Linear(12, 3)),
    "a linear map read three times": body(
        lambda n, x: (lambda y: F.relu(n.b(y)) + F.relu(n.d(y)) + y)(n.a(x)),
        a=c(4, 3),
        b=c(3, 3, 3, padding=1),
        d=c(3, 3),
    ),
}

NETWORKS = {
    "two read-outs": net(
        lambda n, x: (lambda y: (n.a(y.flatten(1)), n.b(y.mean((2, 3)))))(F.relu(n.first(x))),
        (2, 4, 4),
        first=c(2, 4, 3, padding=1),
        a=nn.Linear(64, 3),
        b=nn.Linear(4, 2),
    ),
    "a read-out within the network": net(
        lambda n, x: (lambda y: (n.b(F.relu(y).flatten(1)), y))(n.a(F.relu(n.first(x)))),
        (2, 4, 4),
        first=c(2, 4, 3, padding=1),
        a=c(4, 2),
        b=nn.Linear(32, 3),
    ),
    "a dictionary of read-outs": net(
        lambda n, x: (lambda y: {"out": n.a(y.flatten(1)), "aux": n.b(y)})(F.relu(n.first(x))),
        (2, 4, 4),
        first=c(2, 4, 3, padding=1),
        a=nn.Linear(64, 3),
        b=c(4, 2, 3),
    ),
    "a ReLU as read-out": net(
        lambda n, x: F.relu(n.a(F.relu(n.first(x)))), (2, 4, 4), first=c(2, 4, 3, padding=1), a=c(4, 2)
    ),
    "a max-pool as read-out": net(
        lambda n, x: F.max_pool2d(F.relu(n.first(x)), 2), (2, 4, 4), first=c(2, 4, 3, padding=1)
    ),
    "segmentation": (ready(Segmentation()), (2, 6, 6)),
    "no flatten at the end": net(
        lambda n, x: n.a(F.adaptive_avg_pool2d(F.relu(n.first(x)), 1)), first=c(2, 4, 3), a=c(4, 3)
    ),
    "audio": (ready(audio()), (1, 21)),
    "grayscale": (
        ready(nn.Sequential(c(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))),
        (1, 6, 6),
    ),
    "normalisation inside": net(
        lambda n, x: n.last(F.relu(n.first((x - n.mean) / n.std)).flatten(1)),
        (3, 4, 4),
        mean=column(0.485, 0.456, 0.406),
        std=column(0.229, 0.224, 0.225),
        first=c(3, 4, 3, padding=1),
        last=nn.Linear(64, 3),
    ),
    "softmax at the end": (ready(classifier(nn.Softmax(1))), (2, 6, 6)),
    "log_softmax at the end": (ready(classifier(nn.LogSoftmax(1))), (2, 6, 6)),
    "sigmoid at the end": (ready(classifier(nn.Sigmoid())), (2, 6, 6)),
    "dropout": body(lambda n, x: n.b(F.relu(n.a(n.b2(x)))), a=c(), b=nn.Dropout(0.5), b2=nn.Dropout2d(0.5)),
    "functional dropout": body(lambda n, x: F.dropout(F.relu(n.a(x)), 0.5, training=n.training), a=c()),
    "nn.Identity": layer(nn.Identity()),
    "views by the batch's size": body(
        lambda n, x: F.relu(n.a(x.view(x.size(0), 2, 2, 6, 6).reshape(x.shape[0], 4, 36))),
        a=nn.Conv1d(4, 1, 3),
    ),
    "fire module": body(lambda n, x: n.fire(x), (2, 4, 4), fire=Fire()),
    "Inception": body(lambda n, x: n.block(x).mean((2, 3)), (2, 5, 5), block=Inception()),
    "ShuffleNetV2": body(lambda n, x: n.b(n.a(x)).mean((2, 3)), (2, 4, 4), a=ShuffleUnit(), b=ShuffleUnit()),
    "ResNet, option A": body(lambda n, x: n.block(x), (2, 4, 4), block=OptionA()),
    "ResNet, option B": body(
        lambda n, x: F.relu(n.a(x) + n.b(x)),
        (2, 4, 4),
        a=conv_bn(4, 6, kernel_size=3, stride=2, padding=1),
        b=conv_bn(4, 6, kernel_size=1, stride=2),
    ),
}

PIECES: dict[str, tuple[Factory, Shape]] = {
    **CONVOLUTIONS,
    **NORMS,
    **POOLS,
    **RESAMPLED,
    **JOINS,
    **RECTIFIERS,
    **LINEAR,
    **NETWORKS,
}


# ---------------------------------------------------------------- refusals


def refused(
    forward: Forward, match: str, shape: Shape = (2, 4, 4), **layers: nn.Module | Tensor
) -> tuple[Factory, Shape, str]:
    return *body(forward, shape, **layers), match


def attention(n: nn.Module, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    return n.a(tokens, tokens, tokens, need_weights=False)[0]


def recurrent(n: nn.Module, x: Tensor) -> Tensor:
    return n.rnn(x.transpose(1, 2))[0]


def branches(n: nn.Module, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


REFUSED: dict[str, tuple[Factory, Shape, str]] = {
    "softmax in the body": refused(lambda n, x: F.softmax(n.a(x), 1), "softmax", a=c()),
    "scaled_dot_product_attention": refused(
        lambda n, x: F.scaled_dot_product_attention(x, x, x), "scaled_dot_product|softmax|matmul|bmm|mul"
    ),
    "nn.MultiheadAttention": refused(
        attention,
        "attention|scaled_dot_product|softmax|matmul|bmm|mul|transpose|permute",
        a=nn.MultiheadAttention(4, 2, batch_first=True),
    ),
    "LayerNorm": refused(lambda n, x: n.norm(x), "layer_norm", norm=nn.LayerNorm([4, 4, 4])),
    "GroupNorm": refused(lambda n, x: n.norm(x), "group_norm", norm=nn.GroupNorm(2, 4)),
    "InstanceNorm2d": refused(lambda n, x: n.norm(x), "instance_norm|batch_norm", norm=nn.InstanceNorm2d(4)),
    "batch norm of the batch": refused(
        lambda n, x: n.norm(x), "batch_norm", norm=nn.BatchNorm2d(4, track_running_stats=False)
    ),
    "Conv3d": refused(
        lambda n, x: F.relu(n.a(x[:, :, None])), "conv3d|convolution", a=nn.Conv3d(4, 3, (1, 3, 3))
    ),
    "LSTM": refused(
        recurrent, "lstm|sigmoid|tanh|transpose|permute|unbind", (2, 6), rnn=nn.LSTM(4, 3, batch_first=True)
    ),
    "GRU": refused(
        recurrent, "gru|sigmoid|tanh|transpose|permute|unbind", (2, 6), rnn=nn.GRU(4, 3, batch_first=True)
    ),
    "control flow on data": refused(branches, "cannot trace.*control flow"),
    "cube": refused(lambda n, x: x**3, "pow"),
    "erf": refused(lambda n, x: torch.erf(n.a(x)), "erf", a=c()),
    "a mask of another tensor": refused(lambda n, x: torch.where(x.flip(1) > 1, x, 0.5 * x), "where|gt"),
    "dropout always on": refused(lambda n, x: F.dropout(x, 0.5), "dropout|bernoulli|rand"),
    "mean over the batch": refused(lambda n, x: x - x.mean(0, keepdim=True), "mean"),
    "division by a norm": refused(lambda n, x: x / x.norm(), "norm|div"),
}


# ---------------------------------------------------------------- any network of such pieces


class Drawn(nn.Module):
    """Value 0 is the input; layer i makes value i + 1 of the values `reads[i]`; `outputs` are read out."""

    def __init__(self, layers: list[nn.Module], reads: list[tuple[int, ...]], outputs: list[int]) -> None:
        super().__init__()
        self.layers, self.reads, self.outputs = nn.ModuleList(layers), reads, outputs

    def extra_repr(self) -> str:
        return f"reads={self.reads}, outputs={self.outputs}"

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        values = [x]
        for i, module in enumerate(self.layers):
            values.append(module(*[values[j] for j in self.reads[i]]))
        found = tuple(values[i] for i in self.outputs)
        return found if len(found) > 1 else found[0]


class Add(nn.Module):
    def forward(self, *x: Tensor) -> Tensor:
        total = x[0]
        for y in x[1:]:
            total = total + y
        return total


class Cat(nn.Module):
    def forward(self, *x: Tensor) -> Tensor:
        return torch.cat(x, 1)


class Crossed(nn.Module):
    """The two halves of the channels, exchanged and shuffled."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        y = torch.stack([b, a], 2)
        return y.flatten(1, 2)


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def unary(draw: st.DrawFn, shape: Shape) -> nn.Module:
    """A layer that takes a map of `shape`."""
    channels, *size = shape
    whole = min(size)
    kinds = ["conv", "scale", "depthwise"]
    kinds += ["groups", "crossed"] if channels % 2 == 0 else []
    kinds += ["max", "average"] if whole > 1 else []
    kinds += ["up"] if whole < 4 else []
    kind = draw(st.sampled_from(kinds))
    kernel = draw(st.integers(1, min(3, whole)))
    pad, stride = draw(st.integers(0, kernel // 2)), draw(st.integers(1, 2))
    if kind in ("conv", "depthwise", "groups"):
        groups = {"conv": 1, "depthwise": channels, "groups": 2}[kind]
        outputs = groups * draw(st.integers(1, max(1, 4 // groups)))
        bias = draw(st.booleans())
        return nn.Conv2d(channels, outputs, kernel, stride if whole > 3 else 1, pad, groups=groups, bias=bias)
    if kind in ("max", "average"):
        return {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[kind](
            kernel, stride, pad, ceil_mode=draw(st.booleans())
        )
    if kind == "up":
        return nn.Upsample(scale_factor=2, mode=draw(st.sampled_from(["nearest", "bilinear"])))
    return (
        Crossed()
        if kind == "crossed"
        else Scale(draw(st.sampled_from([-1.0, 0.5, 2.0])), draw(st.sampled_from([-1.0, 0.0, 0.25])))
    )


class Scale(nn.Module):
    def __init__(self, factor: float, shift: float) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.shift


@st.composite
def random_models(draw: st.DrawFn) -> tuple[nn.Module, Shape]:
    """Up to five layers, sums and concats, each with a batch norm and a rectifier or not; any value may be
    read again."""
    shape: Shape = (2, draw(st.integers(5, 6)), 6)
    layers: list[nn.Module] = []
    reads: list[tuple[int, ...]] = []
    values = [torch.zeros(1, *shape)]

    def append(module: nn.Module, *read: int) -> None:
        layers.append(module.eval())
        reads.append(read)
        with torch.no_grad():
            values.append(module(*[values[i] for i in read]))

    def rectify() -> None:
        """After a layer, more often than not: batch norm, a rectifier, or both."""
        norm, act = draw(st.booleans()), draw(st.sampled_from([None, nn.ReLU, nn.ReLU6]))
        for module in ([nn.BatchNorm2d(values[-1].shape[1])] if norm else []) + ([act()] if act else []):
            append(module, len(values) - 1)

    append(nn.Conv2d(2, draw(st.sampled_from([2, 4])), 3, padding=1), 0)
    rectify()
    for _ in range(draw(st.integers(1, 4))):
        one = draw(st.integers(max(0, len(values) - 3), len(values) - 1))
        summable = [i for i, v in enumerate(values) if v.shape == values[one].shape and i != one]
        joinable = [
            i
            for i, v in enumerate(values)
            if v.shape[2:] == values[one].shape[2:] and len(v[0]) + len(values[one][0]) <= 8
        ]
        kind = draw(
            st.sampled_from(
                ["layer", "layer", *(["add"] if summable else []), *(["cat"] if joinable else [])]
            )
        )
        if kind == "add":
            append(
                Add(), one, *draw(st.lists(st.sampled_from(summable), min_size=1, max_size=2, unique=True))
            )
        elif kind == "cat":
            append(Cat(), one, draw(st.sampled_from(joinable)))
        else:
            append(unary(draw, tuple(values[one].shape[1:])), one)
        rectify()
    last = len(values) - 1
    outputs = []
    heads = draw(st.sampled_from([1, 1, 1, 2, 3]))
    for value in [last, *(draw(st.integers(1, last)) for _ in range(heads - 1))]:
        channels, height, width = values[value].shape[1:]
        kind = draw(st.sampled_from(["linear", "linear", "mean", "map"]))
        steps = {
            "linear": [nn.Flatten(), nn.Linear(channels * height * width, 3)],
            "mean": [Mean(), nn.Linear(channels, 2)],
            "map": [nn.Conv2d(channels, 2, 1)],
        }[kind]
        append(nn.Sequential(*steps), value)
        outputs.append(len(layers))
    return randomized(Drawn(layers, reads, outputs), draw(st.integers(0, 999))), shape
