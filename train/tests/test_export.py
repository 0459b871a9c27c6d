"""A bundle computes what the trained modules compute, and reads back as written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cleave_train.bottleneck import Bottleneck
from cleave_train.bundle import Bundle, fingerprint, load_bundle, save_bundle
from cleave_train.cache import TARGET_BLOCKS
from cleave_train.entropy import build_tables, payload_bytes
from cleave_train.export import build_bundle, calibrate, labels, prior_tables, synsets
from cleave_train.prepare import Prepared
from cleave_train.recipe import Recipe
from cleave_train.reference import Reference
from cleave_train.tiny import tiny_bundle
from cleave_train.trunk import TRUNK_BLOCKS

CPU = torch.device("cpu")


@pytest.fixture
def model(recipe: Recipe, prepared: Prepared) -> Bottleneck:
    """Random weights that fp16 can hold, with calibrated batch norms."""
    torch.manual_seed(3)
    model = Bottleneck(recipe)
    for module in (model.head, model.decoder):
        for parameter in module.parameters():
            parameter.data = parameter.data.half().float()
    calibrate(model, recipe, prepared.cache, CPU)
    return model


@pytest.fixture
def bundle(recipe: Recipe, prepared: Prepared, model: Bottleneck) -> Bundle:
    priors = prior_tables(model, recipe, prepared.cache, CPU)
    return build_bundle(recipe, prepared.net, prepared.narrow, model, priors, {})


def nhwc(x: torch.Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).contiguous().numpy()


@torch.no_grad()
def test_graphs_equal_modules(bundle: Bundle, prepared: Prepared, model: Bottleneck) -> None:
    reference = Reference(bundle)
    net, x = prepared.net, torch.randn(2, 3, 224, 224)
    assert np.allclose(reference.run("full", nhwc(x))[:, 0, 0], net(x).softmax(1), atol=1e-5)
    trunks = {"w25": prepared.narrow(x), "w100": net.trunk(x, TRUNK_BLOCKS)}
    for width, trunk in trunks.items():
        latent = model.head(trunk, width)
        assert np.allclose(reference.run(f"head/{width}", nhwc(x)), nhwc(latent), atol=1e-4)
        decoded = model.restored(model.decoder[width](latent))
        wanted = net.tail(decoded, TARGET_BLOCKS).softmax(1)
        got = reference.run(f"tail/{width}", nhwc(latent))[:, 0, 0]
        assert np.allclose(got, wanted, atol=1e-4)


def test_file_round_trip(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bundle.safetensors"
    save_bundle(bundle, path)
    again = load_bundle(path)
    assert again.document == bundle.document
    assert set(again.tensors) == bundle.used_tensors()
    assert fingerprint(again) == bundle.document["fingerprint"]
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert header % 8 == 0


def test_fingerprint_ignores_figures_and_sees_weights() -> None:
    bundle = tiny_bundle()
    before = fingerprint(bundle)
    bundle.document["points"][1]["top1"] = 0.5
    assert fingerprint(bundle) == before
    bundle.tensors["stem"][0, 0, 0, 0] += 1
    assert fingerprint(bundle) != before


def test_points_are_in_wire_order(bundle: Bundle) -> None:
    ids = [point["id"] for point in bundle.document["points"]]
    assert ids == ["offload", "w25-low", "w25-high", "w100-low", "w100-high", "w100-u8", "local"]


def test_tables_are_valid() -> None:
    rng = np.random.default_rng(4)
    symbols = rng.normal(0, [0.01, 1, 30, 3], (8, 5, 5, 4)).round().astype(np.int32)
    tables = build_tables(symbols)
    starts = tables["cdf_start"]
    assert starts[0] == 0 and starts[-1] == len(tables["cdf"])
    for c in range(4):
        cdf = tables["cdf"][starts[c]:starts[c + 1]]
        assert cdf[0] == 0 and cdf[-1] == 65536 and (np.diff(cdf) > 0).all()
        assert tables["symbol_min"][c] >= symbols[..., c].min() - 1


def test_tables_cost_hardly_more_than_the_entropy() -> None:
    rng = np.random.default_rng(9)
    symbols = rng.normal(0, [0.01, 0.25, 1, 8], (64, 14, 14, 4)).round().astype(np.int32)
    entropy = 0.0
    for channel in np.moveaxis(symbols, -1, 0):
        share = np.unique(channel, return_counts=True)[1] / channel.size
        entropy -= (share * np.log2(share)).sum() * 14 * 14 / 8
    mean = payload_bytes(symbols, build_tables(symbols)).mean()
    assert entropy < mean < 1.02 * entropy + 5  # 4 bytes of state, half a byte of rounding


def test_labels_cover_the_classes_in_order() -> None:
    assert len(set(labels())) == 1000
    assert synsets() == sorted(set(synsets()))
    assert (synsets()[0], labels()[0], labels()[701]) == ("n01440764", "tench", "parachute")
