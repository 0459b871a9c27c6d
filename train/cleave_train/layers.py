"""Trainable layers that know two things: how to run in PyTorch, and how to become graph nodes.

A layer serves several *variants* (widths, ensemble sizes): each uses a prefix of the same weights
and has a batch norm of its own, which is folded into the node's scale and bias at export.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from .net import Network, activate, convolve, same_pad

Channels = dict[str, int]  # by variant


class Emitter(Protocol):
    """What a layer needs to write itself into a graph; see graph_writer.GraphWriter."""

    def conv(self, value: int, layer: nn.Module, weight: Tensor, norm: nn.BatchNorm2d,
             variant: str, *, stride: int, act: str, out: int, inch: int,
             depthwise: bool) -> int:
        """A convolution by a prefix of `weight`, with this batch norm folded in."""

    def add(self, a: int, b: int) -> int:
        """The sum of two values."""

    def nodes(self, net: Network, value: int, start: int, stop: int) -> int:
        """A backbone's own nodes from its value `start`, which is `value` here, to `stop`."""

    def classify(self, value: int, linear: nn.Linear) -> int:
        """Global average pool, fully connected layer, softmax: probabilities."""


class Conv(nn.Module):
    """act(norm(W * x)) with SAME padding, by prefixes of W: [N,in,H,W] -> [N,out,H/s,W/s]."""

    def __init__(self, inputs: Channels, outputs: Channels, kernel: int, stride: int = 1,
                 act: str = "relu6", depthwise: bool = False, affine: bool = True) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.kernel, self.stride, self.act, self.depthwise = kernel, stride, act, depthwise
        fan = 1 if depthwise else max(inputs.values())
        self.weight = nn.Parameter(torch.empty(max(outputs.values()), fan, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.norm = nn.ModuleDict(
            {variant: nn.BatchNorm2d(count, affine=affine) for variant, count in outputs.items()})

    def convolved(self, x: Tensor, variant: str) -> Tensor:
        """W * x, before the norm."""
        inch = 1 if self.depthwise else self.inputs[variant]
        weight = self.weight[:self.outputs[variant], :inch]
        groups = self.outputs[variant] if self.depthwise else 1
        pad = (*same_pad(x.shape[2], self.kernel, self.stride),
               *same_pad(x.shape[3], self.kernel, self.stride))
        return convolve(x, weight, None, (self.stride, self.stride), pad, groups)

    def forward(self, x: Tensor, variant: str) -> Tensor:
        return activate(self.norm[variant](self.convolved(x, variant)), self.act)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the node."""
        return g.conv(value, self, self.weight, self.norm[variant], variant, stride=self.stride,
                      act=self.act, out=self.outputs[variant], inch=self.inputs[variant],
                      depthwise=self.depthwise)


class Separable(nn.Module):
    """x + pointwise(depthwise(x)): a cheap residual block."""

    def __init__(self, channels: Channels, kernel: int) -> None:
        super().__init__()
        self.depthwise = Conv(channels, channels, kernel, depthwise=True)
        self.pointwise = Conv(channels, channels, 1, act="none")

    def forward(self, x: Tensor, variant: str) -> Tensor:
        return x + self.pointwise(self.depthwise(x, variant), variant)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the nodes."""
        return g.add(value, self.pointwise.emit(g, self.depthwise.emit(g, value, variant), variant))


class Inverted(nn.Module):
    """Inverted residual: expand 1x1, depthwise, project 1x1, and the input if shapes agree.

    Where `hidden` are the inputs' own channels there is nothing to expand.
    """

    def __init__(self, inputs: Channels, hidden: Channels, outputs: Channels, kernel: int,
                 stride: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.expand = Conv(inputs, hidden, 1) if hidden != inputs else None
        self.depthwise = Conv(hidden, hidden, kernel, stride, depthwise=True)
        self.project = Conv(hidden, outputs, 1, act="none")

    def forward(self, x: Tensor, variant: str) -> Tensor:
        y = self.expand(x, variant) if self.expand is not None else x
        y = self.project(self.depthwise(y, variant), variant)
        return x + y if self.residual else y

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the nodes."""
        y = self.expand.emit(g, value, variant) if self.expand is not None else value
        y = self.project.emit(g, self.depthwise.emit(g, y, variant), variant)
        return g.add(value, y) if self.residual else y


class Residual(nn.Module):
    """x + conv(relu(conv(x))), both dense."""

    def __init__(self, channels: Channels, kernel: int = 3) -> None:
        super().__init__()
        self.first = Conv(channels, channels, kernel, act="relu")
        self.second = Conv(channels, channels, kernel, act="none")

    def forward(self, x: Tensor, variant: str) -> Tensor:
        return x + self.second(self.first(x, variant), variant)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the nodes."""
        return g.add(value, self.second.emit(g, self.first.emit(g, value, variant), variant))


class ResidualDown(nn.Module):
    """skip(x) + relu(conv(relu(conv/2(x)))) with a strided 1x1 skip: halves height and width."""

    def __init__(self, inputs: Channels, outputs: Channels, kernel: int = 3) -> None:
        super().__init__()
        self.first = Conv(inputs, outputs, kernel, 2, act="relu")
        self.second = Conv(outputs, outputs, kernel, act="relu")
        self.skip = Conv(inputs, outputs, 1, 2, act="none")

    def forward(self, x: Tensor, variant: str) -> Tensor:
        return self.skip(x, variant) + self.second(self.first(x, variant), variant)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the nodes."""
        return g.add(self.skip.emit(g, value, variant),
                     self.second.emit(g, self.first.emit(g, value, variant), variant))
