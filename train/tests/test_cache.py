"""The cache survives an interruption, and the narrow trunk is what it claims to be."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cleave_train import cache as cache_module
from cleave_train.backbone import Lite0
from cleave_train.cache import LAYOUT, TARGET_BLOCKS, Cache, fill_cache, normalise
from cleave_train.photos import Photo, find_photos
from cleave_train.picture import InputSpec, load_pixels
from cleave_train.trunk import TRUNK_BLOCKS, NarrowTrunk, fit_narrow_trunk


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    """Five noise pictures and one that cannot be decoded."""
    rng = np.random.default_rng(5)
    for i in range(6):
        out = io.BytesIO()
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(out, "JPEG")
        data = out.getvalue()
        path = tmp_path / "photos" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data[:100] if i == 3 else data)
    return find_photos([tmp_path / "photos"])


def test_interrupted_cache_equals_uninterrupted(
        tmp_path: Path, photos: list[Photo], net: Lite0, narrow: NarrowTrunk,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "BATCH", 2)
    cpu, spec = torch.device("cpu"), InputSpec()
    whole = Cache(tmp_path / "whole", 6, 2)
    fill_cache(whole, photos, net, narrow, spec, 1, cpu)

    broken = Cache(tmp_path / "broken", 6, 2)
    pack, calls = broken.pack, []

    def failing(name, x):
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return pack(name, x)

    monkeypatch.setattr(broken, "pack", failing)
    with pytest.raises(KeyboardInterrupt):
        fill_cache(broken, photos, net, narrow, spec, 1, cpu)
    resumed = Cache(tmp_path / "broken", 6, 2)
    assert resumed.state["done"] == 2
    fill_cache(resumed, photos, net, narrow, spec, 1, cpu)

    for name in LAYOUT:
        assert np.array_equal(whole.maps[name], resumed.maps[name]), name
    assert whole.training_rows().tolist() == [2, 4, 5]
    assert whole.held_out_rows().tolist() == [0, 1]


def test_cached_trunk_is_close(tmp_path: Path, photos: list[Photo], net: Lite0,
                               narrow: NarrowTrunk) -> None:
    cpu = torch.device("cpu")
    cache = Cache(tmp_path / "cache", 6, 6)
    fill_cache(cache, photos, net, narrow, InputSpec(), 1, cpu)
    rows = cache.read(np.array([1]), cpu)
    pixels = np.stack([load_pixels(photos[1].read(), InputSpec())])
    x = normalise(pixels, InputSpec(), cpu)
    for got, wanted in ((rows.trunk["full"], net.trunk(x, TRUNK_BLOCKS)),
                        (rows.trunk["narrow"], narrow(x)),
                        (rows.target, net.trunk(x, TARGET_BLOCKS)),
                        (rows.logits, net(x))):
        assert got.shape == wanted.shape
        assert (got - wanted).square().mean() < 1e-2 * wanted.var()


def test_other_photos_are_refused(tmp_path: Path) -> None:
    Cache(tmp_path, 2, 1, "these").save_state()
    with pytest.raises(SystemExit):
        Cache(tmp_path, 3, 1, "those")


@torch.no_grad()
def test_narrow_trunk(net: Lite0) -> None:
    torch.manual_seed(6)
    x = torch.randn(4, 3, 64, 64)
    before = net.trunk(x, TRUNK_BLOCKS)
    narrow, explained = fit_narrow_trunk(net, [x], 0.25)
    assert torch.allclose(net.trunk(x, TRUNK_BLOCKS), before, atol=1e-4)
    assert narrow.channels == [24, 36] and narrow(x).shape == before.shape
    assert all(0 < share < 1 for share in explained)
