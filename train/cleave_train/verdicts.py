"""What the project set out to reach, each figure held against what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .coder import Family
from .curves import Curve, saving
from .reference import FRAME_HEADER

Row = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One figure: what was wanted and what was found; `missed` says by how much, "" if met."""

    what: str
    wanted: str
    found: str
    missed: str = ""


@dataclass(frozen=True)
class PointTarget:
    """At most so many bytes and head MACs, at least this top-1 against JPEG q75."""

    name: str
    bytes: float
    against_jpeg: float
    head_macs: float


POINTS = (
    PointTarget("headline: 77 % fewer bytes than JPEG q75", 2366, -0.006, 120e6),
    PointTarget("the same without loss", 2366, 0.0, 120e6),
    PointTarget("default", 1200, -0.02, 50e6),
    PointTarget("thin link", 600, -0.05, 50e6),
)
SAVINGS = (("bottlefit", "our BottleFit-style bottleneck", 0.60),
           ("webp-tuned", "fine-tuned WebP", 0.40), ("jpeg", "plain JPEG", 0.70))
HEAD_MACS, SMALLEST_HEAD_MACS = 50e6, 10e6
PARAMETER_RATIO = 83
WIDTH_LOSS = 0.02
HEADER_BYTES = 32


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


def point_verdict(target: PointTarget, points: list[Row]) -> Verdict:
    """The most accurate point that keeps within bytes and MACs."""
    name = f"{target.name}: ≤ {target.bytes:,.0f} B, head ≤ {target.head_macs / 1e6:.0f} MMAC"
    wanted = f"≥ {_points(target.against_jpeg)} against JPEG q75"
    able = [p for p in points if p["bytes_mean"] <= target.bytes
            and p["head_macs"] <= target.head_macs]
    if not able:
        return Verdict(name, wanted, "no such point", "missed: nothing costs so little")
    best = max(able, key=lambda p: p["against_jpeg"])
    short = target.against_jpeg - best["against_jpeg"]
    return Verdict(name, wanted, f"{_points(best['against_jpeg'])} ± "
                   f"{100 * best['against_jpeg_se']:.1f} (`{best['point']}`, "
                   f"{best['bytes_mean']:,.0f} B, {best['head_macs'] / 1e6:.1f} MMAC)",
                   f"missed by {100 * short:.1f} points" if short > 1e-9 else "")


def saving_verdict(name: str, wanted: float, ours: list[Row], theirs: list[Row]) -> Verdict:
    """Bytes saved at equal accuracy."""
    what, text = f"bytes saved at equal accuracy against {name}", f"≥ {100 * wanted:.0f} %"
    if not theirs:
        return Verdict(what, text, "not measured", "not measured")
    found = saving(Curve(ours), Curve(theirs))
    if found is None:
        best = max(theirs, key=lambda p: p["top1"])
        cheapest = min(ours, key=lambda p: p["bytes_mean"])
        if cheapest["top1"] > best["top1"]:
            saved = 1 - cheapest["bytes_mean"] / best["bytes_mean"]
            return Verdict(what, text, f"more than {100 * saved:.0f} % (`{cheapest['point']}` is "
                           f"{_points(cheapest['top1'] - best['top1'])} of its best)",
                           "" if saved >= wanted else f"{100 * wanted:.0f} % not shown")
        reach = " and ".join(f"{100 * min(p['top1'] for p in rows):.1f} to "
                             f"{100 * max(p['top1'] for p in rows):.1f} %"
                             for rows in (ours, theirs))
        return Verdict(what, text, f"not reached: no accuracy in common ({reach})", "not reached")
    where = f"top-1 {100 * found.low:.1f} to {100 * found.high:.1f} %"
    spread = f", {100 * found.least:.0f} to {100 * found.most:.0f} %"
    if found.low == found.high:
        where, spread = f"top-1 {100 * found.low:.1f} %", ""
    return Verdict(what, text, f"{100 * found.mean:.0f} % ({where}{spread})",
                   f"missed by {100 * (wanted - found.mean):.0f} % of the bytes"
                   if found.mean < wanted else "")


def macs_verdict(what: str, most: float, macs: float) -> Verdict:
    """A head's cost against its limit."""
    return Verdict(what, f"≤ {most / 1e6:.0f} MMAC", f"{macs / 1e6:.1f} MMAC",
                   f"missed by {(macs - most) / 1e6:.1f} MMAC" if macs > most else "")


def width_verdict(points: list[Row]) -> Verdict:
    """The smallest head's worst loss against full width at equal bytes."""
    what, wanted = "smallest head against full width at equal bytes", \
        f"≤ {100 * WIDTH_LOSS:.0f} points"
    sizes = sorted({p["head_macs"] for p in points})
    narrow, wide = ([p for p in points if p["head_macs"] == size]
                    for size in (sizes[0], sizes[-1]))
    curve = Curve(wide)
    losses = [(at - p["top1"], p["point"]) for p in narrow
              if (at := curve.top1_at(p["bytes_mean"])) is not None]
    if len(sizes) == 1 or not losses:
        return Verdict(what, wanted, "not reached: no bytes in common", "not reached")
    loss, point = max(losses)
    return Verdict(what, wanted, f"{100 * loss:.1f} points at worst (`{point}`)",
                   f"missed by {100 * (loss - WIDTH_LOSS):.1f} points" if loss > WIDTH_LOSS else "")


def parameter_verdict(points: list[Row], local: Row) -> Verdict:
    """How many times fewer parameters the largest head has than the backbone."""
    largest = max(points, key=lambda p: p["params_head"])
    ratio = local["params_head"] / largest["params_head"]
    return Verdict("head's parameters against the backbone's", f"≥ {PARAMETER_RATIO} times fewer",
                   f"{ratio:.0f} times fewer ({largest['params_head']:,} of "
                   f"{local['params_head']:,}, `{largest['point']}`)",
                   f"missed by a factor of {PARAMETER_RATIO / ratio:.2f}"
                   if ratio < PARAMETER_RATIO else "")


def verdicts(points: list[Row], local: Row, series: dict[str, list[Row]]) -> list[Verdict]:
    """Every target, for one bundle's split points; `series` are all rows by method."""
    found = [point_verdict(target, points) for target in POINTS]
    found += [saving_verdict(name, wanted, points, series.get(key, []))
              for key, name, wanted in SAVINGS]
    widths = [p for p in points if p["series"] != Family.TRUNK] or points
    found += [
        macs_verdict("head at full width", HEAD_MACS, max(p["head_macs"] for p in widths)),
        macs_verdict("smallest head", SMALLEST_HEAD_MACS, min(p["head_macs"] for p in points)),
        parameter_verdict(points, local),
        width_verdict(widths),
        Verdict("frame beside its latent", f"≤ {HEADER_BYTES} bytes", f"{FRAME_HEADER} bytes",
                f"missed by {FRAME_HEADER - HEADER_BYTES} bytes"
                if FRAME_HEADER > HEADER_BYTES else ""),
    ]
    return found
