"""Tuning a network to codecs' pictures: it learns, resumes, and its bundle answers as it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cleave_train import tune_codec
from cleave_train.bundle import fingerprint
from cleave_train.methods.base import divergence
from cleave_train.prepare import Prepared
from cleave_train.recipe import Recipe
from cleave_train.reference import Reference
from cleave_train.tune_codec import QUALITIES, Spoilt, Tuning, draw_codec, tune
from cleave_train.views import normalise

CPU = torch.device("cpu")
TUNING = Tuning(["jpeg", "webp"], 4, 6, 1e-2)


def test_codecs_are_drawn_over_the_whole_range() -> None:
    rng = np.random.default_rng(3)
    drawn = [draw_codec(["jpeg", "webp"], rng) for _ in range(400)]
    for name, (low, high) in QUALITIES.items():
        qualities = [codec.quality for codec in drawn if codec.name == name]
        assert min(qualities) == low and 0.8 * high < max(qualities) <= high
        assert len(qualities) > 150


def test_batches_depend_on_the_step_alone(prepared: Prepared) -> None:
    first, second = (Spoilt(prepared, ["jpeg"], 4, 7) for _ in range(2))
    first.read(0, CPU)
    pictures, logits = first.read(1, CPU)
    again, same = second.read(1, CPU)
    assert torch.equal(pictures, again) and torch.equal(logits, same)
    first.close()
    second.close()


def test_tuned_bundle_is_the_tuned_network(tmp_path: Path, recipe: Recipe,
                                           prepared: Prepared) -> None:
    bundle = tune(recipe, prepared, TUNING, tmp_path, CPU)
    assert fingerprint(bundle) == bundle.document["fingerprint"]
    assert [p["kind"] for p in bundle.document["points"]] == ["offload", "local"]

    assert not list(prepared.backbones[0].net.parameters())
    net = prepared.backbones[0].net.thawed()
    learning = [node.name for node in net.nodes if node.op in ("conv", "linear")]
    assert len(list(net.parameters())) == 2 * len(learning)
    net.load_state_dict(torch.load(tmp_path / "tune.pt", weights_only=True)["net"])
    pixels = prepared.views.pixels(np.arange(4))
    with torch.no_grad():
        wanted = net(normalise(pixels, recipe.input, CPU)).softmax(1)
        before = prepared.backbones[0].net(normalise(pixels, recipe.input, CPU)).softmax(1)
    given = Reference(bundle).classify(bundle.point("local"), pixels)
    np.testing.assert_allclose(given, wanted, atol=2e-3)
    assert np.abs(given - before.numpy()).max() > 1e-2


def test_interrupted_tuning_ends_the_same(tmp_path: Path, recipe: Recipe, prepared: Prepared,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    whole = tune(recipe, prepared, TUNING, tmp_path / "whole", CPU)

    (tmp_path / "parts").mkdir()
    monkeypatch.setattr(tune_codec, "SAVE_EVERY", 2)
    calls = iter(range(3))

    def interrupted(*logits: torch.Tensor) -> torch.Tensor:
        next(calls)
        return divergence(*logits)

    with monkeypatch.context() as patch, pytest.raises(StopIteration):
        patch.setattr(tune_codec, "divergence", interrupted)
        tune(recipe, prepared, TUNING, tmp_path / "parts", CPU)
    assert torch.load(tmp_path / "parts" / "tune.pt", weights_only=True)["step"] == 2
    again = tune(recipe, prepared, TUNING, tmp_path / "parts", CPU)
    assert again.document["fingerprint"] == whole.document["fingerprint"]
