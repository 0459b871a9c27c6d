"""Tables by context: what the weights find, what they save and cost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cleave_train.entropy import (
    MOST_ENTRIES,
    MOST_TABLES,
    TOTAL,
    build_tables,
    contexts_of,
    escape_bits,
    payload_bytes,
)


def field(pictures: int, channels: int, seed: int) -> np.ndarray:
    """Symbols int32 [N,9,7,c] that resemble their neighbours and the channel before them."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 1, (pictures, 10, 8, channels))
    y = y[:, 1:, 1:] + y[:, :-1, 1:] + y[:, 1:, :-1]
    y[..., 1:] += y[..., :-1]
    return np.rint(y * 0.7).astype(np.int32)


def slow_contexts(symbols: np.ndarray, tables: dict[str, np.ndarray]) -> np.ndarray:
    """docs/WIRE.md by the letter: one picture [h,w,c] -> its contexts."""
    weight = tables["context_weight"].astype(int)
    limit = tables["context_limit"]
    p = np.pad(np.clip(symbols, -7, 7), ((1, 0), (1, 0), (0, 0)))
    found = np.zeros_like(symbols)
    for y, x, c in np.ndindex(*symbols.shape):
        a = (p[y + 1, x] * weight[0, :, c]).sum() + (p[y, x + 1] * weight[1, :, c]).sum()
        a += (p[y + 1, x + 1, :c] * weight[2, :c, c]).sum()
        found[y, x, c] = (limit[c] <= a).sum()
    return found


def slow_bytes(symbols: np.ndarray, tables: dict[str, np.ndarray], contexts: np.ndarray) -> float:
    """The ideal size of one picture [h,w,c], symbol by symbol."""
    count = tables["context_limit"].shape[1] + 1
    bits = 0.0
    for (*_, c), q, context in zip(np.ndindex(*symbols.shape), symbols.flat, contexts.flat):
        start = tables["cdf_start"][c * count + context:][:2]
        step = np.diff(tables["cdf"][start[0]:start[1]])
        s = q - tables["symbol_min"][c]
        regular = 0 <= s < len(step) - 1
        bits -= np.log2(step[s if regular else -1] / TOTAL)
        bits += 0 if regular else escape_bits(s, len(step) - 1)
    return np.ceil(bits / 8) + 4


def test_sizes_are_those_of_the_documented_contexts() -> None:
    symbols = field(64, 5, 1)
    tables = build_tables(symbols)
    symbols = symbols[:3]
    symbols[1, 2, 3] = [1 << 20, -(1 << 20), 9, -9, 100]
    contexts = contexts_of(symbols, tables["context_weight"], tables["context_limit"])
    sizes = payload_bytes(symbols, tables)
    for picture, mine, size in zip(symbols, contexts, sizes):
        assert (slow_contexts(picture, tables) == mine).all()
        assert slow_bytes(picture, tables, mine) == size


def test_tables_are_what_the_engine_takes() -> None:
    tables = build_tables(field(16, 3, 2), contexts=5)
    starts = tables["cdf_start"]
    assert tables["context_weight"].dtype == np.int8
    assert tables["context_weight"].shape == (3, 3, 3)
    assert tables["context_limit"].dtype == np.int32 and tables["context_limit"].shape == (3, 4)
    assert len(starts) == 3 * 5 + 1 and starts[0] == 0 and starts[-1] == len(tables["cdf"])
    for start, end in pairwise(starts):
        cdf = tables["cdf"][start:end]
        assert cdf[0] == 0 and cdf[-1] == TOTAL and (np.diff(cdf) > 0).all()


def test_contexts_save_bytes_on_other_pictures() -> None:
    fitted, others = field(256, 4, 3), field(64, 4, 4)
    alone = payload_bytes(others, build_tables(fitted, contexts=1)).mean()
    assert payload_bytes(others, build_tables(fitted)).mean() < 0.9 * alone


def test_contexts_cost_nothing_where_there_is_nothing_to_find() -> None:
    rng = np.random.default_rng(5)
    draw = lambda n: rng.normal(0, [0, 0.3, 1, 4], (n, 14, 14, 4)).round().astype(np.int32)  # noqa: E731
    fitted, others = draw(128), draw(64)
    alone = payload_bytes(others, build_tables(fitted, contexts=1)).mean()
    assert payload_bytes(others, build_tables(fitted)).mean() < 1.01 * alone


def test_one_context_needs_no_weights_and_many_channels_get_fewer() -> None:
    assert set(build_tables(field(4, 2, 6), contexts=1)) == {"cdf", "cdf_start", "symbol_min"}
    wide = build_tables(np.tile(field(2, 3, 7), 200))
    assert len(wide["cdf_start"]) - 1 <= MOST_TABLES
    assert wide["context_limit"].shape == (600, MOST_TABLES // 600 - 1)
    coarse = build_tables(field(4, 4, 8) * 2000)
    assert len(coarse["cdf"]) <= MOST_ENTRIES
