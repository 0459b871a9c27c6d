"""The C engine on the default bundle answers as PyTorch does, by every point."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cleave_train.bundle import load_bundle
from cleave_train.evaluate import engine_answers, reference_answers
from cleave_train.photos import find_photos

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models" / "default.safetensors"
LEVELS = ("scalar", "avx2", "avx512")


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
def test_engine_agrees_with_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same class for every photo on every CPU level, and frames as long as the tables promise."""
    program = os.environ["CLEAVE_EVAL"]
    photos = find_photos([ROOT / "models" / "samples", ROOT / "tests" / "data" / "pictures"])
    assert len(photos) >= 20
    paths = [photo.path for photo in photos]
    ran = 0
    for point, expected in reference_answers(load_bundle(BUNDLE), photos).items():
        for level in LEVELS:
            monkeypatch.setenv("CLEAVE_CPU", level)
            try:
                given = engine_answers(program, BUNDLE, point, paths)
            except SystemExit as stop:
                assert level != "scalar" and level in str(stop), stop
                continue
            ran += 1
            np.testing.assert_array_equal(given.top[:, 0], expected.top[:, 0], f"{point} {level}")
            if expected.frame_bytes is not None:
                np.testing.assert_allclose(given.frame_bytes, expected.frame_bytes, rtol=0.02)
    assert ran >= 7
