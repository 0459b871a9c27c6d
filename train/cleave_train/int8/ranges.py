"""The codes of an activation: the scale and zero that lose least of the values that were seen."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from .arithmetic import Quant

BINS = 2048
LEAST_SCALE = 1e-30  # that a bundle may have
SHARES = np.linspace(0.1, 1.0, 46)  # of the largest and the smallest value, to try as ends


def affine(low: float, high: float) -> Quant:
    """The codes whose first stands for `low` and whose last for `high`; 0 has a code of its own."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255)
    if scale < LEAST_SCALE:
        return 1.0, 0
    return float(scale), int(np.clip(np.rint(-low / scale), 0, 255))


def _histogram(values: list[Tensor], low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Middles and counts of the bins, float64 [BINS]."""
    counts = sum(torch.histc(part, BINS, low, high).double() for part in values)
    width = (high - low) / BINS
    return low + width * (np.arange(BINS) + 0.5), counts.numpy()


def _losses(middles: np.ndarray, counts: np.ndarray, quants: Iterable[Quant]) -> np.ndarray:
    """Summed squared error of the counted values by each choice of codes."""
    scale, zero = (np.array(part, np.float64)[:, None] for part in zip(*quants))
    clipped = np.clip(middles, -zero * scale, (255 - zero) * scale)
    return ((clipped - middles) ** 2 * counts).sum(1) + counts.sum() * scale[:, 0] ** 2 / 12


def best_range(values: list[Tensor]) -> Quant:
    """The codes with the least mean squared error over these values.

    Codes that reach less far are finer: a little clipping is often the lesser evil.
    """
    ends = torch.stack([torch.stack(part.aminmax()) for part in values])
    low, high = min(0.0, float(ends[:, 0].min())), max(0.0, float(ends[:, 1].max()))
    if (high - low) / 255 < LEAST_SCALE:
        return affine(low, high)
    middles, counts = _histogram(values, low, high)
    lows = low * SHARES if low < 0 else [0.0]
    highs = high * SHARES if high > 0 else [0.0]
    quants = [affine(a, b) for a in lows for b in highs]
    return quants[int(np.argmin(_losses(middles, counts, quants)))]
