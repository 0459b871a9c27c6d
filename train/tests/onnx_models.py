"""Well-known classifiers as torch modules, at their published size or small, random weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Size:
    """How large a network is made."""

    width: float = 1.0  # of its published channels
    depth: float = 1.0  # of its published repetitions
    pixels: int = 224
    classes: int = 1000

    def channels(self, published: int) -> int:
        """A multiple of 8 where it is not tiny."""
        wanted = published * self.width
        return max(8, round(wanted / 8) * 8)

    def repeats(self, published: int) -> int:
        """At least one."""
        return max(1, round(published * self.depth))


FULL = Size()
SMALL = Size(width=1 / 8, depth=1 / 3, pixels=64, classes=5)


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1,
            act: nn.Module | None = None) -> nn.Sequential:
    """Convolution, batch norm and perhaps an activation."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
              nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([act] if act else []))


def classifier(inputs: int, classes: int) -> nn.Sequential:
    """Global average pool, dropout, a linear layer."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Dropout(0.2),
                         nn.Linear(inputs, classes))


class Residual(nn.Module):
    """What is inside, plus the input or its projection, through an activation."""

    def __init__(self, inside: nn.Module, around: nn.Module | None, act: nn.Module) -> None:
        super().__init__()
        self.inside, self.around, self.act = inside, around or nn.Identity(), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.inside(x) + self.around(x))


class SqueezeExcite(nn.Module):
    """Channels weighed by what all positions say together."""

    def __init__(self, channels: int, squeezed: int, act: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, squeezed, 1), act,
                                    nn.Conv2d(squeezed, channels, 1), gate)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) * x


def _projection(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    return None if inputs == outputs and stride == 1 else conv_bn(inputs, outputs, 1, stride)


def resnet(size: Size, repeats: tuple[int, ...], bottleneck: bool) -> nn.Module:
    """ResNet with basic or bottleneck blocks."""
    channels = size.channels(64)
    layers = [conv_bn(3, channels, 7, 2, act=nn.ReLU()), nn.MaxPool2d(3, 2, 1)]
    for stage, count in enumerate(repeats):
        inner = size.channels(64 << stage)
        outputs = inner * 4 if bottleneck else inner
        for i in range(size.repeats(count)):
            stride = 2 if stage and not i else 1
            if bottleneck:
                inside = nn.Sequential(conv_bn(channels, inner, 1, act=nn.ReLU()),
                                       conv_bn(inner, inner, 3, stride, act=nn.ReLU()),
                                       conv_bn(inner, outputs, 1))
            else:
                inside = nn.Sequential(conv_bn(channels, inner, 3, stride, act=nn.ReLU()),
                                       conv_bn(inner, outputs, 3))
            layers.append(Residual(inside, _projection(channels, outputs, stride), nn.ReLU()))
            channels = outputs
    return nn.Sequential(*layers, classifier(channels, size.classes))


def regnet_y(size: Size) -> nn.Module:
    """RegNetY-400MF: grouped bottlenecks with squeeze and excite."""
    channels = size.channels(32)
    layers = [conv_bn(3, channels, 3, 2, act=nn.ReLU())]
    for width, count in ((48, 1), (104, 3), (208, 6), (440, 6)):
        outputs = size.channels(width)
        for i in range(size.repeats(count)):
            stride = 1 if i else 2
            inside = nn.Sequential(
                conv_bn(channels, outputs, 1, act=nn.ReLU()),
                conv_bn(outputs, outputs, 3, stride, outputs // 8, nn.ReLU()),
                SqueezeExcite(outputs, max(channels // 4, 2), nn.ReLU(), nn.Sigmoid()),
                conv_bn(outputs, outputs, 1))
            layers.append(Residual(inside, _projection(channels, outputs, stride), nn.ReLU()))
            channels = outputs
    return nn.Sequential(*layers, classifier(channels, size.classes))


def inverted(inputs: int, hidden: int, outputs: int, kernel: int, stride: int,
             act: Callable[[], nn.Module], squeeze: nn.Module | None = None) -> nn.Module:
    """Expand, depthwise, perhaps squeeze and excite, project; residual where shapes allow."""
    expand = [conv_bn(inputs, hidden, 1, act=act())] if hidden != inputs else []
    inside = nn.Sequential(*expand, conv_bn(hidden, hidden, kernel, stride, hidden, act()),
                           *([squeeze] if squeeze else []), conv_bn(hidden, outputs, 1))
    if stride == 1 and inputs == outputs:
        return Residual(inside, None, nn.Identity())
    return inside


def mobilenet_v2(size: Size) -> nn.Module:
    """MobileNetV2: inverted residuals, ReLU6."""
    channels = size.channels(32)
    layers = [conv_bn(3, channels, 3, 2, act=nn.ReLU6())]
    for expand, width, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                         (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(size.repeats(count)):
            outputs = size.channels(width)
            layers.append(inverted(channels, channels * expand, outputs, 3, 1 if i else stride,
                                   nn.ReLU6))
            channels = outputs
    last = size.channels(1280)
    return nn.Sequential(*layers, conv_bn(channels, last, 1, act=nn.ReLU6()),
                         classifier(last, size.classes))


def mobilenet_v3(size: Size) -> nn.Module:
    """MobileNetV3-Large: hard swish, squeeze and excite by hard sigmoid."""
    channels = size.channels(16)
    layers = [conv_bn(3, channels, 3, 2, act=nn.Hardswish())]
    for kernel, hidden, width, squeeze, act, stride in (
            (3, 16, 16, False, nn.ReLU, 1), (3, 64, 24, False, nn.ReLU, 2),
            (3, 72, 24, False, nn.ReLU, 1), (5, 72, 40, True, nn.ReLU, 2),
            (5, 120, 40, True, nn.ReLU, 1), (5, 120, 40, True, nn.ReLU, 1),
            (3, 240, 80, False, nn.Hardswish, 2), (3, 200, 80, False, nn.Hardswish, 1),
            (3, 184, 80, False, nn.Hardswish, 1), (3, 184, 80, False, nn.Hardswish, 1),
            (3, 480, 112, True, nn.Hardswish, 1), (3, 672, 112, True, nn.Hardswish, 1),
            (5, 672, 160, True, nn.Hardswish, 2), (5, 960, 160, True, nn.Hardswish, 1),
            (5, 960, 160, True, nn.Hardswish, 1)):
        inner, outputs = size.channels(hidden), size.channels(width)
        gate = SqueezeExcite(inner, size.channels(hidden // 4), nn.ReLU(), nn.Hardsigmoid())
        layers.append(inverted(channels, inner, outputs, kernel, stride, act,
                               gate if squeeze else None))
        channels = outputs
    inner, last = size.channels(960), size.channels(1280)
    return nn.Sequential(*layers, conv_bn(channels, inner, 1, act=nn.Hardswish()),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(inner, last),
                         nn.Hardswish(), nn.Dropout(0.2), nn.Linear(last, size.classes))


def efficientnet(size: Size, lite: bool) -> nn.Module:
    """EfficientNet-B0, or -Lite0: ReLU6 and no squeeze and excite."""
    act = nn.ReLU6 if lite else nn.SiLU
    channels = size.channels(32)
    layers = [conv_bn(3, channels, 3, 2, act=act())]
    for expand, width, count, stride, kernel in (
            (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
            (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)):
        for i in range(size.repeats(count)):
            outputs, hidden = size.channels(width), channels * expand
            gate = SqueezeExcite(hidden, max(channels // 4, 1), nn.SiLU(), nn.Sigmoid())
            layers.append(inverted(channels, hidden, outputs, kernel, 1 if i else stride, act,
                                   None if lite else gate))
            channels = outputs
    last = size.channels(1280)
    return nn.Sequential(*layers, conv_bn(channels, last, 1, act=act()),
                         classifier(last, size.classes))


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of [N,C,H,W]."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias,
                         self.eps)
        return x.permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7x7, then a layer norm and two linear layers with channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.inside = nn.Sequential(nn.LayerNorm(channels, eps=1e-6),
                                    nn.Linear(channels, 4 * channels), nn.GELU(),
                                    nn.Linear(4 * channels, channels))
        self.scale = nn.Parameter(torch.rand(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        inside = self.inside(self.depthwise(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.scale * inside


def convnext(size: Size) -> nn.Module:
    """ConvNeXt-Tiny."""
    channels = size.channels(96)
    layers = [nn.Conv2d(3, channels, 4, 4), LayerNorm2d(channels, eps=1e-6)]
    for stage, count in enumerate((3, 3, 9, 3)):
        if stage:
            outputs = size.channels(96 << stage)
            layers += [LayerNorm2d(channels, eps=1e-6), nn.Conv2d(channels, outputs, 2, 2)]
            channels = outputs
        layers += [ConvNeXtBlock(channels) for _ in range(size.repeats(count))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), LayerNorm2d(channels, eps=1e-6),
                         nn.Flatten(1), nn.Linear(channels, size.classes))


class Fire(nn.Module):
    """Squeeze, then 1x1 and 3x3 side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.one, self.three = (nn.Conv2d(squeeze, expand, k, padding=k // 2) for k in (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.one(x).relu(), self.three(x).relu()], 1)


def squeezenet(size: Size) -> nn.Module:
    """SqueezeNet 1.1: its pools round up, its classifier is a convolution."""
    channels = size.channels(64)
    layers = [nn.Conv2d(3, channels, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    for i, width in enumerate((64, 64, 128, 128, 192, 192, 256, 256)):
        expand = size.channels(width)
        layers.append(Fire(channels, expand // 4, expand))
        channels = 2 * expand
        if i in (1, 3):
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Conv2d(channels, size.classes, 1), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


class DenseBlock(nn.Module):
    """Each layer reads what all before it made."""

    def __init__(self, inputs: int, count: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(
            nn.BatchNorm2d(inputs + i * growth), nn.ReLU(),
            nn.Conv2d(inputs + i * growth, 4 * growth, 1, bias=False), nn.BatchNorm2d(4 * growth),
            nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False))
            for i in range(count))

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for layer in self.layers:
            made.append(layer(torch.cat(made, 1)))
        return torch.cat(made, 1)


def densenet(size: Size) -> nn.Module:
    """DenseNet-121."""
    growth, channels = size.channels(32), size.channels(64)
    layers = [conv_bn(3, channels, 7, 2, act=nn.ReLU()), nn.MaxPool2d(3, 2, 1)]
    for stage, published in enumerate((6, 12, 24, 16)):
        count = size.repeats(published)
        layers.append(DenseBlock(channels, count, growth))
        channels += count * growth
        if stage < 3:
            layers += [nn.BatchNorm2d(channels), nn.ReLU(),
                       nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2, 2)]
            channels //= 2
    return nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(),
                         classifier(channels, size.classes))


NETWORKS: dict[str, Callable[[Size], nn.Module]] = {
    "resnet18": lambda size: resnet(size, (2, 2, 2, 2), False),
    "resnet50": lambda size: resnet(size, (3, 4, 6, 3), True),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3,
    "efficientnet_lite0": lambda size: efficientnet(size, True),
    "efficientnet_b0": lambda size: efficientnet(size, False),
    "convnext_tiny": convnext,
    "regnet_y_400mf": regnet_y,
    "squeezenet1_1": squeezenet,
    "densenet121": densenet,
}


def settled(model: nn.Module, pixels: int, seed: int = 1) -> nn.Module:
    """With statistics of random pictures in its batch norms, so that signals keep their size."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # averages over all batches
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
        elif isinstance(module, nn.LayerNorm):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    with torch.no_grad():
        model.train()(torch.randn(4, 3, pixels, pixels))
    return model.eval()


def export_onnx(model: nn.Module, pixels: int, path: Path, opset: int = 17, **options) -> Path:
    """Writes a module as an ONNX file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, torch.zeros(1, 3, pixels, pixels), path, dynamo=False,
                          opset_version=opset, verbose=False, **options)
    return path


def random_network(name: str, size: Size) -> nn.Module:
    """One of the networks with repeatable weights."""
    torch.manual_seed(sum(map(ord, name)))
    return settled(NETWORKS[name](size), size.pixels)
