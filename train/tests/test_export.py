"""A bundle computes what the trained modules compute, and reads back as written."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cleave_train.agreement import reference_answers
from cleave_train.bundle import Bundle, fingerprint, load_bundle, save_bundle
from cleave_train.calibrate import Prior, build_priors, calibrate, meet
from cleave_train.engine import engine_answers
from cleave_train.export import build_bundle, planned_points, size_of
from cleave_train.methods import Method, build_method
from cleave_train.photos import find_photos
from cleave_train.prepare import Prepared
from cleave_train.recipe import ExitSpec, LayerSpec, PointSpec, Recipe
from cleave_train.reference import Reference
from cleave_train.tiny import tiny_bundle
from cleave_train.views import normalise

CPU = torch.device("cpu")


@pytest.fixture
def method(recipe: Recipe, prepared: Prepared) -> Method:
    """Random weights, the second tail thawed and changed, calibrated."""
    torch.manual_seed(3)
    method = build_method(recipe, prepared.backbones)
    model = method.model
    for name, targets in prepared.targets.items():
        rows = prepared.views.training_rows()
        model.set_statistics(name, targets.read(rows, CPU).features)
    model.tails["second"].thaw()
    for folded in model.tails["second"].thawed():
        folded.weight.data.mul_(1.1)
    calibrate(model, recipe, prepared, CPU)
    return method


def export(recipe: Recipe, method: Method, prepared: Prepared) -> tuple[Bundle, dict[str, Prior]]:
    plan = planned_points(recipe, method.codec)
    priors = build_priors(method.model, recipe, plan, prepared, CPU)
    labels = [f"class {i}" for i in range(10)]
    return build_bundle(recipe, method, plan, priors, labels, {}), priors


@pytest.fixture
def bundle(recipe: Recipe, method: Method, prepared: Prepared) -> Bundle:
    return export(recipe, method, prepared)[0]


@torch.no_grad()
def test_points_compute_what_the_model_computes(bundle: Bundle, recipe: Recipe, method: Method,
                                                prepared: Prepared) -> None:
    reference, model = Reference(bundle), method.model
    pixels = prepared.views.pixels(np.arange(6))
    x = normalise(pixels, recipe.input, CPU)
    for variant in recipe.coder.variants:
        for tier, rate in enumerate(recipe.rates):
            restored, _ = model.quantiser(model.encoder(x, variant), variant, tier)
            for backbone, end in (("first", ""), ("second", "-second")):
                decoded = model.decoders[backbone](restored, variant)
                wanted = model.logits(backbone, decoded).softmax(1)
                point = bundle.point(f"{variant}-{rate.name}{end}")
                got = reference.classify(point, pixels)
                np.testing.assert_allclose(got, wanted, atol=2e-4, err_msg=point["id"])
    for backbone, end in zip(prepared.backbones, ("", "-second")):
        got = reference.classify(bundle.point(f"offload{end}"), pixels)
        np.testing.assert_allclose(got, backbone.net(x).softmax(1), atol=1e-5)


def test_points_are_in_wire_order(bundle: Bundle) -> None:
    ids = [point["id"] for point in bundle.document["points"]]
    split = ["w50-low", "w50-high", "w100-low", "w100-high"]
    assert ids == ["offload", "offload-second", *split, *(f"{i}-second" for i in split), "local"]
    narrow, wide = bundle.point("w50-low"), bundle.point("w100-high")
    assert (narrow["width"], narrow["rate"], narrow["latent"]) == (0.5, "low", [8, 8, 8])
    assert 0 < narrow["head_macs"] < wide["head_macs"]
    assert [size_of(v) for v in ("w25", "k2", "plain")] == [(0.25, 1), (1.0, 2), (1.0, 1)]


def test_weights_are_stored_once(bundle: Bundle) -> None:
    graphs = bundle.document["graphs"]

    def weights(graph: str) -> list[str]:
        return [node["weight"] for node in graphs[graph]["nodes"] if "weight" in node]

    assert weights("head/w50") == weights("head/w100")
    assert weights("tail/w50") == weights("tail/w100")
    assert set(weights("full")) & set(weights("tail/w50")) == {
        f"first.{name}.weight" for name in ("depthwise", "point", "fc")}
    assert "tail.second.fc.weight" in weights("tail/w50/second")
    assert set(weights("tail/w50/second")) & set(weights("full/second")) == {
        "second.depthwise.weight"}  # which does not learn
    assert set(bundle.tensors) == bundle.used_tensors()
    contents = Counter(bundle.tensors[name].tobytes()
                       for graph in graphs for name in set(weights(graph))
                       if name in bundle.tensors)
    distinct = {name for graph in graphs for name in weights(graph)}
    assert len(contents) == len(distinct)


def test_only_listed_points_are_exported(recipe: Recipe, method: Method,
                                         prepared: Prepared) -> None:
    points = (PointSpec("thin", "w50", 0.0), PointSpec("between", "w50", 0.5, backbone="second"),
              PointSpec("thick", "w50", 1.0), PointSpec("plain", "w50", codec="u8zstd"))
    bundle, priors = export(replace(recipe, points=points), method, prepared)
    assert set(bundle.document["graphs"]) == {
        "full", "full/second", "head/w50", "tail/w50", "tail/w50/second"}
    assert priors["thin"].bytes < priors["between"].bytes < priors["thick"].bytes
    rates = [p["rate"] for p in bundle.document["points"] if p["kind"] == "split"]
    assert rates == ["low", "0.5", "high", "u8"]
    assert set(bundle.document["priors"]) == {"w50-low", "w50-0.5", "w50-high"}
    with pytest.raises(SystemExit, match="point other"):
        planned_points(replace(recipe, points=(PointSpec("other", "w75"),)), "rans")


def other_recipe(recipe: Recipe, kind: str, folder: Path) -> Recipe:
    """The recipe for another method."""
    coder, conv = recipe.coder, LayerSpec("conv", 3, 2)
    if kind == "ensemble":
        layers = (replace(conv, channels=(4,)), LayerSpec("separable", 3), conv)
        return replace(recipe, method=kind,
                       coder=replace(coder, variants=("k1", "k2"), layers=layers))
    if kind == "autoencoder":
        coder = replace(coder, variants=("plain",), layers=(LayerSpec("conv", 3),))
        return replace(recipe, method=kind, rates=(), coder=coder)
    return replace(recipe, method=kind, options={
        "variant": "w50", "channels": 6, "hidden": 7, "threshold": 0.5,
        "from_run": str(folder / "checkpoint.pt")})


@torch.no_grad()
@pytest.mark.parametrize("kind", ["ensemble", "autoencoder", "early_exit"])
def test_other_methods(kind: str, recipe: Recipe, prepared: Prepared, tmp_path: Path) -> None:
    state = build_method(recipe, prepared.backbones).model.state_dict()
    torch.save({"model": state}, tmp_path / "checkpoint.pt")
    recipe = other_recipe(recipe, kind, tmp_path)
    method = build_method(recipe, prepared.backbones)
    model = method.model
    calibrate(model, recipe, prepared, CPU)
    bundle, _ = export(recipe, method, prepared)
    reference, pixels = Reference(bundle), prepared.views.pixels(np.arange(4))
    x, variant = normalise(pixels, recipe.input, CPU), recipe.coder.variants[-1]
    restored, _ = model.quantiser(model.encoder(x, variant), variant, 0)
    wanted = model.logits("first", model.decoders["first"](restored, variant)).softmax(1)
    point = next(p for p in bundle.document["points"] if p.get("head") == f"head/{variant}")
    np.testing.assert_allclose(reference.classify(point, pixels), wanted, atol=2e-3)
    ids = [p["id"] for p in bundle.document["points"]]
    if kind == "early_exit":
        leaving = model.exits["w50"](model.encoder(x, "w50"), "w50").softmax(1)
        got = reference.classify(bundle.point("exit"), pixels)
        np.testing.assert_allclose(got, leaving, atol=1e-4)
        assert ids[-2:] == ["local", "exit"]
    elif kind == "autoencoder":
        assert (point["id"], point["codec"], point["width"]) == ("plain-u8", "u8zstd", 1)
    else:
        assert (point["ensemble"], point["width"]) == (2, 1)


@torch.no_grad()
def test_a_point_with_an_exit(recipe: Recipe, prepared: Prepared, tmp_path: Path) -> None:
    state = build_method(recipe, prepared.backbones).model.state_dict()
    torch.save({"model": state}, tmp_path / "checkpoint.pt")
    plain = PointSpec("plain", "w50")
    recipe = replace(other_recipe(recipe, "early_exit", tmp_path),
                     points=(plain, replace(plain, id="early", exit=ExitSpec(0.5))))
    method = build_method(recipe, prepared.backbones)
    calibrate(method.model, recipe, prepared, CPU)
    bundle, _ = export(recipe, method, prepared)
    early = bundle.point("early")
    assert early["exit"] == {"graph": "exit/w50", "threshold": 0.5}
    assert early["head_macs"] == bundle.point("exit")["head_macs"]  # head and exit
    assert "exit" not in bundle.point("plain")

    reference, pixels = Reference(bundle), prepared.views.pixels(np.arange(6))
    at_exit, at_tail = (reference.classify(bundle.point(name), pixels)
                        for name in ("exit", "plain"))
    early["exit"]["threshold"] = float(np.median(at_exit.max(1)))
    sure = at_exit.max(1) >= early["exit"]["threshold"]
    assert 0 < sure.sum() < 6
    np.testing.assert_allclose(reference.classify(early, pixels),
                               np.where(sure[:, None], at_exit, at_tail), atol=1e-6)

    # What is measured does not change what the model is; the threshold does.
    before = fingerprint(bundle)
    early |= {"top1": 0.5}
    early["exit"]["share"] = 0.5
    assert fingerprint(bundle) == before
    early["exit"]["threshold"] = 1.0
    assert fingerprint(bundle) != before
    for wrong, reason in ((replace(plain, variant="w100", exit=ExitSpec(0.5)), "no exit was"),
                          (replace(plain, exit=ExitSpec(0.0)), "threshold")):
        with pytest.raises(SystemExit, match=reason):
            export(replace(recipe, points=(wrong,)), method, prepared)


def test_a_point_meets_its_bytes(recipe: Recipe, method: Method, prepared: Prepared) -> None:
    low, high = (build_priors(method.model, recipe, [PointSpec("p", "w100", t, None, "rans")],
                              prepared, CPU)["p"].bytes for t in (0.0, 1.0))
    budget = round((low * high) ** 0.5)
    points = (PointSpec("budget", "w100", bytes=budget),)
    bundle, priors = export(replace(recipe, points=points), method, prepared)
    assert 0.98 * budget <= priors["budget"].bytes <= budget
    assert bundle.point("budget")["rate"] == f"{budget}B"


def test_search_for_bytes() -> None:
    def line(tier: float) -> float:
        return 500 * 2 ** (tier + 0.1 * tier * tier)

    for wanted in (400, 500, 700, 1900, 3000):
        assert 0.99 * wanted <= line(meet(wanted, 3, line)) <= wanted
    assert meet(1e6, 3, line) == 3
    with pytest.raises(SystemExit, match="smallest"):
        meet(10, 3, line)


def test_file_round_trip(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "bundle.safetensors"
    save_bundle(bundle, path)
    again = load_bundle(path)
    assert again.document == bundle.document
    assert fingerprint(again) == bundle.document["fingerprint"]
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert header % 8 == 0


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
def test_engine_answers_like_the_reference(bundle: Bundle, tmp_path: Path) -> None:
    path, picture = tmp_path / "bundle.safetensors", tmp_path / "picture.jpg"
    save_bundle(bundle, path)
    pixels = np.random.default_rng(1).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((36, 36)).save(picture)
    expected = reference_answers(bundle, find_photos([tmp_path]))
    given = engine_answers(os.environ["CLEAVE_EVAL"], path, list(expected), [picture])
    for point, wanted in expected.items():
        assert given[point].top[0, 0] == wanted.top[0, 0], point
        np.testing.assert_allclose(given[point].confidence, wanted.confidence, rtol=1e-3)
        np.testing.assert_allclose(given[point].frame_bytes, wanted.frame_bytes, atol=3)


def test_fingerprint_ignores_figures_and_sees_weights() -> None:
    bundle = tiny_bundle()
    before = fingerprint(bundle)
    bundle.document["points"][1]["top1"] = 0.5
    assert fingerprint(bundle) == before
    bundle.tensors["stem"][0, 0, 0, 0] += 1
    assert fingerprint(bundle) != before
