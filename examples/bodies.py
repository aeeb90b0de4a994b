"""Bodies of detectors in the layouts of YOLOv5 and YOLOv8, and a U-Net, with other functions than ReLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, act: type[nn.Module] = nn.SiLU
) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), act()
    )


class Bottleneck(nn.Module):
    def __init__(self, width: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.a, self.b = conv(width, width, 1, act=act), conv(width, width, 3, act=act)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(self.a(x))


class CrossStage(nn.Module):
    """Of YOLOv5: two ways, one through bottlenecks, joined."""

    def __init__(self, inputs: int, outputs: int, act: type[nn.Module]) -> None:
        super().__init__()
        half = outputs // 2
        self.a, self.b, self.c = (
            conv(inputs, half, act=act),
            conv(inputs, half, act=act),
            conv(outputs, outputs, act=act),
        )
        self.m = Bottleneck(half, act)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.cat([self.m(self.a(x)), self.b(x)], 1))


class Split(nn.Module):
    """Of YOLOv8: chunks, of which each bottleneck's output is one more."""

    def __init__(self, inputs: int, outputs: int, act: type[nn.Module]) -> None:
        super().__init__()
        half = outputs // 2
        self.a, self.c, self.m = (
            conv(inputs, outputs, act=act),
            conv(3 * half, outputs, act=act),
            Bottleneck(half, act),
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.a(x).chunk(2, 1))
        return self.c(torch.cat([*parts, self.m(parts[-1])], 1))


class Pyramid(nn.Module):
    """Max-pools of max-pools, joined (SPPF)."""

    def __init__(self, width: int, act: type[nn.Module]) -> None:
        super().__init__()
        self.a, self.b = conv(width, width // 2, act=act), conv(2 * width, width, act=act)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        y = F.max_pool2d(x, 3, 1, 1)
        z = F.max_pool2d(y, 3, 1, 1)
        return self.b(torch.cat([x, y, z, F.max_pool2d(z, 3, 1, 1)], 1))


class Detector(nn.Module):
    """A stem, two stages, a pyramid, the way back up, two heads: (N, 3, y, x) to (N, 7, y / 2, x / 2) and
    (N, 7, y / 4, x / 4), four numbers of a box, whether it is one, two classes."""

    def __init__(self, stage: type[nn.Module], act: type[nn.Module] = nn.SiLU, width: int = 4) -> None:
        super().__init__()
        w, v = width, 2 * width
        self.stem, self.down = conv(3, w, 3, 2, act), conv(w, v, 3, 2, act)
        self.one, self.two = stage(w, w, act), stage(v, v, act)
        self.pyramid, self.up = Pyramid(v, act), stage(w + v, w, act)
        self.small, self.large = nn.Conv2d(w, 7, 1), nn.Conv2d(v, 7, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        one = self.one(self.stem(x))
        two = self.pyramid(self.two(self.down(one)))
        back = self.up(torch.cat([F.interpolate(two, scale_factor=2.0), one], 1))
        return self.small(back), self.large(two)


class UNet(nn.Module):
    """Two scales, with PReLU of channels: (N, 3, y, x) to (N, classes, y, x)."""

    def __init__(self, classes: int = 2, width: int = 4) -> None:
        super().__init__()
        w, v = width, 2 * width
        self.a, self.b = nn.Conv2d(3, w, 3, padding=1), nn.Conv2d(w, v, 3, padding=1)
        self.up, self.c, self.last = (
            nn.ConvTranspose2d(v, w, 2, 2),
            nn.Conv2d(v, w, 3, padding=1),
            nn.Conv2d(w, classes, 1),
        )
        self.pa, self.pb, self.pc = nn.PReLU(w), nn.PReLU(v), nn.PReLU(w)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pa(self.a(x))
        y = self.up(self.pb(self.b(F.max_pool2d(x, 2))))
        return self.last(self.pc(self.c(torch.cat([x, y], 1))))
