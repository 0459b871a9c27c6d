"""Makes a bundle of a translated network: its input, labels, operating points, origin."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle import DTYPES, Bundle, input_document, save_bundle
from ..graph import Graph
from ..known_answer import seal
from ..labels import imagenet_labels
from ..picture import InputSpec
from .agreement import check_agreement
from .read import Source, read_onnx
from .refinement import recipe_text
from .simplify import part
from .translate import Network, translate

IMAGENET = {"mean": (123.675, 116.28, 103.53), "scale": (58.395, 57.12, 57.375)}
HALVES = {"mean": 127.5, "scale": 127.5}
CONVENTIONS = {  # how pictures were prepared for training
    "torchvision": InputSpec(filter="bilinear", **IMAGENET),
    "timm": InputSpec(filter="bicubic", **IMAGENET),
    "inception": InputSpec(filter="bicubic", **HALVES),
}
CROP = 0.875  # of the resized picture's shorter side is used


@dataclass(frozen=True)
class Request:
    """What to import, and what the file does not say."""

    model: Path
    name: str = ""  # default: the file's
    version: str = "1"
    size: tuple[int, int] | None = None  # height, width in pixels, if the file leaves them open
    convention: str = "torchvision"
    resize_shorter: int = 0  # pixels; 0: by the convention
    mean: tuple[float, ...] = ()  # of pixel values 0 to 1; (): by the convention
    std: tuple[float, ...] = ()
    labels: Path | None = None
    split: str = ""
    storage: str = "F32"  # of weights: F32, F16 or BF16


def input_spec(request: Request, source: Source) -> InputSpec:
    """How pictures are prepared."""
    height, width = source.picture
    spec = replace(CONVENTIONS[request.convention], width=width, height=height,
                   resize_shorter=request.resize_shorter or round(max(height, width) / CROP))
    if spec.resize_shorter < max(height, width):
        raise SystemExit(f"pictures resized to {spec.resize_shorter} have no {width}x{height} crop")
    levels = {key: tuple(255 * float(level) for level in given)
              for key, given in (("mean", request.mean), ("scale", request.std)) if given}
    return replace(spec, **levels)


def read_labels(path: Path | None, classes: int) -> list[str]:
    """One name for each class: of a file (a line each, or a JSON list), of ImageNet, or numbers."""
    if path is None:
        return imagenet_labels() if classes == 1000 else [f"class {i}" for i in range(classes)]
    text = path.read_text(encoding="utf-8")
    labels = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    if len(labels) != classes or not all(isinstance(label, str) for label in labels):
        raise SystemExit(f"{path} has {len(labels)} labels, the network {classes} classes")
    return labels


def _points(network: Network, split: str) -> tuple[dict[str, Graph], list[dict[str, Any]]]:
    """Graphs by name, and the operating points on them."""
    full = network.graph
    graphs = {"full": full}
    points = [{"id": "offload", "kind": "offload", "graph": "full", "head_macs": 0,
               "tail_macs": full.macs}]
    if split:
        cut = network.cut(split)
        head, tail = part(full, 0, cut)[0], part(full, cut, len(full.nodes))[0]
        graphs |= {"head": head, "tail": tail}
        points.append({"id": "split-u8", "kind": "split", "width": 1.0, "rate": "u8",
                       "ensemble": 1, "codec": "u8zstd", "head": "head", "tail": "tail",
                       "latent": list(head.shapes[-1]), "head_macs": head.macs,
                       "tail_macs": tail.macs})
    points.append({"id": "local", "kind": "local", "graph": "full", "head_macs": full.macs,
                   "tail_macs": 0})
    return graphs, points


def _stored(tensors: dict[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    """Weights as a bundle's `kind` has them; refuses those that it cannot hold."""
    stored = {name: array.astype(DTYPES[kind]) if name.endswith(".weight") else array
              for name, array in tensors.items()}
    too_large = [name for name, array in stored.items()
                 if not np.isfinite(array.astype(np.float32)).all()]
    if too_large:
        raise SystemExit(f"{len(too_large)} weights are beyond what {kind.lower()} holds, as "
                         f"{too_large[0]}")
    return stored


def build_bundle(request: Request) -> Bundle:
    """Reads, translates and checks; writes nothing."""
    source = read_onnx(request.model, request.size)
    network = translate(source)
    spec = input_spec(request, source)
    graphs, points = _points(network, request.split)
    name = request.name or re.sub(r"[^A-Za-z0-9._-]", "-", request.model.stem)[:63]
    bundle = Bundle({
        "format": 1, "name": name, "version": request.version, "fingerprint": "",
        "input": input_document(spec),
        "labels": read_labels(request.labels, network.graph.shapes[-1][2]),
        "graphs": {key: graph.document() for key, graph in graphs.items()}, "priors": {},
        "points": points,
        "provenance": {"made_by": "cleave_train import", "date": date.today().isoformat(),
                       "imported": source.origin, "split": request.split,
                       "licence": "that of the imported network"},
    }, network.graph.tensors)
    bundle.tensors = {key: bundle.tensors[key] for key in sorted(bundle.used_tensors())}
    check_agreement(request.model, source, network, bundle)
    bundle.tensors = _stored(bundle.tensors, request.storage)
    seal(bundle)
    return bundle


def import_model(request: Request, output: Path, recipe: Path | None = None) -> None:
    """The bundle of an ONNX file, a recipe to refine its split if asked, a line on what it is."""
    if recipe and not request.split:
        raise SystemExit("a recipe goes on from a split; --split names the node")
    bundle = build_bundle(request)
    text = recipe_text(bundle, request.model, request.labels, recipe) if recipe else ""
    save_bundle(bundle, output)
    if recipe:
        recipe.write_text(text, encoding="utf-8")
    point = bundle.point("local")
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, {point['head_macs'] / 1e6:.0f} MMAC, "
          f"{len(bundle.document['labels'])} classes, fingerprint {bundle.document['fingerprint']}")
