"""The C engine codes with refitted priors as their tables promise."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cleave_train.bundle import load_bundle, save_bundle
from cleave_train.engine import engine_answers
from cleave_train.photos import find_photos
from cleave_train.picture import InputSpec
from cleave_train.reference import Reference
from cleave_train.refit import refit_priors, usable_pixels

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "models" / "default.safetensors"


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
def test_engine_codes_with_refitted_priors(tmp_path: Path) -> None:
    """The default bundle, fitted to a few pictures: same classes, frames as short as promised."""
    bundle = load_bundle(BUNDLE)
    photos = find_photos([ROOT / "models" / "samples"])
    pixels = usable_pixels(photos, InputSpec(), len(photos))
    assert len(pixels) == len(photos)
    before = bundle.document["fingerprint"]
    refit_priors(bundle, pixels)
    assert bundle.document["fingerprint"] != before
    path = tmp_path / "refitted.safetensors"
    save_bundle(bundle, path)
    reference = Reference(bundle)
    points = [p for p in bundle.document["points"] if p.get("codec") == "rans"]
    files = [photo.path for photo in photos]
    answers = engine_answers(os.environ["CLEAVE_EVAL"], path, [p["id"] for p in points], files)
    for point in points:
        latent = reference.run(point["head"], reference.normalise(pixels))
        expected = reference.finish(point, latent).argmax(1)
        np.testing.assert_array_equal(answers[point["id"]].top[:, 0], expected, point["id"])
        np.testing.assert_allclose(answers[point["id"]].frame_bytes,
                                   reference.frame_bytes(point, latent), atol=4)
