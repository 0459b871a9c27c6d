"""The engine's operators that have no weights, in PyTorch, on values [N,C,H,W].

The reference executor and networks that are trained compute with them alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Clip:
    """The activation min(max(x, low), high)."""

    low: float
    high: float


@dataclass(frozen=True)
class LeakyRelu:
    """The activation x, below 0 slope * x."""

    slope: float


Act = str | Clip | LeakyRelu  # those without parameters by their name


def act_of(node: dict[str, Any]) -> Act:
    """The activation of a bundle's node."""
    match node.get("act", "none"):
        case "clip":
            return Clip(*node["limits"])
        case "leaky_relu":
            return LeakyRelu(node["slope"])
        case name:
            return name


def activation(x: Tensor, act: Act) -> Tensor:
    """act(x)."""
    match act:
        case "none":
            return x
        case Clip(low, high):
            return x.clamp(low, high)
        case LeakyRelu(slope):
            return F.leaky_relu(x, slope)
        case "relu" | "relu6" | "sigmoid" | "silu" | "gelu" as name:
            return getattr(F, name)(x)
        case "hard_swish":
            return F.hardswish(x)
        case _:
            raise ValueError(f"unknown act {act}")


def layer_norm(x: Tensor, epsilon: float) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) over each position's channels, in float32."""
    x = x.float()
    centred = x - x.mean(1, keepdim=True)
    return centred * (centred.square().mean(1, keepdim=True) + epsilon).rsqrt()


def source_positions(count: int, source: int, coordinates: str) -> np.ndarray:
    """Where `count` resized pixels lie in a line of `source`, float64, not yet clamped."""
    i = np.arange(count, dtype=np.float64)
    match coordinates:
        case "half_pixel":
            return (2 * i + 1) * source / (2 * count) - 0.5
        case "asymmetric":
            return i * source / count
        case "align_corners":
            return i * (source - 1) / max(count - 1, 1)
        case _:
            raise ValueError(f"unknown coordinates {coordinates}")


def nearest(positions: np.ndarray, coordinates: str) -> np.ndarray:
    """The pixel that stands for each position, not yet clamped; halves go down."""
    return np.floor(positions) if coordinates == "asymmetric" else np.ceil(positions - 0.5)


def resized(x: Tensor, size: tuple[int, int], kind: str, coordinates: str) -> Tensor:
    """[N,C,H,W] at another height and width, one axis after the other; kind as in Graph.resize."""
    for axis, count in zip((2, 3), size):
        at = source_positions(count, x.shape[axis], coordinates)
        if kind == "nearest":
            at = nearest(at, coordinates)
        at = torch.from_numpy(at.clip(0, x.shape[axis] - 1))
        first = at.floor().long()
        second = (first + 1).clamp(max=x.shape[axis] - 1)
        share = (at - first).float().reshape([-1 if i == axis else 1 for i in range(4)])
        first, second, share = (part.to(x.device) for part in (first, second, share))
        x = x.index_select(axis, first) * (1 - share) + x.index_select(axis, second) * share
    return x


def depth_to_space(x: Tensor, block: int, order: str) -> Tensor:
    """[N,C,H,W] -> [N,C/block^2,H*block,W*block]."""
    if order == "crd":
        return F.pixel_shuffle(x, block)
    n, c, h, w = x.shape
    parts = x.reshape(n, block, block, c // block ** 2, h, w)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block ** 2, h * block, w * block)


OPERATORS: dict[str, Callable[..., Tensor]] = {  # arguments are those of Graph's methods
    "act": lambda x: x,  # its activation follows
    "add": torch.add,
    "mul": torch.mul,
    "concat": lambda a, b: torch.cat([a, b], 1),
    "global_avgpool": lambda x: x.mean((2, 3), keepdim=True),
    "softmax": lambda x: x.softmax(1),
    "layer_norm": layer_norm,
    "resize": resized,
    "depth_to_space": depth_to_space,
}
