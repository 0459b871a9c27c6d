"""Small models in the manner of torchvision and timm, with random weights and statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def randomise(model: nn.Module, seed: int = 1) -> nn.Module:
    """Seeded statistics of batch norms, and weights that fp16 can hold."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            module.weight.data = module.weight.data.half().float()
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.3)
    return model.eval()


class BasicBlock(nn.Module):
    """Two convolutions around which the input, or its projection, is added."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                            nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    """conv1, bn1, relu, maxpool, layer1 to layer3, avgpool, fc."""

    def __init__(self, classes: int = 10, channels: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(channels, channels, 1),
                                    BasicBlock(channels, channels, 1))
        self.layer2 = nn.Sequential(BasicBlock(channels, 2 * channels, 2))
        self.layer3 = nn.Sequential(BasicBlock(2 * channels, 2 * channels, 1))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2 * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def conv_bn_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1,
                  groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            conv_bn_relu6(inputs, hidden, 1), conv_bn_relu6(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNet(nn.Module):
    """features, a mean, and a classifier with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_bn_relu6(3, 8, 3, 2), InvertedResidual(8, 8, 1, 2), InvertedResidual(8, 16, 2, 3),
            InvertedResidual(16, 16, 1, 2), conv_bn_relu6(16, 24, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(24, 7))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class Conv2dSame(nn.Conv2d):
    """TensorFlow's padding, worked out from the input."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride)


class BatchNormAct2d(nn.BatchNorm2d):
    """Batch norm by function, with an activation inside."""

    def __init__(self, channels: int, act: bool = True) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.ndim == 4, "expected [N,C,H,W]")
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False,
                         0.1, self.eps)
        return self.act(self.drop(x))


class SeparableBlock(nn.Module):
    """Depthwise and pointwise convolution around which the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.bn1 = BatchNormAct2d(channels)
        self.conv_pw = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = BatchNormAct2d(channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(x)))) + x


class TimmNet(nn.Module):
    """conv_stem, bn1, blocks, conv_head, bn2, global_pool, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = Conv2dSame(3, 8, 3, 2, bias=False)
        self.bn1 = BatchNormAct2d(8)
        self.blocks = nn.Sequential(SeparableBlock(8), nn.AvgPool2d(3, 2, 1,
                                                                    count_include_pad=False),
                                    SeparableBlock(8))
        self.conv_head = nn.Conv2d(8, 20, 1, bias=False)
        self.bn2 = BatchNormAct2d(20)
        self.classifier = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.bn1(self.conv_stem(x)))
        x = F.adaptive_avg_pool2d(self.bn2(self.conv_head(x)), 1)
        x = F.dropout(x.view(x.size(0), -1), 0.1, self.training)
        return self.classifier(x)


class Unsupported(nn.Module):
    """What training cannot use: SiLU, squeeze and excite, groups, a batch norm alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.swish = nn.SiLU()
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 3, 1, 1, groups=2)
        self.pool = nn.MaxPool2d(2)
        self.alone = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.swish(self.stem(x))
        x = x * torch.sigmoid(self.squeeze(x.mean((2, 3), keepdim=True)))
        x = self.alone(self.pool(self.grouped(x)))
        return self.fc(x.mean((2, 3)))


def tiny_resnet() -> nn.Module:
    """A ResNet for recipes of tests."""
    return randomise(ResNet())
