"""The priors that cross the wire: integer tables by context."""

from __future__ import annotations

import numpy as np

TOTAL = 65536
STATE_BYTES = 4
MOST_TABLES = 4096        # of one prior, as api/limits.h says
MOST_ENTRIES = 1 << 18

CONTEXT_CLAMP = 7         # |symbol| as contexts see it; docs/WIRE.md
CONTEXT_STEP = 0.6        # between limits, in standard deviations of the sums
CONTEXT_LENT = 20.0       # symbols' worth of the channel's table in each context's
RIDGE = 100.0             # symbols' worth of doubt in a weight
PICTURES_AT_ONCE = 64


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


def neighbours(symbols: np.ndarray) -> np.ndarray:
    """What contexts may depend on: int32 [N,h,w,c] -> clamped symbols [N,h,w,3c].

    Those of the position on the left, of the one above (0 outside) and of this one itself.
    """
    here = np.clip(symbols, -CONTEXT_CLAMP, CONTEXT_CLAMP)
    left, above = np.zeros_like(here), np.zeros_like(here)
    left[:, :, 1:], above[:, 1:] = here[:, :, :-1], here[:, :-1]
    return np.concatenate([left, above, here], -1)


def contexts_of(symbols: np.ndarray, weight: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The context int32 [N,h,w,c] of each symbol, by int8 [3,c,c] weights and int32 [c,K-1]."""
    return reached(context_sums(symbols, weight), limit)


def context_sums(symbols: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted sums of each symbol's neighbours: int32 [N,h,w,c].

    Of weight[2], only sources before their target count. float32 holds every sum exactly: they
    stay below 2^24.
    """
    used = np.concatenate([weight[0], weight[1], np.triu(weight[2], 1)]).astype(np.float32)
    return (neighbours(symbols).astype(np.float32) @ used).astype(np.int32)


def reached(sums: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """How many limits [c,K-1] of its channel each sum [N,h,w,c] reaches: int32 [N,h,w,c]."""
    count = np.zeros(sums.shape, np.int32)
    for at in limit.T:
        count += sums >= at
    return count


def fit_weights(symbols: np.ndarray) -> np.ndarray:
    """int32 [N,h,w,c] -> int8 [3,c,c]: the linear prediction of each symbol by its neighbours.

    Least squares, scaled so that each channel's largest weight is 127.
    """
    c = symbols.shape[-1]
    gram = np.zeros((3 * c + 1, 3 * c + 1))
    for part in np.array_split(symbols, -(-len(symbols) // PICTURES_AT_ONCE)):
        x = np.pad(neighbours(part).reshape(-1, 3 * c), ((0, 0), (1, 0)), constant_values=1)
        gram += x.T.astype(np.float32) @ x.astype(np.float32)
    # Row k of a Cholesky factor's inverse is what the variables before k do not tell of it.
    rest = np.linalg.inv(np.linalg.cholesky(gram + RIDGE * np.eye(len(gram))))[1 + 2 * c:]
    weight = -(rest / np.diagonal(rest, 1 + 2 * c)[:, None]).T[1:]
    weight[2 * c + np.arange(c), np.arange(c)] = 0
    largest = np.abs(weight).max(0)
    return np.rint(weight / np.where(largest > 0, largest, 1) * 127).astype(np.int8).reshape(
        3, c, c)


def fit_limits(sums: np.ndarray, contexts: int) -> np.ndarray:
    """Sums int32 [N,h,w,c] -> int32 [c,contexts-1]: evenly spaced about each channel's mean."""
    flat = sums.reshape(-1, sums.shape[-1])
    spread = CONTEXT_STEP * (np.arange(contexts - 1) - (contexts - 2) / 2)
    return np.rint(flat.mean(0)[:, None] + flat.std(0)[:, None] * spread).astype(np.int32)


def build_tables(symbols: np.ndarray, tail_share: float = 1e-6,
                 contexts: int = 8) -> dict[str, np.ndarray]:
    """Quantised latents int32 [N,h,w,c] -> the prior's tensors for the bundle, save its gain.

    A channel's regular symbols are those that occur, less extreme outliers, and one on each side.
    Each context's table leans on the whole channel's where the context is rare. Fewer contexts are
    made where the engine would not take as many tables; with one alone there are no context_*.
    """
    channels = np.moveaxis(symbols, -1, 0).reshape(symbols.shape[-1], -1)
    lows, highs = (np.quantile(channels, share, axis=1, method="nearest").astype(np.int32) + side
                   for share, side in ((tail_share, -1), (1 - tail_share, 1)))
    contexts = max(1, min(contexts, MOST_TABLES // len(channels),
                          MOST_ENTRIES // int((highs - lows + 3).sum())))
    extra = {}
    chosen = np.zeros_like(channels)
    if contexts > 1:
        weight = fit_weights(symbols)
        sums = context_sums(symbols, weight)
        extra = {"context_weight": weight, "context_limit": fit_limits(sums, contexts)}
        chosen = np.moveaxis(reached(sums, extra["context_limit"]), -1, 0).reshape(channels.shape)
    tables, starts = [], [0]
    for channel, low, high, context in zip(channels, lows, highs, chosen):
        count = high - low + 1
        offset = np.where((channel < low) | (channel > high), count, channel - low)
        seen = np.bincount(context * (count + 1) + offset, minlength=contexts * (count + 1))
        seen = seen.reshape(contexts, count + 1)
        whole = seen.sum(0)
        escapes = max(whole[-1], 1) / len(channel)
        whole = np.append(smooth(whole[:-1]) * (1 - escapes), escapes)
        for frequencies in seen + CONTEXT_LENT * whole if contexts > 1 else [whole]:
            tables.append(integer_table(frequencies))
            starts.append(starts[-1] + len(tables[-1]))
    return {"cdf": np.concatenate(tables), "cdf_start": np.array(starts, np.int32),
            "symbol_min": lows, **extra}


def escape_bits(offset: np.ndarray, count: int) -> np.ndarray:
    """Bits after the escape symbol: Elias-gamma of the folded distance to the regular range.

    Offsets inside the range give a value without meaning.
    """
    folded = np.where(offset >= count, 2 * (offset - count), 2 * (-offset - 1) + 1)
    return 2 * np.floor(np.log2(np.maximum(folded, 0) + 1)) + 1


def payload_bytes(symbols: np.ndarray, tables: dict[str, np.ndarray]) -> np.ndarray:
    """Ideal rANS payload sizes [N] in bytes, final state included, of symbols [N,h,w,c]."""
    bits = np.zeros(len(symbols))
    starts, chosen = tables["cdf_start"], np.zeros_like(symbols)
    contexts = 1
    if "context_weight" in tables:
        chosen = contexts_of(symbols, tables["context_weight"], tables["context_limit"])
        contexts = tables["context_limit"].shape[1] + 1
    for c in range(symbols.shape[-1]):
        for context in range(contexts):
            table = c * contexts + context
            cdf = tables["cdf"][starts[table]:starts[table + 1]]
            costs = -np.log2(np.diff(cdf) / TOTAL)
            count = len(costs) - 1
            picture, *_ = place = np.nonzero(chosen[..., c] == context)
            offset = symbols[..., c][place] - tables["symbol_min"][c]
            regular = (offset >= 0) & (offset < count)
            cost = np.where(regular, costs[np.clip(offset, 0, count)],
                            costs[count] + escape_bits(offset, count))
            bits += np.bincount(picture, cost, len(symbols))
    return np.ceil(bits / 8) + STATE_BYTES
