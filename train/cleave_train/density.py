"""The factorised prior while training: a differentiable density for each channel of a latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 1e-7


class LogisticMixture(nn.Module):
    """Per-channel mixture of logistic densities (Ballé et al., 2018, section 6.1, in its role)."""

    def __init__(self, channels: int, parts: int = 3) -> None:
        super().__init__()
        spread = torch.linspace(-1.0, 1.0, parts)[:, None, None, None]
        self.mean = nn.Parameter(spread.expand(parts, channels, 1, 1).clone())
        self.log_scale = nn.Parameter(torch.full((parts, channels, 1, 1), -0.7))
        self.weight = nn.Parameter(torch.zeros(parts, channels, 1, 1))

    def bits(self, y: Tensor, step: Tensor) -> Tensor:
        """Bits for each picture [N] of values y [N,C,H,W] in bins of width `step` [1,C,1,1]."""
        inverse = (-self.log_scale).exp()
        half = 0.5 * step
        centred = (y[None] - self.mean[:, None]).abs()
        upper = torch.sigmoid((half - centred) * inverse[:, None])
        lower = torch.sigmoid((-half - centred) * inverse[:, None])
        mass = (F.softmax(self.weight, 0)[:, None] * (upper - lower)).sum(0)
        return -mass.clamp_min(FLOOR).log2().sum((1, 2, 3))
