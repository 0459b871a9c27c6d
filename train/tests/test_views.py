"""The caches survive an interruption, and refuse to mix what differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cleave_train import targets, views
from cleave_train.photos import find_photos
from cleave_train.picture import InputSpec, load_pixels
from cleave_train.prepare import Prepared
from cleave_train.recipe import Recipe
from cleave_train.targets import Targets, cam
from cleave_train.views import Views, normalise

CPU = torch.device("cpu")
SPEC = InputSpec(32, 32, 36)


@pytest.fixture
def photos(tmp_path: Path) -> list:
    """Five small JPEGs and one that is cut off."""
    rng = np.random.default_rng(7)
    for i in range(6):
        path = tmp_path / "photos" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 60, 3), dtype=np.uint8)).save(path)
    path = tmp_path / "photos" / "3.jpg"
    path.write_bytes(path.read_bytes()[:400])
    return find_photos([tmp_path / "photos"])


def test_views_resume(tmp_path: Path, photos: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "BATCH", 3)
    whole = Views(tmp_path / "whole", photos[:2], photos[2:], 2, SPEC, 1)
    whole.fill()
    broken = Views(tmp_path / "broken", photos[:2], photos[2:], 2, SPEC, 1)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(broken.store, "advance", stop)
    with pytest.raises(KeyboardInterrupt):
        broken.fill()
    again = Views(tmp_path / "broken", photos[:2], photos[2:], 2, SPEC, 1)
    again.fill()
    for name in ("pixels", "valid"):
        assert np.array_equal(whole.store.maps[name], again.store.maps[name]), name
    assert whole.held_out_rows().tolist() == [0, 1]
    assert whole.training_rows().tolist() == [2, 4, 5, 6, 8, 9]
    assert np.array_equal(whole.pixels(np.array([1]))[0], load_pixels(photos[1].read(), SPEC))
    assert not np.array_equal(*whole.pixels(np.array([2, 6])))


def test_other_photos_are_refused(tmp_path: Path, photos: list) -> None:
    Views(tmp_path / "views", photos[:2], photos[2:], 1, SPEC, 1).store.advance(0)
    with pytest.raises(SystemExit, match="remove it first"):
        Views(tmp_path / "views", photos[:2], photos[2:], 1, SPEC, 2)


def test_targets_are_the_backbones_answers(recipe: Recipe, prepared: Prepared, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "BATCH", 16)
    backbone, rows = prepared.backbones[0], np.array([3, 20, 39])
    again = Targets(tmp_path / "again", "again", backbone.net, backbone.cut, prepared.views)
    again.fill(CPU)
    got = again.read(rows, CPU)
    x = normalise(prepared.views.pixels(rows), recipe.input, CPU)
    with torch.no_grad():
        features = backbone.net.between(x, 0, backbone.cut)[0]
        logits = backbone.net(x)
    for cached, wanted in ((got.features, features), (got.logits, logits)):
        assert cached.shape == wanted.shape
        assert (cached - wanted).square().mean() < 1e-3 * wanted.var()
    assert got.saliency.shape == (3, 8, 8) and got.saliency.amax((1, 2)).tolist() == [1.0] * 3


def test_cam_points_at_what_counts() -> None:
    features = torch.zeros(1, 2, 4, 4)
    features[0, 0, 1, 2], features[0, 1, 3, 3] = 2.0, 5.0
    gradient = torch.stack([torch.ones(4, 4), -torch.ones(4, 4)])[None]
    saliency = cam(features, gradient)
    assert saliency[0, 1, 2] == 1 and saliency.sum() == 1
