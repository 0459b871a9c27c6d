"""Writes the report: what was measured, as Markdown tables, verdicts and plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .curves import frontier
from .report_plots import plot_bytes, plot_macs
from .verdicts import Verdict, verdicts

Row = dict[str, Any]
WHOLE = ("local", "offload")  # series of the undivided network
YARDSTICK = ("jpeg", "jpeg-q75")  # series and point: what the client would otherwise send
METHODS = {  # in the order of the report
    "slimmable": "slimmable", "light": "light encoder", "trunk": "backbone's own first blocks",
    "ensemble": "ensemble", "early_exit": "early exit", "frankensplit": "FrankenSplit-style",
    "bottlefit": "BottleFit-style", "bottlefit-qat": "BottleFit-style, 8-bit aware",
    "autoencoder": "mid-network autoencoder", "channel_reduction": "8-bit channel reduction",
    "webp-tuned": "WebP, fine-tuned", "jpeg-tuned": "JPEG, fine-tuned", "webp": "WebP",
    "jpeg": "JPEG",
}


def load_rows(paths: list[Path]) -> list[Row]:
    """The rows of all results; what several of them measured alike counts once.

    A method that adds exits to another's points is shown by those alone.
    """
    rows: dict[tuple[str, str, str], Row] = {}
    for path in paths:
        for row in json.loads(path.read_text())["rows"]:
            key = row["series"], "" if row["series"] in WHOLE else row["bundle"], row["point"]
            rows.setdefault(key, row)
    exits = {row["series"] for row in rows.values() if row["kind"] == "exit"}
    return [row for row in rows.values() if row["series"] not in exits or row["kind"] == "exit"]


def by_series(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows of split points, exits and codecs by method, in the report's order."""
    shown = [row for row in rows if row["kind"] not in WHOLE]
    order = [*METHODS, *sorted({row["series"] for row in shown} - set(METHODS))]
    found = {name: [row for row in shown if row["series"] == name] for name in order}
    return {name: mine for name, mine in found.items() if mine}


def _variant(row: Row) -> tuple[str, float, int]:
    """What tells a method's curves apart: bundle, width, ensemble."""
    return row["bundle"], row.get("width", 1.0), row.get("ensemble", 1)


def curves_of(series: dict[str, list[Row]], judged: str) -> dict[str, list[list[Row]]]:
    """Each method's curves, one for each variant; the judged bundle's first, widest first."""
    curves = {}
    for name, rows in series.items():
        variants = sorted({_variant(row) for row in rows},
                          key=lambda v: (v[0] != judged, -v[1], -v[2]))
        curves[name] = [[row for row in rows if _variant(row) == v] for v in variants]
    return dict(sorted(curves.items(), key=lambda item: (
        item[1][0][0]["bundle"], item[1][0][0]["kind"]) != (judged, "split")))


def title(name: str, rows: list[Row]) -> str:
    """How the report calls a method, with the variants that it has."""
    text = METHODS.get(name, name)
    for key, plural in (("width", "widths"), ("ensemble", "encoders:")):
        values = sorted({row.get(key, 1) for row in rows})
        if len(values) > 1:
            text += f", {plural} {values[0]:g} to {values[-1]:g}"
    return text


def _percent(x: float) -> str:
    return f"{100 * x:.1f} %"


def _signed(row: Row, key: str) -> str:
    return f"{100 * row[key]:+.1f} ± {100 * row[f'{key}_se']:.1f}"


def points_table(rows: list[Row], on_frontier: dict[int, bool]) -> list[str]:
    """The judged bundle's points."""
    lines = ["| point | head MMAC | tail MMAC | bytes mean / p95 | top-1 | top-5 | against "
             "uncompressed | against JPEG q75 | frontier |", "|" + " --- |" * 9]
    for row in rows:
        lines.append(
            f"| `{row['point']}` | {row['head_macs'] / 1e6:.1f} | {row['tail_macs'] / 1e6:.0f} "
            f"| {row['bytes_mean']:,.0f} / {row['bytes_p95']:,.0f} | {_percent(row['top1'])} "
            f"| {_percent(row['top5'])} | {_signed(row, 'difference')} "
            f"| {_signed(row, 'against_jpeg')} | {'yes' if on_frontier[id(row)] else 'no'} |")
    return lines


def methods_table(series: dict[str, list[Row]]) -> list[str]:
    """Every method and baseline, in ascending bytes."""
    lines = ["| method | point | bytes mean | top-1 | against JPEG q75 | head MMAC "
             "| head parameters | trained: steps, views |", "|" + " --- |" * 8]
    for name, rows in series.items():
        for row in sorted(rows, key=lambda r: r["bytes_mean"]):
            trained = f"{row['training_steps']:,}, {row['training_views']:,}" \
                if row["training_steps"] else "no"
            lines.append(
                f"| {METHODS.get(name, name)} | `{row['point']}` | {row['bytes_mean']:,.0f} "
                f"| {_percent(row['top1'])} | {_signed(row, 'against_jpeg')} "
                f"| {row['head_macs'] / 1e6:.1f} | {row['params_head']:,} | {trained} |")
    return lines


def sets_table(rows: list[Row]) -> list[str]:
    """Top-1 of points in each set of pictures."""
    names = list(rows[0]["top1_by_set"])
    lines = ["| point | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    return lines + [f"| `{row['point']}` | "
                    + " | ".join(_percent(row["top1_by_set"][name]) for name in names) + " |"
                    for row in rows]


def verdict_table(found: list[Verdict]) -> list[str]:
    """Targets, what was measured, and by how much one was missed."""
    lines = ["| figure | wanted | measured | |", "|" + " --- |" * 4]
    return lines + [f"| {v.what} | {v.wanted} | {v.found} "
                    f"| {v.missed or 'met'} |" for v in found]


def frontier_statement(rows: list[Row], on_frontier: dict[int, bool]) -> str:
    """Which listed points are not worth listing."""
    behind = [f"`{row['point']}`" for row in rows if not on_frontier[id(row)]]
    if not behind:
        return "Every listed point lies on the frontier of bytes, head MACs and top-1."
    return ("Behind the frontier of bytes, head MACs and top-1 over all that was measured: "
            + ", ".join(behind) + ".")


def render(rows: list[Row], judged: str) -> str:
    """The whole report; `judged` is the fingerprint of the bundle held against the targets."""
    series = by_series(rows)
    mine = [row for row in rows if row["bundle"] == judged and row["kind"] == "split"]
    wholes = [row for row in rows if row["series"] in WHOLE]
    local = next(row for row in wholes if row["series"] == "local")
    marks = {id(row): mark for row, mark in zip(rows, frontier(rows))}
    listed = [*mine, *wholes]
    differences = "Differences are to the network before it was quantized, in fp32. " \
        if any("against_original" in row for row in mine) else ""
    compared = [*listed, *(row for row in rows if (row["series"], row["point"]) == YARDSTICK)]
    head = [
        "# Measured", "",
        f"{local['pictures']} pictures, every one by every method, through the C engine: real "
        "frames and real files, header included. ± is the standard error of the paired "
        "difference. JPEG and WebP are files of the picture that the network sees; *fine-tuned* "
        "means that the whole network learnt to answer for such pictures. "
        f"{differences}The judged bundle is "
        f"`{mine[0]['name']}`, fingerprint `{judged}`. Written by `python -m cleave_train "
        "report`.", "",
        "![Accuracy against bytes](report/bytes.png)", "",
        "![Accuracy against head MACs](report/macs.png)", ""]
    return "\n".join([
        *head, "## Targets", "", *verdict_table(verdicts(mine, local, series)), "",
        "Bytes at equal accuracy: between two points accuracy is linear in the logarithm of "
        "bytes, and savings are averaged over the accuracies that both curves reach.", "",
        "## Operating points", "", *points_table(listed, marks), "",
        frontier_statement(listed, marks), "",
        "### By set of pictures, top-1", "", *sets_table(compared), "",
        "## All methods and baselines", "", *methods_table(series), ""])


def judged_bundle(rows: list[Row], name: str) -> str:
    """Fingerprint of the bundle of this name, or of the first with split points."""
    for row in rows:
        if row["kind"] == "split" and name in ("", row["name"]):
            return row["bundle"]
    raise SystemExit(f"no split points of {name or 'any bundle'} in the results")


def write_report(results: list[Path], output: Path, bundle: str = "") -> None:
    """REPORT.md and its plots below `output`."""
    rows = load_rows(results)
    judged = judged_bundle(rows, bundle)
    series = by_series(rows)
    curves = curves_of(series, judged)
    titles = {name: title(name, mine) for name, mine in series.items()}
    levels = {"whole network, uncompressed": next(r for r in rows if r["series"] == "local")}
    for row in rows:
        if (row["series"], row["point"]) == YARDSTICK:
            levels["JPEG q75"] = row
    (output / "report").mkdir(parents=True, exist_ok=True)
    plot_bytes(curves, titles, levels, output / "report" / "bytes.png")
    heads = {name: mine for name, mine in curves.items() if mine[0][0]["head_macs"]}
    plot_macs(heads, titles, levels, output / "report" / "macs.png")
    (output / "REPORT.md").write_text(render(rows, judged))
