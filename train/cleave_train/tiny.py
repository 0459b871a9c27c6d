"""A tiny bundle with random weights, as training makes them, for the C engine's own tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from .bundle import Bundle, save_bundle
from .entropy import build_tables
from .graph import Graph
from .known_answer import seal
from .reference import Reference

SIZE, CLASSES, MID, LATENT = 32, 10, 12, 8
WIDTHS = {"w50": 0.5, "w100": 1.0}


class Weights:
    """Seeded random tensors by name."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: dict[str, np.ndarray] = {}

    def weight(self, name: str, shape: tuple[int, ...], kind: type = np.float16) -> str:
        """He-scaled values; int8 ones span most of their range."""
        fan_in = np.prod(shape[1:]) if len(shape) != 3 else np.prod(shape[:2])
        values = self.rng.normal(0, (2 / fan_in) ** 0.5, shape)
        if kind is np.int8:
            values = np.clip(np.rint(values / np.abs(values).max() * 127), -127, 127)
        self.tensors[name] = values.astype(kind)
        return name

    def norm(self, name: str, channels: int, around: float = 1.0) -> dict[str, str]:
        """A scale near `around` and a bias near 0."""
        scale = around * self.rng.uniform(0.7, 1.3, channels)
        self.tensors[f"{name}.scale"] = scale.astype(np.float32)
        self.tensors[f"{name}.bias"] = self.rng.normal(0, 0.2, channels).astype(np.float32)
        return {"scale": f"{name}.scale", "bias": f"{name}.bias"}


def _head(w: Weights, width: str, share: float) -> Graph:
    mid, latent = int(MID * share), int(LATENT * share)
    g = Graph(w.tensors, (SIZE, SIZE, 3))
    v = g.conv(0, "stem", 2, out=(0, mid), act="relu6", **w.norm(f"{width}.stem", mid))
    d = g.dwconv(v, "depthwise", 1, channels=(0, mid), act="relu", **w.norm(f"{width}.dw", mid))
    v = g.add(v, d, act="relu6")
    g.conv(v, "reduce", 2, out=(0, latent), inch=(0, mid), **w.norm(f"{width}.reduce", latent))
    return g


def _tail(w: Weights, g: Graph, v: int) -> None:
    v = g.conv(v, "middle", 2, act="relu", **w.norm("middle", 16))
    v = g.global_avgpool(v)
    v = g.linear(v, "fc", **w.norm("fc", CLASSES, 0.02))
    g.softmax(v)


def _ops(w: Weights) -> Graph:
    """Odd sizes and every padding: not used by any point."""
    g = Graph(w.tensors, (9, 11, 5))
    v = g.conv(0, w.weight("ops.conv5", (7, 5, 5, 5)), 2, act="relu", **w.norm("ops.conv5", 7))
    v = g.dwconv(v, w.weight("ops.dw5", (5, 5, 12), np.float32), 2, channels=(3, 10),
                 act="relu6", **w.norm("ops.dw5", 7))
    v = g.conv(v, w.weight("ops.point", (21, 1, 1, 9)), out=(2, 21), inch=(1, 8))
    v = g.affine(v, **w.norm("ops.affine", 19))
    v = g.act(v, "relu")
    a = g.pool(v, "maxpool", 3, 1)
    b = g.pool(v, "avgpool", 3, 1)
    v = g.add(a, b)
    v = g.pool(v, "avgpool", 2, 2)
    v = g.pool(v, "maxpool", 3, 2)
    g.conv(v, w.weight("ops.scaled", (3, 1, 1, 19)), scale=w.norm("ops.scaled", 3)["scale"])
    w.tensors.pop("ops.scaled.bias")
    return g


def tiny_bundle(seed: int = 7) -> Bundle:
    """Two widths, both codecs, fp16, fp32 and int8 weights; 32x32 input, 10 classes."""
    w = Weights(seed)
    w.weight("stem", (MID, 3, 3, 3))
    w.weight("depthwise", (3, 3, MID))
    w.weight("reduce", (LATENT, 3, 3, MID), np.float32)
    w.weight("middle", (16, 3, 3, LATENT))
    w.weight("fc", (CLASSES, 16), np.int8)
    w.weight("restore", (LATENT, 1, 1, LATENT))
    built: dict[str, Graph] = {"ops": _ops(w)}
    for width, share in WIDTHS.items():
        head = _head(w, width, share)
        tail = Graph(w.tensors, head.shapes[-1])
        _tail(w, tail, tail.conv(0, "restore", inch=(0, tail.shapes[0][2])))
        built[f"head/{width}"], built[f"tail/{width}"] = head, tail
    full = Graph(w.tensors, (SIZE, SIZE, 3))
    v = full.conv(0, "stem", 2, act="relu6", scale="w100.stem.scale", bias="w100.stem.bias")
    v = full.conv(v, "reduce", 2, scale="w100.reduce.scale", bias="w100.reduce.bias")
    _tail(w, full, v)
    built["full"] = full

    bundle = Bundle({
        "format": 1, "name": "tiny", "version": "0.1.0", "fingerprint": "",
        "input": {"width": SIZE, "height": SIZE, "resize_shorter": 36, "filter": "bilinear",
                  "mean": [120, 127, 130], "scale": [64, 128, 100]},
        "labels": [f"class {i}" for i in range(CLASSES)],
        "graphs": {name: graph.document() for name, graph in built.items()},
        "priors": {}, "points": [], "provenance": {"purpose": "tests"}}, w.tensors)
    _add_priors(bundle, w.rng)
    _add_points(bundle, built)
    seal(bundle)
    return bundle


def _add_priors(bundle: Bundle, rng: np.random.Generator) -> None:
    reference = Reference(bundle)
    pictures = reference.normalise(rng.integers(0, 256, (16, SIZE, SIZE, 3), dtype=np.uint8))
    for width in WIDTHS:
        latent = reference.run(f"head/{width}", pictures)
        for rate, steps in (("low", 1.5), ("high", 4.0)):
            gain = (steps / latent.std((0, 1, 2))).astype(np.float32)
            tables = build_tables(np.rint(latent * gain).astype(np.int32), contexts=1)
            key = f"{width}-{rate}"
            bundle.document["priors"][key] = {}
            for part, array in {"gain": gain, **tables}.items():
                bundle.tensors[f"prior.{key}.{part}"] = array
                bundle.document["priors"][key][part] = f"prior.{key}.{part}"


def _add_points(bundle: Bundle, built: dict[str, Graph]) -> None:
    points = bundle.document["points"]
    points.append({"id": "offload", "kind": "offload", "graph": "full", "head_macs": 0,
                   "tail_macs": built["full"].macs})
    for width, share in WIDTHS.items():
        head, tail = built[f"head/{width}"], built[f"tail/{width}"]
        common = {"kind": "split", "width": share, "ensemble": 1, "head": f"head/{width}",
                  "tail": f"tail/{width}", "latent": list(head.shapes[-1]),
                  "head_macs": head.macs, "tail_macs": tail.macs}
        for rate in ("low", "high"):
            points.append({"id": f"{width}-{rate}", **common, "rate": rate, "codec": "rans",
                           "prior": f"{width}-{rate}"})
        if share == 1.0:
            points.append({"id": f"{width}-u8", **common, "rate": "u8", "codec": "u8zstd"})
    points.append({"id": "local", "kind": "local", "graph": "full",
                   "head_macs": built["full"].macs, "tail_macs": 0})


def node_outputs(reference: Reference, graph: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every node's output [h,w,c] as nodes/<graph>/<index>."""
    document = reference.bundle.document["graphs"][graph]
    nodes = document["nodes"]
    outputs = {}
    for i in range(len(nodes)):
        document["nodes"] = nodes[:i + 1]
        outputs[f"nodes/{graph}/{i}"] = reference.run(graph, x)[0]
    document["nodes"] = nodes
    return outputs


def write_tiny(folder: Path, seed: int = 11) -> None:
    """tiny.safetensors, and what PyTorch makes of one picture in tiny_golden.safetensors."""
    bundle = tiny_bundle()
    save_bundle(bundle, folder / "tiny.safetensors")
    reference, rng = Reference(bundle), np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)
    ops_input = rng.normal(0, 1, (1, 9, 11, 5)).astype(np.float32)
    golden = {"pixels": pixels[0], "input/ops": ops_input[0]}
    golden |= node_outputs(reference, "ops", ops_input)
    golden |= node_outputs(reference, "full", reference.normalise(pixels))
    for point in bundle.document["points"]:
        name = point["id"]
        golden[f"probabilities/{name}"] = reference.classify(point, pixels)[0]
        if point["kind"] != "split":
            continue
        latent = reference.run(point["head"], reference.normalise(pixels))
        golden[f"latent/{name}"] = latent[0]
        golden[f"restored/{name}"] = reference.through_codec(point, latent)[0]
        if point["codec"] == "rans":
            golden[f"symbols/{name}"] = reference.quantise(point["prior"], latent)[0]
    (folder / "tiny_golden.safetensors").write_bytes(
        save({name: np.ascontiguousarray(a) for name, a in golden.items()}))
