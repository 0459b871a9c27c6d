"""The report: curves, frontier, verdicts, and that it renders."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from cleave_train.curves import Curve, frontier, saving
from cleave_train.report import write_report
from cleave_train.report_plots import _apart
from cleave_train.verdicts import (
    POINTS,
    macs_verdict,
    parameter_verdict,
    point_verdict,
    saving_verdict,
    verdicts,
    width_verdict,
)


def point(size: float, top1: float, macs: float = 0, **more: object) -> dict:
    """A row of results."""
    return {"series": "slimmable", "name": "small", "bundle": "f00d", "point": f"p{size:g}",
            "kind": "split", "width": 1.0, "ensemble": 1, "head_macs": macs, "tail_macs": 3e8,
            "params_head": 40_000, "training_steps": 10, "training_views": 100, "pictures": 9,
            "bytes_mean": size, "bytes_p95": size, "top1": top1, "top5": top1,
            "top1_by_set": {"even": top1}, "difference": top1 - 0.82, "difference_se": 0.01,
            "against_jpeg": round(top1 - 0.79, 4), "against_jpeg_se": 0.01, **more}


LOCAL = point(0, 0.82, 4e8, series="local", kind="local", point="local", params_head=4_000_000)


def test_frontier_keeps_what_nothing_beats() -> None:
    rows = [point(1000, 0.7, 10), point(1000, 0.7, 20), point(500, 0.7, 20), point(1000, 0.7, 10),
            point(2000, 0.8, 30), point(2000, 0.6, 5)]
    assert frontier(rows) == [True, False, True, True, True, True]


def test_accuracy_is_linear_in_log_bytes() -> None:
    worse = point(2000, 0.5)
    curve = Curve([point(4000, 0.8), point(1000, 0.6), worse])
    assert curve.bytes_at(0.7) == pytest.approx(2000)
    assert curve.top1_at(2000) == pytest.approx(0.7)
    assert curve.bytes_at(0.6) == pytest.approx(1000)
    assert curve.bytes_at(0.59) is None and curve.top1_at(4001) is None
    assert Curve([]).bytes_at(0.5) is None


def test_saving_at_equal_accuracy() -> None:
    ours, theirs = Curve([point(500, 0.6), point(2000, 0.8)]), Curve([point(1000, 0.6),
                                                                     point(4000, 0.8)])
    found = saving(ours, theirs)
    assert (found.mean, found.least, found.most) == pytest.approx((0.5, 0.5, 0.5))
    single = saving(ours, Curve([point(4000, 0.7)]))
    assert single.low == single.high == 0.7
    assert single.mean == pytest.approx(1 - 1000 / 4000)
    steep = saving(ours, Curve([point(1000, 0.6), point(2000, 0.8)]))
    assert (steep.least, steep.most) == pytest.approx((0.0, 0.5))
    assert steep.mean == pytest.approx(1 - math.sqrt(0.5), abs=1e-3)
    assert saving(ours, Curve([point(4000, 0.9)])) is None


def test_verdicts_say_by_how_much() -> None:
    near = point_verdict(POINTS[2], [point(1100, 0.76, 4e7), point(1300, 0.79, 4e7)])
    assert "-3.0 points" in near.found and near.missed == "missed by 1.0 points"
    assert point_verdict(POINTS[2], [point(1100, 0.77, 4e7)]).missed == ""
    assert point_verdict(POINTS[2], [point(1100, 0.77, 6e7)]).found == "no such point"
    ours = [point(500, 0.6, 4e7), point(2000, 0.8, 4e7)]
    assert "by 10 % of the bytes" in saving_verdict("x", 0.6, ours, [point(2000, 0.7)]).missed
    assert saving_verdict("x", 0.4, ours, [point(2000, 0.7)]).missed == ""
    assert "not reached" in saving_verdict("x", 0.4, ours, [point(9, 0.9)]).found
    above = saving_verdict("x", 0.4, ours, [point(2000, 0.5)])
    assert above.found.startswith("more than 75 %") and above.missed == ""
    assert saving_verdict("x", 0.8, ours, [point(2000, 0.5)]).missed == "80 % not shown"
    assert saving_verdict("x", 0.4, ours, []).found == "not measured"
    assert macs_verdict("head", 1e7, 1.2e7).missed == "missed by 2.0 MMAC"
    assert parameter_verdict(ours, LOCAL).missed == ""
    assert parameter_verdict(ours, LOCAL | {"params_head": 80_000}).missed != ""
    narrow = point(1000, 0.66, 9e6, width=0.25)
    assert width_verdict([*ours, narrow]).missed == "missed by 2.0 points"
    assert width_verdict([*ours, narrow | {"top1": 0.69}]).missed == ""
    assert "not reached" in width_verdict(ours).found


def test_labels_keep_apart_and_inside() -> None:
    placed = _apart([5.0, 5.1, 9.9, 0.0], 1.0, 0.0, 10.0)
    assert placed == pytest.approx([4.55, 5.55, 9.9, 0.0])
    assert _apart([10.0, 9.9], 1.0, 0.0, 10.0) == pytest.approx([10.0, 9.0])


def test_report_renders(tmp_path: Path) -> None:
    offload = point(9000, 0.82, series="offload", kind="offload", point="offload")
    split = [point(600, 0.7, 4e7), point(2300, 0.78, 4e7), point(600, 0.6, 9e6, width=0.25,
                                                                 point="w25")]
    codecs = [point(3000, 0.7, series="jpeg", kind="codec", point="jpeg-q30", bundle="b"),
              point(10000, 0.79, series="jpeg", kind="codec", point="jpeg-q75", bundle="b"),
              point(900, 0.5, series="jpeg", kind="codec", point="jpeg-q5", bundle="b")]
    poor = point(2400, 0.5, 5e7, series="bottlefit", bundle="b", point="u8")
    exits = [point(600, 0.71, 5e7, series="early_exit", bundle="e", point="w100 behind exit@0.8",
                   kind="exit"), point(600, 0.7, 5e7, series="early_exit", bundle="e")]
    for number, rows in enumerate(([offload, *split, LOCAL], [LOCAL, poor, *codecs, *exits])):
        (tmp_path / f"{number}.json").write_text(json.dumps({"rows": rows}))
    write_report([tmp_path / "0.json", tmp_path / "1.json"], tmp_path / "docs")
    text = (tmp_path / "docs" / "REPORT.md").read_text()
    assert text.count("`local`") == 2 and text.count("`jpeg-q75`") == 2
    assert "w100 behind exit@0.8" in text and text.count("early exit") == 1
    assert "every listed point lies on the frontier" in text.lower()
    assert "missed" in text and "met" in text
    for name in ("bytes", "macs"):
        plot = (tmp_path / "docs" / "report" / f"{name}.png").read_bytes()
        assert plot.startswith(b"\x89PNG")


def test_a_trunk_is_no_width() -> None:
    rows = [point(1000, 0.7, 4e7), point(500, 0.68, 4e7), point(600, 0.6, 9e6, width=0.25)]
    trunk = [point(size, 0.8, 9e7, series="trunk") for size in (500, 1000)]
    alone, beside = verdicts(rows, LOCAL, {}), verdicts([*rows, *trunk], LOCAL, {})
    kept = [v for v in beside if v.what.startswith(("head at full width", "smallest head against"))]
    assert kept == [v for v in alone if v in kept] and len(kept) == 2


def test_every_target_has_a_verdict() -> None:
    points = [point(600, 0.7, 4e7), point(2300, 0.78, 4e7)]
    assert len(verdicts(points, LOCAL, {"slimmable": points})) == 12
