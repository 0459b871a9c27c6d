"""Values in 8-bit codes and the arithmetic on them, bit for bit as docs/WIRE.md defines it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Quant = tuple[float, int]  # scale s, a float32, and zero point z: code q stands for s * (q - z)
Node = dict[str, Any]
EXACT_FLOAT32 = 1 << 24    # float32 holds every integer up to here
LIMITS = {"none": (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0)}


@dataclass(frozen=True)
class Quantized:
    """A value in codes uint8 [N,C,H,W]."""

    codes: Tensor
    scale: np.float32
    zero: int

    def centred(self) -> Tensor:
        """q - z, float32: what integer sums are made of."""
        return self.codes.float() - self.zero

    def real(self) -> Tensor:
        """The numbers that the codes stand for, float32."""
        return self.centred() * float(self.scale)


def act_limits(node: Node) -> tuple[float, float] | None:
    """Between which numbers a node's activation clamps; None if it does something else."""
    act = node.get("act", "none")
    return tuple(node["limits"]) if act == "clip" else LIMITS.get(act)


def _rounded(x: Tensor, node: Node) -> Quantized:
    """x = real / s + z to codes, halves to even, within the node's activation; x is used up."""
    scale, zero = np.float32(node["quant"][0]), int(node["quant"][1])
    low, high = (np.clip(np.rint(np.float32(limit) / scale + np.float32(zero)), 0, 255)
                 for limit in act_limits(node))
    codes = x.nan_to_num_(0.0).round_().clamp_(float(low), float(high))
    return Quantized(codes.to(torch.uint8), scale, zero)


def _by_channel(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x)[:, None, None]


def quantize(x: Tensor, node: Node) -> Quantized:
    """Numbers float32 [N,C,H,W] in codes."""
    scale, zero = node["quant"]
    return _rounded(x * float(np.float32(1) / np.float32(scale)) + zero, node)


def exact_sums(x: Quantized, weight: Tensor,
               product: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """product(q - z, weight) as of int32, rounded to float32 once; whole weights [out,...].

    Where no sum of a part of the terms can leave what float32 holds, any order of them is exact.
    """
    furthest = max(x.zero, 255 - x.zero) * float(weight.abs().flatten(1).sum(1).max())
    if furthest <= EXACT_FLOAT32:
        return product(x.centred(), weight)
    return product(x.centred().double(), weight.double()).float()


def scaled_sums(sums: Tensor, source: Quantized, scale: Tensor, bias: Tensor) -> Tensor:
    """Numbers of integer sums [N,C,H,W] by the weights' scale and bias [C], not yet activated."""
    m = scale.numpy() * source.scale
    return sums * _by_channel(m) + bias[:, None, None]


def rounded_sums(sums: Tensor, source: Quantized, scale: Tensor, bias: Tensor,
                 node: Node) -> Quantized:
    """Codes of integer sums [N,C,H,W] by the weights' scale and bias [C]."""
    s, z = np.float32(node["quant"][0]), np.float32(node["quant"][1])
    m = scale.numpy() * source.scale / s
    return _rounded(sums * _by_channel(m) + _by_channel(bias.numpy() / s + z), node)


def mean(x: Quantized, sums: Tensor, counts: np.ndarray, node: Node) -> Tensor | Quantized:
    """Of exact sums of q - z over so many positions, float32 [1,1,H,W] or a number."""
    if "quant" not in node:
        return sums * torch.from_numpy(x.scale / counts)
    s, z = np.float32(node["quant"][0]), node["quant"][1]
    return _rounded(sums * torch.from_numpy((x.scale / s) / counts) + z, node)


def add(a: Quantized, b: Quantized, node: Node) -> Quantized:
    """The codes of a sum."""
    s, z = np.float32(node["quant"][0]), np.float32(node["quant"][1])
    f, g = a.scale / s, b.scale / s
    c = z - (np.float32(a.zero) * f + np.float32(b.zero) * g)
    return _rounded((a.codes * float(f) + b.codes * float(g)) + float(c), node)


def concat(parts: list[Quantized], node: Node) -> Quantized:
    """The codes of all channels by one scale and zero point."""
    s, z = np.float32(node["quant"][0]), np.float32(node["quant"][1])
    factors = [part.scale / s for part in parts]
    return _rounded(torch.cat([part.codes * float(f) + float(z - np.float32(part.zero) * f)
                               for part, f in zip(parts, factors)], 1), node)
