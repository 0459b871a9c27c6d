"""The factorised prior: a differentiable density for training, integer tables for the bundle."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOTAL = 65536
STATE_BYTES = 4


class LogisticMixture(nn.Module):
    """Per-channel mixture of logistic densities over latents measured in quantisation steps."""

    def __init__(self, channels: int, parts: int = 3) -> None:
        super().__init__()
        spread = torch.linspace(-1.0, 1.0, parts)[:, None, None, None]
        self.mean = nn.Parameter(spread.expand(parts, channels, 1, 1).clone())
        self.log_scale = nn.Parameter(torch.zeros(parts, channels, 1, 1))
        self.weight = nn.Parameter(torch.zeros(parts, channels, 1, 1))

    def bits(self, q: Tensor) -> Tensor:
        """Bits for each picture [N] of latents q [N,C,H,W] that carry uniform noise."""
        inverse = (-self.log_scale).exp()
        centred = (q[None] - self.mean[:, None]).abs()
        upper = torch.sigmoid((0.5 - centred) * inverse[:, None])
        lower = torch.sigmoid((-0.5 - centred) * inverse[:, None])
        mass = (F.softmax(self.weight, 0)[:, None] * (upper - lower)).sum(0)
        return -mass.clamp_min(1e-7).log2().sum((1, 2, 3))


def smooth(histogram: np.ndarray, lent: float = 0.001, floor: float = 0.5) -> np.ndarray:
    """Counts [n] -> frequencies [n] that sum to one, none of them zero.

    Neighbours lend each other a little, so that a symbol that training never showed, but that lies
    beside frequent ones, costs fewer bits than one far off.
    """
    padded = np.pad(histogram.astype(np.float64), 1)
    blurred = (1 - 2 * lent) * padded[1:-1] + lent * (padded[:-2] + padded[2:]) + floor
    return blurred / blurred.sum()


def integer_table(frequencies: np.ndarray) -> np.ndarray:
    """Frequencies [n], the last one the escape -> cumulative int32 [n+1] from 0 to TOTAL."""
    n = len(frequencies)
    counts = 1 + np.floor(frequencies / frequencies.sum() * (TOTAL - n)).astype(np.int64)
    counts[np.argmax(counts)] += TOTAL - counts.sum()
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def build_tables(symbols: np.ndarray, tail_share: float = 1e-6) -> dict[str, np.ndarray]:
    """Quantised latents int32 [N,h,w,c] -> cdf, cdf_start, symbol_min for the bundle.

    A channel's regular symbols are those that occur, less extreme outliers, and one on each side.
    """
    tables, starts, lows = [], [0], []
    for channel in np.moveaxis(symbols, -1, 0).reshape(symbols.shape[-1], -1):
        low, high = (int(v) for v in np.quantile(channel, [tail_share, 1 - tail_share],
                                                 method="nearest"))
        low, high = low - 1, high + 1
        inside = channel[(channel >= low) & (channel <= high)]
        histogram = np.bincount(inside - low, minlength=high - low + 1)
        escapes = max(len(channel) - len(inside), 1) / len(channel)
        table = integer_table(np.append(smooth(histogram) * (1 - escapes), escapes))
        tables.append(table)
        starts.append(starts[-1] + len(table))
        lows.append(low)
    return {"cdf": np.concatenate(tables), "cdf_start": np.array(starts, np.int32),
            "symbol_min": np.array(lows, np.int32)}


def escape_bits(offset: np.ndarray, count: int) -> np.ndarray:
    """Bits after the escape symbol: Elias-gamma of the folded distance to the regular range.

    Offsets inside the range give a value without meaning.
    """
    folded = np.where(offset >= count, 2 * (offset - count), 2 * (-offset - 1) + 1)
    return 2 * np.floor(np.log2(np.maximum(folded, 0) + 1)) + 1


def payload_bytes(symbols: np.ndarray, tables: dict[str, np.ndarray]) -> np.ndarray:
    """Ideal rANS payload sizes [N] in bytes, final state included, of symbols [N,h,w,c]."""
    bits = np.zeros(len(symbols))
    for c in range(symbols.shape[-1]):
        cdf = tables["cdf"][tables["cdf_start"][c]:tables["cdf_start"][c + 1]]
        costs = -np.log2(np.diff(cdf) / TOTAL)
        count = len(costs) - 1
        offset = symbols[..., c].reshape(len(symbols), -1) - tables["symbol_min"][c]
        regular = (offset >= 0) & (offset < count)
        cost = np.where(regular, costs[np.clip(offset, 0, count)], 0.0)
        cost = np.where(regular, cost, costs[count] + escape_bits(offset, count))
        bits += cost.sum(1)
    return np.ceil(bits / 8) + STATE_BYTES
