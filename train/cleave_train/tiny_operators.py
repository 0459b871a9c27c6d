"""A bundle of the operators that imported networks need, for the C engine's own tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from .bundle import Bundle, fingerprint, save_bundle
from .graph import Graph
from .operators import Clip, LeakyRelu
from .reference import Reference
from .tiny import Weights, node_outputs

SIZE, CLASSES = 16, 5


def _windows(w: Weights) -> Graph:
    """Groups and dilation."""
    g = Graph(w.tensors, (9, 11, 6))
    v = g.conv(0, w.weight("grouped", (15, 3, 3, 2)), (1, 2), groups=3, act="silu",
               **w.norm("grouped", 15))
    v = g.conv(v, w.weight("dilated", (11, 3, 2, 15)), dilation=(2, 3), pad=(2, 1, 0, 4),
               act="gelu", **w.norm("dilated", 11))
    v = g.conv(v, w.weight("each", (24, 3, 3, 2), np.float32), groups=11, out=(1, 23),
               inch=(1, 2), dilation=(1, 2), act=Clip(-0.5, 0.75), **w.norm("each", 22))
    g.conv(v, w.weight("points", (4, 1, 1, 11), np.int8), groups=2,
           scale=w.norm("points", 4, 0.02)["scale"])
    w.tensors.pop("points.bias")
    return g


def _elements(w: Weights) -> Graph:
    """Products and activations."""
    g = Graph(w.tensors, (6, 5, 7))
    last = g.act(0, "sigmoid")
    for act in ("hard_swish", "silu", "gelu", LeakyRelu(0.125), Clip(-1.5, 0.5)):
        last = g.mul(last, g.act(0, act))
    row = g.pool(0, "avgpool", (6, 1), 1, (0, 0, 0, 0))
    column = g.pool(0, "maxpool", (1, 5), 1, (0, 0, 0, 0))
    map_ = g.conv(0, w.weight("attention", (1, 1, 1, 7)), act="sigmoid")
    v = g.mul(g.mul(g.mul(0, row, LeakyRelu(-0.5)), column, "relu6"), map_)
    v = g.mul(v, g.global_avgpool(last), Clip(-0.01, 0.02))
    v = g.affine(v, **w.norm("spread", 7, 40), act="hard_swish")
    g.add(v, last, "gelu")
    return g


def _moves(w: Weights) -> Graph:
    """Everything that joins, resizes and rearranges."""
    g = Graph(w.tensors, (3, 4, 10))
    a = g.layer_norm(0, 1e-5)
    b = g.resize(g.resize(0, (5, 9), "bilinear", "half_pixel"), (3, 4), "nearest", "half_pixel")
    c = g.resize(g.resize(0, (7, 3), "bilinear", "align_corners"), (3, 4), "nearest", "asymmetric")
    d = g.resize(g.resize(0, (6, 8), "bilinear", "asymmetric"), (3, 4), "nearest", "align_corners")
    v = g.concat(g.concat(a, b), g.concat(c, d))
    v = g.concat(g.depth_to_space(v, 2, "dcr"), g.depth_to_space(v, 2, "crd"))
    g.layer_norm(g.resize(v, (1, 1), "bilinear", "half_pixel"), 0.5)
    return g


def _full(w: Weights) -> Graph:
    """A classifier of a bit of each."""
    g = Graph(w.tensors, (SIZE, SIZE, 3))
    v = g.conv(0, w.weight("stem", (8, 3, 3, 3)), 2, act="silu", **w.norm("stem", 8))
    x = g.conv(v, w.weight("middle", (8, 3, 3, 4)), groups=2, dilation=(2, 2), pad=(2, 2, 2, 2),
               act="gelu", **w.norm("middle", 8))
    squeezed = g.conv(g.global_avgpool(x), w.weight("gate", (8, 1, 1, 8)), act="sigmoid")
    v = g.layer_norm(g.add(v, g.mul(x, squeezed)), 1e-6)
    v = g.depth_to_space(g.concat(g.resize(v, (5, 5), "bilinear", "half_pixel"),
                                  g.resize(v, (5, 5), "nearest", "asymmetric")), 2, "dcr")
    v = g.linear(g.global_avgpool(v), w.weight("fc", (CLASSES, 4)), **w.norm("fc", CLASSES))
    g.softmax(v)
    return g


def operators_bundle(seed: int = 8) -> Bundle:
    """Points `offload` and `local`; 16x16 input, 5 classes; three graphs that no point uses."""
    w = Weights(seed)
    built = {"full": _full(w), "windows": _windows(w), "elements": _elements(w),
             "moves": _moves(w)}
    macs = built["full"].macs
    bundle = Bundle({
        "format": 1, "name": "operators", "version": "0.1.0", "fingerprint": "",
        "input": {"width": SIZE, "height": SIZE, "resize_shorter": 18, "filter": "bilinear",
                  "mean": [120, 127, 130], "scale": [64, 128, 100]},
        "labels": [f"class {i}" for i in range(CLASSES)],
        "graphs": {name: graph.document() for name, graph in built.items()}, "priors": {},
        "points": [
            {"id": "offload", "kind": "offload", "graph": "full", "head_macs": 0,
             "tail_macs": macs},
            {"id": "local", "kind": "local", "graph": "full", "head_macs": macs,
             "tail_macs": 0}],
        "provenance": {"purpose": "tests"}}, w.tensors)
    bundle.document["fingerprint"] = fingerprint(bundle)
    return bundle


def write_operators(folder: Path, seed: int = 12) -> None:
    """operators.safetensors, and what PyTorch makes of each node beside it."""
    bundle = operators_bundle()
    save_bundle(bundle, folder / "operators.safetensors")
    reference, rng = Reference(bundle), np.random.default_rng(seed)
    golden = {}
    for name, graph in bundle.document["graphs"].items():
        x = rng.normal(0, 2, (1, *graph["input"])).astype(np.float32)
        golden |= {f"input/{name}": x[0], **node_outputs(reference, name, x)}
    (folder / "operators_golden.safetensors").write_bytes(
        save({name: np.ascontiguousarray(a) for name, a in golden.items()}))
