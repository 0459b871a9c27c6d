"""Int8: the arithmetic of docs/WIRE.md, the choices of codes, and whole bundles."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cleave_train.__main__ import main
from cleave_train.bundle import Bundle, load_bundle, save_bundle
from cleave_train.engine import engine_answers, write_ppm
from cleave_train.graph import Graph
from cleave_train.int8.arithmetic import Quantized, exact_sums
from cleave_train.int8.placement import int8_nodes
from cleave_train.int8.quantize import chosen_graphs, quantize_bundle
from cleave_train.int8.ranges import affine, best_range
from cleave_train.int8.weights import quantize_weights
from cleave_train.operators import Clip
from cleave_train.reference import Reference
from cleave_train.tiny import SIZE, Weights, tiny_bundle
from cleave_train.tiny_operators import operators_bundle

Node = dict[str, Any]
f32 = np.float32
LIMITS = {"none": (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6), "clip": (-0.5, 0.75)}


def round_half_even(x: np.ndarray, low: float = 0, high: float = 255) -> np.ndarray:
    return np.clip(np.rint(x), low, high).astype(np.uint8)


def act_bounds(act: str, s: np.float32, z: int) -> tuple[float, float]:
    """The codes between which an activation clamps."""
    return tuple(np.clip(np.rint(f32(limit) / s + f32(z)), 0, 255) for limit in LIMITS[act])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def run(node: Node, tensors: dict[str, np.ndarray], *inputs: Quantized) -> Any:
    """One node by the reference."""
    return Reference(Bundle({}, tensors)).node(node, list(inputs))


def codes_of(rng: np.random.Generator, shape: tuple[int, ...], scale: float,
             zero: int) -> Quantized:
    codes = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    return Quantized(codes, f32(scale), zero)


@pytest.mark.parametrize("act", LIMITS)
@pytest.mark.parametrize("op", ["conv", "dwconv", "linear"])
def test_sums_of_codes_are_those_of_integers(rng: np.random.Generator, op: str, act: str) -> None:
    """Against a loop over int64, with padding and stride."""
    channels, outputs, size = 6, 6 if op == "dwconv" else 5, 1 if op == "linear" else 7
    x = codes_of(rng, (2, channels, size, size), 0.0371, 77)
    kernel = 1 if op == "linear" else 3
    weight = rng.integers(-127, 128, (outputs, 1 if op == "dwconv" else channels, kernel, kernel))
    stored = {"conv": weight.transpose(0, 2, 3, 1), "dwconv": weight[:, 0].transpose(1, 2, 0),
              "linear": weight[:, :, 0, 0]}[op]
    scale = rng.uniform(1e-4, 1e-3, outputs).astype(f32)
    bias = rng.normal(0, 1, outputs).astype(f32)
    node = {"op": op, "weight": "w", "scale": "s", "bias": "b", "act": act, "stride": [2, 1],
            "pad": [1, 0, 2, 1], "limits": [-0.5, 0.75]}
    tensors = {"w": stored.astype(np.int8), "s": scale, "b": bias}

    q = x.codes.numpy().astype(np.int64) - 77
    if op != "linear":
        q = np.pad(q, ((0, 0), (0, 0), (1, 0), (2, 1)))
    rows, columns = ((q.shape[2] - kernel) // 2 + 1, q.shape[3] - kernel + 1)
    sums = np.zeros((2, outputs, rows, columns), np.int64)
    for y in range(rows):
        for at in range(columns):
            part = q[:, :, 2 * y:2 * y + kernel, at:at + kernel]
            for o in range(outputs):
                taken = part[:, o:o + 1] if op == "dwconv" else part
                sums[:, o, y, at] = (taken * weight[o]).sum((1, 2, 3))
    a, m = sums.astype(f32), (f32(0.0371) * scale)
    real = a * m[:, None, None] + bias[:, None, None]
    np.testing.assert_array_equal(run(node, tensors, x), np.clip(real, *map(f32, LIMITS[act])))

    s, z = f32(0.0113), 31
    rounded = a * (m / s)[:, None, None] + (bias / s + f32(z))[:, None, None]
    made = run(node | {"quant": [float(s), z]}, tensors, x)
    np.testing.assert_array_equal(made.codes, round_half_even(rounded, *act_bounds(act, s, z)))
    assert (made.scale, made.zero) == (s, z) and len(np.unique(made.codes)) > 3


def test_sums_beyond_float32_are_exact() -> None:
    """2^24 + 1 is no float32; a sum that passes beyond it must not lose its ones."""
    terms = 600
    codes = torch.full((1, terms, 1, 1), 255, dtype=torch.uint8)
    weight = torch.full((1, terms, 1, 1), 127.0)
    weight[0, terms // 2:] = -127
    weight[0, -1] = -126
    sums = exact_sums(Quantized(codes, f32(1), 0), weight, torch.nn.functional.conv2d)
    assert sums.item() == 255
    many = Quantized(codes.repeat(1, 10, 1, 1), f32(1), 0)
    sums = exact_sums(many, weight.abs().repeat(1, 10, 1, 1), torch.nn.functional.conv2d)
    assert sums.item() == f32(255 * 10 * (127 * (terms - 1) + 126))


def test_elements_of_codes(rng: np.random.Generator) -> None:
    a, b = codes_of(rng, (1, 3, 4, 5), 0.05, 100), codes_of(rng, (1, 3, 4, 5), 0.0213, 7)
    qa, qb = (value.codes.numpy().astype(f32) for value in (a, b))
    s, z = f32(0.041), 90
    quant = {"quant": [float(s), z]}
    f, g = a.scale / s, b.scale / s
    total = (qa * f + qb * g) + (f32(z) - (f32(100) * f + f32(7) * g))
    for act in LIMITS:
        node = {"op": "add", "act": act, "limits": [-0.5, 0.75], **quant}
        np.testing.assert_array_equal(run(node, {}, a, b).codes,
                                      round_half_even(total, *act_bounds(act, s, z)))
    joined = run({"op": "concat", **quant}, {}, a, b).codes
    np.testing.assert_array_equal(joined[:, :3], round_half_even(qa * f + (z - f32(100) * f)))
    np.testing.assert_array_equal(joined[:, 3:], round_half_even(qb * g + (z - f32(7) * g)))
    np.testing.assert_array_equal(run({"op": "dequantize"}, {}, a), (qa - 100) * a.scale)
    same = run({"op": "concat", "quant": [float(a.scale), a.zero]}, {}, a, a).codes
    np.testing.assert_array_equal(same[:, :3], a.codes)

    window = {"kernel": [3, 2], "stride": [1, 2], "pad": [1, 1, 0, 1]}
    best = run({"op": "maxpool", **window}, {}, a)
    assert (best.scale, best.zero) == (a.scale, a.zero)
    assert best.codes[0, 0, 0, 0] == qa[0, 0, :2, :2].max()
    assert best.codes[0, 0, 3, 2] == qa[0, 0, 2:, 4:].max()
    corner = (qa[0, 0, :2, :2] - 100).sum()
    mean = run({"op": "avgpool", **window}, {}, a)
    assert mean[0, 0, 0, 0] == f32(corner) * (a.scale / f32(4))
    mean = run({"op": "avgpool", **window, **quant}, {}, a)
    assert mean.codes[0, 0, 0, 0] == round_half_even(f32(corner) * (f / f32(4)) + f32(z))
    whole = f32((qa[0, 1] - 100).sum())
    assert run({"op": "global_avgpool"}, {}, a)[0, 1] == whole * (a.scale / f32(20))
    mean = run({"op": "global_avgpool", **quant}, {}, a)
    assert mean.codes[0, 1] == round_half_even(whole * (f / f32(20)) + f32(z))


def test_numbers_become_the_nearest_codes() -> None:
    x = torch.tensor([-9.0, -0.1, 0.0, 0.25, 0.75, 1.0, 99.0, torch.nan]).reshape(1, 8, 1, 1)
    made = Reference(Bundle({}, {})).node({"op": "quantize", "quant": [0.5, 3]}, [x])
    assert made.codes.flatten().tolist() == [0, 3, 3, 4, 4, 5, 201, 0]


def test_ranges_clip_what_is_rare(rng: np.random.Generator) -> None:
    assert affine(-127 / 128, 1.0) == (1 / 128, 127)
    assert best_range([torch.zeros(1, 2, 3, 3)]) == (1.0, 0)
    assert best_range([torch.full((1, 2, 3, 3), 1e-35)]) == (1.0, 0)
    usual = torch.from_numpy(np.abs(rng.normal(0, 1, 200_000)).astype(f32))
    assert best_range([usual])[1] == 0
    assert 120 <= best_range([usual, -usual])[1] <= 135
    outlier = torch.tensor([20.0])
    clipped = best_range([usual, outlier])[0]
    values = torch.cat([usual, outlier])
    losses = [float(((torch.round(values / s).clamp(0, 255) * s - values) ** 2).sum())
              for s in (clipped, 20 / 255, 4 / 255)]
    assert losses[0] < 0.9 * min(losses[1:])


def test_weights_round_with_the_least_error(rng: np.random.Generator) -> None:
    weight = rng.normal(0, 1, (4, 3, 3)).astype(f32) * f32([[[1e-3]], [[1]], [[50]], [[0]]])
    codes, scale = quantize_weights(weight)
    assert codes.dtype == np.int8 and codes.min() >= -127 and scale.dtype == f32
    plain = np.abs(weight).max((1, 2)) / 127
    plain[3] = 1
    errors = [((np.clip(np.rint(weight / s[:, None, None]), -127, 127) * s[:, None, None]
                - weight) ** 2).sum((1, 2)) for s in (scale, plain.astype(f32))]
    assert np.mean(errors[0][:3] / errors[1][:3]) < 0.8
    np.testing.assert_array_equal(codes[3], 0)


def mixed() -> Bundle:
    """What can run in int8 beside what cannot."""
    w = Weights(3)
    g = Graph(w.tensors, (8, 8, 3))
    v = g.conv(0, w.weight("a", (8, 3, 3, 3)), act="relu", **w.norm("a", 8))             # 0
    x = g.conv(v, w.weight("grouped", (8, 3, 3, 4)), groups=2, **w.norm("grouped", 8))   # 1
    y = g.conv(v, w.weight("b", (8, 1, 1, 8)), **w.norm("b", 8))                         # 2
    s = g.add(v, y, act=Clip(-0.5, 0.75))                                                # 3
    t = g.add(s, x)                                                                      # 4
    u = g.conv(s, w.weight("c", (8, 1, 1, 8)), act="silu", **w.norm("c", 8))             # 5
    u = g.mul(t, g.conv(g.concat(s, g.pool(u, "maxpool", 3, 1)),                         # 6, 7
                        w.weight("d", (8, 1, 1, 16)), **w.norm("d", 8)))                 # 8, 9
    v = g.conv(g.pool(g.conv(u, w.weight("e", (8, 1, 1, 8))), "maxpool", 2, 2),          # 10, 11
               w.weight("f", (8, 1, 1, 8)))                                              # 12
    v = g.linear(g.global_avgpool(g.add(v, v)), w.weight("fc", (5, 8)))                  # 13-15
    g.softmax(v)                                                                         # 16
    point = {"kind": "local", "graph": "full", "head_macs": g.macs, "tail_macs": 0}
    return Bundle({
        "format": 1, "name": "mixed", "version": "1", "fingerprint": "0" * 16,
        "input": {"width": 8, "height": 8, "resize_shorter": 8, "filter": "bilinear",
                  "mean": [120, 127, 130], "scale": [64, 128, 100]},
        "labels": list("abcde"), "graphs": {"full": g.document()}, "priors": {},
        "points": [{"id": "offload", **point, "kind": "offload"}, {"id": "local", **point}],
        "provenance": {}}, w.tensors)


def check_kinds(bundle: Bundle) -> None:
    """Every node reads and makes what docs/WIRE.md allows."""
    for graph in bundle.document["graphs"].values():
        codes = [False]
        for node in graph["nodes"]:
            given = {codes[v] for v in node["in"]}
            op = node["op"]
            assert len(given) == 1, node
            if given == {False}:
                assert ("quant" in node) == (op == "quantize"), node
            else:
                assert op in ("dequantize", "conv", "dwconv", "linear", "add", "concat",
                              "maxpool", "avgpool", "global_avgpool"), node
                assert op not in ("add", "concat") or "quant" in node, node
                assert op not in ("dequantize", "maxpool") or "quant" not in node, node
            if op in ("conv", "dwconv", "linear") and given == {True}:
                assert bundle.tensors[node["weight"]].dtype == np.int8, node
                assert node.get("groups", 1) == 1 and "dilation" not in node, node
                assert "quant" not in node or node.get("act") != "silu", node
            codes.append("quant" in node or (op == "maxpool" and given == {True}))
        assert not codes[-1]


def test_what_has_no_int8_kernel_stays(rng: np.random.Generator) -> None:
    bundle = mixed()
    assert int8_nodes(bundle, "full") == {0, 2, 3, 5, 8, 10, 11, 12, 13, 14, 15}
    exact = Reference(mixed())
    pixels = rng.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    quantize_bundle(bundle, ["full"], pixels)
    check_kinds(bundle)
    point = bundle.point("local")
    before, after = (each.classify(point, pixels) for each in (exact, Reference(bundle)))
    assert 0 < np.abs(before - after).max() < 0.08
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.9


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    """Soft pictures."""
    coarse = rng.integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 8, 1).repeat(SIZE // 8, 2)


def test_bundle_in_int8_answers_as_before(pixels: np.ndarray) -> None:
    exact, bundle = tiny_bundle(), tiny_bundle()
    for point in bundle.document["points"]:
        point |= {"top1": 0.5, "top5": 0.9, "pictures": 9, "bytes_mean": 1.0, "bytes_p95": 2.0}
    origin = bundle.document["fingerprint"]
    quantize_bundle(bundle, chosen_graphs(bundle, []), pixels)
    check_kinds(bundle)
    document = bundle.document
    assert document["fingerprint"] != origin
    made = document["provenance"]["int8"]
    assert (made["of"], made["pictures"]) == (origin, len(pixels))
    assert made["graphs"] == ["full", "head/w50", "head/w100", "tail/w50", "tail/w100"]
    assert set(bundle.tensors) == bundle.used_tensors()
    before, after = Reference(exact), Reference(bundle)
    for point, old in zip(document["points"], exact.document["points"]):
        assert point == old  # without what was measured
        a, b = (reference.classify(point, pixels) for reference in (before, after))
        assert 0 < np.abs(a - b).mean() < 0.01, point["id"]
        assert (a.argmax(1) == b.argmax(1)).mean() > 0.85, point["id"]
    # Widths share the weights that they slice; the whole network has its own nodes of them.
    for layer in (1, 2, 4):
        w50, w100 = (document["graphs"][f"head/{width}"]["nodes"][layer]
                     for width in ("w50", "w100"))
        assert w50.get("weight") == w100.get("weight")
    # What fp32 made of a channel on average, int8 makes too.
    x = before.normalise(pixels)
    for head in ("head/w50", "head/w100"):
        a, b = before.run(head, x), after.run(head, x)
        np.testing.assert_allclose(a.mean((0, 1, 2)), b.mean((0, 1, 2)), atol=2e-5)


def test_chosen_graphs_alone_change(pixels: np.ndarray) -> None:
    bundle = tiny_bundle()
    before = tiny_bundle().document
    assert chosen_graphs(bundle, ["tail"]) == ["tail/w50", "tail/w100"]
    graphs = chosen_graphs(bundle, ["head/w50", "full"])
    assert graphs == ["full", "head/w50"]
    for point in bundle.document["points"]:
        point["top1"] = 0.5
    quantize_bundle(bundle, graphs, pixels)
    changed = {name for name, graph in bundle.document["graphs"].items()
               if graph != before["graphs"][name]}
    assert changed == set(graphs)
    assert {p["id"] for p in bundle.document["points"] if "top1" in p} == {"w100-low", "w100-high",
                                                                            "w100-u8"}
    with pytest.raises(SystemExit, match="no point runs a graph 'body'; there are full, head/w50"):
        chosen_graphs(bundle, ["body"])
    with pytest.raises(SystemExit, match="full is in int8 already"):
        chosen_graphs(bundle, [])


def test_imported_operators_in_int8(rng: np.random.Generator) -> None:
    exact, bundle = operators_bundle(), operators_bundle()
    pixels = rng.integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)
    quantize_bundle(bundle, ["full"], pixels)
    check_kinds(bundle)
    a, b = (Reference(each).classify(bundle.point("local"), pixels) for each in (exact, bundle))
    assert 0 < np.abs(a - b).max() < 0.05


@pytest.fixture
def photos(tmp_path: Path, pixels: np.ndarray) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).resize((44, 40)).save(folder / f"{i}.jpg")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_command(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch,
                 capsys: pytest.CaptureFixture[str]) -> None:
    save_bundle(tiny_bundle(), tmp_path / "tiny.safetensors")
    output = tmp_path / "int8.safetensors"
    monkeypatch.setattr(sys, "argv", [
        "cleave_train", "quantize", str(tmp_path / "tiny.safetensors"), "--photos", str(photos),
        "--count", "20", "--graphs", "head", "--output", str(output)])
    main()
    bundle = load_bundle(output)
    assert bundle.document["provenance"]["int8"]["graphs"] == ["head/w50", "head/w100"]
    assert bundle.document["provenance"]["int8"]["pictures"] == 20
    said = capsys.readouterr().out
    assert "head/w50: 4 of 4 nodes in int8, error" in said
    assert bundle.document["fingerprint"] in said


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
@pytest.mark.parametrize(("make", "tolerance"), [(tiny_bundle, 1e-5), (mixed, 0.03),
                                                 (operators_bundle, 0.03)])
def test_engine_agrees(tmp_path: Path, rng: np.random.Generator, make: Any,
                       tolerance: float) -> None:
    """The same probability by every point; the last bits of fp32 nodes may tip a code."""
    bundle = make()
    size = bundle.view.height
    pixels = rng.integers(0, 256, (24, size, size, 3), dtype=np.uint8)
    quantize_bundle(bundle, chosen_graphs(bundle, []), pixels)
    path, files = tmp_path / "int8.safetensors", []
    save_bundle(bundle, path)
    for i, picture in enumerate(pixels):
        files.append(tmp_path / f"{i}.ppm")
        write_ppm(files[-1], picture)
    points = bundle.document["points"]
    answers = engine_answers(os.environ["CLEAVE_EVAL"], path, [p["id"] for p in points], files)
    for point in points:
        wanted = Reference(bundle).classify(point, pixels)
        given = answers[point["id"]]
        same = np.take_along_axis(wanted, given.top[:, :1], 1)[:, 0]
        np.testing.assert_allclose(given.confidence, same, rtol=tolerance, err_msg=point["id"])
