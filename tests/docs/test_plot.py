"""Holds bench/plot to what the benches write: every figure drawn, and coloured by what answered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from PIL import Image

PLOT = Path(__file__).resolve().parents[2] / "bench" / "plot"
OFFLOAD, TRUNK, AUTO = (0xD5, 0x5E, 0x00), (0x08, 0x30, 0x6B), (0x00, 0x9E, 0x73)


def colours(path: Path) -> set[tuple[int, int, int]]:
    """All that an image has."""
    image = Image.open(path).convert("RGB")
    return {colour for _, colour in image.getcolors(image.width * image.height)}


def test_replay(tmp_path: Path) -> None:
    """Two links, all deciders; auto changes its mind halfway."""
    lines = ["trace,deadline_ms,decider,picture,point,latency_ms"]
    for trace in ("outages-1", "walk-away-1"):
        for decider, latency in (("auto", 110), ("oracle", 100), ("late oracle", 105),
                                 ("best fixed", 150), ("offload", 300), ("local", 362)):
            points = ["offload"] * 5 + ["trunk-base"] * 5
            lines += [f"{trace},0,{decider},{i},{point},{latency + i}"
                      for i, point in enumerate(points)]
            lines.append(f"{trace},100,{decider},0,local,9999")
    (tmp_path / "replay.csv").write_text("\n".join(lines) + "\n")
    subprocess.run([sys.executable, PLOT, "--replay", tmp_path / "replay.csv", "--into", tmp_path],
                   check=True)
    assert {OFFLOAD, TRUNK} <= colours(tmp_path / "timeline.png")
    assert AUTO in colours(tmp_path / "regret.png")


def test_link(tmp_path: Path) -> None:
    """Two steady links and one that changes, on which only auto splits."""
    records = []
    for link, rate in (("1 Mbit/s", 1.0), ("5 Mbit/s", 5.0), ("2 Mbit/s, 1 % loss", 2.0),
                       ("walked", 3.0)):
        for choice in ("offload", "trunk-base", "local", "auto", "auto, 300 ms"):
            for i in range(4):
                point = "trunk-base" if choice.startswith("auto") else choice
                records.append({"link": link, "choice": choice, "mbit_per_s": rate, "at_s": i / 2,
                                "point": point, "total_ms": 100.0 + 10 * i})
    (tmp_path / "link.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    subprocess.run([sys.executable, PLOT, "--link", tmp_path / "link.jsonl", "--into", tmp_path],
                   check=True)
    assert {AUTO, OFFLOAD, TRUNK} <= colours(tmp_path / "link-rates.png")
    assert TRUNK in colours(tmp_path / "link-timeline.png")
