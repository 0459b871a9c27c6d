"""Evaluation compares an engine with the reference and writes what it measured."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from cleave_train.bundle import load_bundle, save_bundle
from cleave_train.evaluate import Answers, evaluate, figures
from cleave_train.tiny import tiny_bundle

ENGINE = """#!{python}
import json, sys
for line in sys.stdin:
    print(json.dumps({{"file": line.strip(), "point": sys.argv[2], "frame_bytes": 100,
                       "top": [0, 1, 2, 3, 4], "probability": [0.2] * 5}}))
"""


def test_engine_figures_are_written(tmp_path: Path) -> None:
    photos = tmp_path / "val" / "even"
    for synset in ("n01440764", "n01443537"):  # classes 0 and 1
        (photos / synset).mkdir(parents=True)
        pixels = np.random.default_rng(8).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / synset / "a.jpg")
    engine, path = tmp_path / "engine", tmp_path / "tiny.safetensors"
    engine.write_text(ENGINE.format(python=sys.executable))
    engine.chmod(engine.stat().st_mode | stat.S_IXUSR)
    bundle = tiny_bundle()
    save_bundle(bundle, path)

    evaluate(path, [tmp_path / "val"], ["even"], str(engine), tmp_path / "report.json", True)

    again = load_bundle(path)
    assert again.document["fingerprint"] == bundle.document["fingerprint"]
    for point in again.document["points"]:
        assert (point["top1"], point["top5"], point["pictures"]) == (0.5, 1.0, 2)
        assert point["bytes_mean"] == 100


def test_paired_difference() -> None:
    expected = np.arange(4)
    right = Answers(np.tile(expected[:, None], 5), None)
    wrong_once = Answers(np.where(expected[:, None] == 2, 9, right.top), None)
    row = figures(wrong_once, right, expected)
    assert (row["top1"], row["difference"], row["difference_se"]) == (0.75, -0.25, 0.25)
