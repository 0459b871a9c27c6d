"""The report's plots: accuracy against bytes, and against what the device computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

Row = dict[str, Any]
Methods = dict[str, list[list[Row]]]  # each method's curves, the strongest variant's first

# Okabe and Ito's colours, which most colour-blind people can tell apart; codecs are grey.
COLOURS = {
    "slimmable": "#0072B2", "ensemble": "#009E73", "early_exit": "#56B4E9",
    "frankensplit": "#D55E00", "bottlefit": "#CC79A7", "bottlefit-qat": "#CC79A7",
    "autoencoder": "#E69F00", "channel_reduction": "#8C6D31", "trunk": "#B2182B",
    "light": "#6A51A3", "webp": "#4D4D4D", "jpeg": "#9A9A9A",
}
OTHER = "#222222"
TUNED = "-tuned"
INK, GRID = "#222222", "#E4E4E4"
SIZE, DPI = (8.4, 5.2), 130
TICKS = (100, 200, 300, 500, 1000, 2000, 3000, 5000, 10_000, 20_000, 50_000)
LABEL_GAP = 0.042  # of the axis's height, between two labels


def plain(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """The look of all plots: no frame, a pale grid, the title at the left."""
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _axes(title: str, xlabel: str) -> Axes:
    _, axes = plt.subplots(figsize=SIZE, dpi=DPI, layout="constrained")
    plain(axes, title, xlabel, "top-1, %")
    return axes


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions in low..high close to the wanted ones, in their order, at least `gap` apart."""
    groups: list[tuple[float, int]] = []  # (middle, count)

    def within(middle: float, count: int) -> tuple[float, int]:
        half = gap * (count - 1) / 2
        return max(low + half, min(high - half, middle)), count

    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for i in order:
        groups.append(within(wanted[i], 1))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < \
                gap * (groups[-1][1] + groups[-2][1]) / 2:
            (a, m), (b, n) = groups[-2:]
            groups[-2:] = [within((a * m + b * n) / (m + n), m + n)]
    placed = [middle + gap * (k - (n - 1) / 2) for middle, n in groups for k in range(n)]
    positions = [0.0] * len(wanted)
    for i, position in zip(order, placed):
        positions[i] = position
    return positions


def label_ends(axes: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]],
               colours: Sequence[str]) -> None:
    """Names in a column at the right, each joined to its curve's end; limits must be final."""
    axes.get_xlim(), axes.get_ylim()  # scales an axis that has not been yet
    within = (axes.transData - axes.transAxes).transform(ends)
    heights = _apart([y for _, y in within], LABEL_GAP, 0.0, 1.0)
    for name, (x, y), height, colour in zip(names, within, heights, colours):
        axes.plot([x, 1.0], [y, height], color=colour, linewidth=0.7, alpha=0.5, clip_on=False,
                  linestyle=":", zorder=2, transform=axes.transAxes)
        axes.annotate(f" {name}", (1.0, height), color=colour, fontsize=9, va="center",
                      xycoords="axes fraction", annotation_clip=False)


def _draw(axes: Axes, methods: Methods, titles: dict[str, str], key: str, scale: float,
          joined: bool) -> None:
    """All methods with error bars; variants behind the first are thin and pale."""
    ends, colours = [], []
    for number, (method, curves) in enumerate(methods.items()):
        colour = COLOURS.get(method.removesuffix(TUNED), OTHER)
        is_codec = method in ("jpeg", "webp")
        for i, rows in enumerate(curves):
            rows = sorted(rows, key=lambda row: row[key])
            axes.errorbar(
                [row[key] * scale for row in rows], [100 * row["top1"] for row in rows],
                [100 * row["difference_se"] for row in rows], color=colour, marker="o",
                markerfacecolor="white" if is_codec else colour, markersize=6 if not number else 5,
                linewidth=0.9 if i else 2.4 if not number else 1.4, elinewidth=0.7,
                alpha=0.55 if i else 1.0, zorder=4 if not number else 3,
                linestyle="none" if not joined else "--" if is_codec else "-")
        best = max((row for rows in curves for row in rows), key=lambda row: row["top1"])
        ends.append((best[key] * scale, 100 * best["top1"]))
        colours.append(colour)
    label_ends(axes, [titles[method] for method in methods], ends, colours)


def _level(axes: Axes, row: Row, text: str) -> None:
    """A dashed line at the accuracy of a row."""
    axes.axhline(100 * row["top1"], color=INK, linewidth=0.8, linestyle=(0, (4, 4)), zorder=1)
    axes.annotate(text, (0.0, 100 * row["top1"]), (4, 3), color=INK, fontsize=8,
                  xycoords=("axes fraction", "data"), textcoords="offset points")


def _finish(axes: Axes, path: Path) -> None:
    axes.figure.savefig(path, metadata={"Software": ""})
    plt.close(axes.figure)


def _scale_accuracy(axes: Axes, rows: list[Row]) -> None:
    accuracies = [100 * row["top1"] for row in rows]
    axes.set_ylim(min(accuracies) - 2.5, max(accuracies) + 2.5)


def _all_rows(methods: Methods) -> list[Row]:
    return [row for curves in methods.values() for rows in curves for row in rows]


def plot_bytes(methods: Methods, titles: dict[str, str], levels: dict[str, Row],
               path: Path) -> None:
    """Accuracy against mean bytes on a logarithmic axis; the first method is drawn strongest."""
    rows = _all_rows(methods)
    sizes = [row["bytes_mean"] for row in rows]
    axes = _axes("Accuracy against bytes sent", "bytes a picture, mean")
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 1.15, max(sizes) * 1.15)
    axes.set_xticks([tick for tick in TICKS if min(sizes) / 1.15 <= tick <= max(sizes) * 1.15])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    _scale_accuracy(axes, [*rows, *levels.values()])
    for text, row in levels.items():
        _level(axes, row, text)
    _draw(axes, methods, titles, "bytes_mean", 1.0, joined=True)
    _finish(axes, path)


def plot_macs(methods: Methods, titles: dict[str, str], levels: dict[str, Row],
              path: Path) -> None:
    """Accuracy against the head's multiplications."""
    rows = _all_rows(methods)
    axes = _axes("Accuracy against the device's work", "head, million multiply-accumulates")
    axes.set_xlim(0, 1.08e-6 * max(row["head_macs"] for row in rows))
    _scale_accuracy(axes, [*rows, *levels.values()])
    for text, row in levels.items():
        _level(axes, row, text)
    _draw(axes, methods, titles, "head_macs", 1e-6, joined=False)
    _finish(axes, path)
