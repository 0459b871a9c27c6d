"""Comparing operating points: the frontier, and curves of accuracy against bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLES = 201  # accuracies at which two curves are compared


def _costs(point: Mapping[str, Any]) -> tuple[float, float, float]:
    """What one wants little of: bytes, head MACs, wrong answers."""
    return point["bytes_mean"], point["head_macs"], -point["top1"]


def frontier(points: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each point lies on the frontier of bytes, head MACs and accuracy.

    A point lies behind it if another is as good in all three and better in one.
    """
    costs = [_costs(point) for point in points]
    return [not any(other != mine and all(o <= m for o, m in zip(other, mine)) for other in costs)
            for mine in costs]


class Curve:
    """Accuracy against bytes, through points in ascending order of both.

    Between two points accuracy is linear in the logarithm of bytes. A point that costs more bytes
    than another one without being better is left out.
    """

    def __init__(self, points: Sequence[Mapping[str, Any]]) -> None:
        kept: list[tuple[float, float]] = []
        for size, top1 in sorted((p["bytes_mean"], p["top1"]) for p in points
                                 if p["bytes_mean"] > 0):
            if not kept or top1 > kept[-1][1]:
                if kept and kept[-1][0] == size:
                    kept.pop()
                kept.append((size, top1))
        self.log_bytes = np.log([size for size, _ in kept])
        self.top1 = np.array([top1 for _, top1 in kept])

    def bytes_at(self, top1: float) -> float | None:
        """Bytes that this accuracy costs; None outside the curve."""
        if not len(self.top1) or not self.top1[0] <= top1 <= self.top1[-1]:
            return None
        return float(np.exp(np.interp(top1, self.top1, self.log_bytes)))

    def top1_at(self, size: float) -> float | None:
        """Accuracy that these bytes buy; None outside the curve."""
        logarithm = np.log(size)
        if not len(self.top1) or not self.log_bytes[0] <= logarithm <= self.log_bytes[-1]:
            return None
        return float(np.interp(logarithm, self.log_bytes, self.top1))


@dataclass(frozen=True)
class Saving:
    """Share of bytes saved at equal accuracy: mean, least and most over accuracies low..high."""

    mean: float
    least: float
    most: float
    low: float
    high: float


def saving(ours: Curve, theirs: Curve) -> Saving | None:
    """Bytes that `ours` saves against `theirs` over the accuracies that both reach.

    The mean is that of the logarithms, as in Bjøntegaard's measure. None without such accuracies.
    """
    if not len(ours.top1) or not len(theirs.top1):
        return None
    low, high = max(ours.top1[0], theirs.top1[0]), min(ours.top1[-1], theirs.top1[-1])
    if low > high:
        return None
    at = np.linspace(low, high, SAMPLES)
    ratio = np.interp(at, ours.top1, ours.log_bytes) - np.interp(at, theirs.top1, theirs.log_bytes)
    return Saving(*(float(1 - np.exp(x)) for x in (ratio.mean(), ratio.max(), ratio.min())),
                  float(low), float(high))
