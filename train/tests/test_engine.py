"""The C engine on the default bundle answers as PyTorch does, by every point."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cleave_train.agreement import reference_answers
from cleave_train.bundle import load_bundle
from cleave_train.engine import engine_answers
from cleave_train.photos import find_photos

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models" / "default.safetensors"
SAMPLES = ROOT / "models" / "samples"
LEVELS = ("scalar", "avx2", "avx512")


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
def test_engine_agrees_with_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same class for every photo on every CPU level, and frames as long as the tables promise.

    Plain C takes minutes: there the samples alone. The others try the decoder, as nn_picture_scalar
    does in plain C.
    """
    photos = find_photos([SAMPLES, ROOT / "tests" / "data" / "pictures"])
    assert len(photos) >= 20
    expected = reference_answers(load_bundle(BUNDLE), photos)
    ran = 0
    for level in LEVELS:
        monkeypatch.setenv("CLEAVE_CPU", level)
        chosen = [i for i, photo in enumerate(photos)
                  if level != "scalar" or photo.path.parent == SAMPLES]
        paths = [photos[i].path for i in chosen]
        try:
            given = engine_answers(os.environ["CLEAVE_EVAL"], BUNDLE, list(expected), paths)
        except SystemExit as stop:
            assert level != "scalar" and level in str(stop), stop
            continue
        ran += 1
        for point, wanted in expected.items():
            np.testing.assert_array_equal(given[point].top[:, 0], wanted.top[chosen, 0],
                                          f"{point} {level}")
            frame_bytes = wanted.frame_bytes[chosen]
            known = frame_bytes >= 0
            np.testing.assert_allclose(given[point].frame_bytes[known], frame_bytes[known],
                                       rtol=0.02)
    assert ran >= 1
