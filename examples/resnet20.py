"""ResNet-20 for CIFAR (He et al. 2016) with option-A shortcuts, as in akamaster/pytorch_resnet_cifar10.

dnisnm compare --model examples/resnet20.py:resnet20 --weights ... --data ... --mean ... --std ...
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

Function = Callable[[torch.Tensor], torch.Tensor]


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: identity, or a strided slice with zero channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, function: Function) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.extra, self.function = stride, (outputs - inputs) // 2, function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.function(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.stride != 1 or self.extra:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra, self.extra))
        return self.function(out + x)


class ResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels."""

    def __init__(self, blocks: int, classes: int = 10, function: Function = F.relu) -> None:
        super().__init__()
        self.function = function
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1, function)
        self.layer2 = self._stage(16, 32, blocks, 2, function)
        self.layer3 = self._stage(32, 64, blocks, 2, function)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, stride: int, function: Function) -> nn.Sequential:
        later = [Block(outputs, outputs, 1, function) for _ in range(blocks - 1)]
        return nn.Sequential(Block(inputs, outputs, stride, function), *later)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.function(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.avg_pool2d(out, out.size(3))
        return self.linear(out.view(out.size(0), -1))


def resnet20() -> ResNet:
    return ResNet(3)


def resnet20_leaky() -> ResNet:
    """With LeakyReLU, slope 0.1."""
    return ResNet(3, function=nn.LeakyReLU(0.1))


def resnet20_silu() -> ResNet:
    return ResNet(3, function=nn.SiLU())
