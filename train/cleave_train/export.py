"""Turns a calibrated model into a bundle: its graphs, its operating points and where it is from."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from datetime import date
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .backbones.lite import PACKAGES
from .bundle import Bundle, input_document
from .calibrate import Prior
from .graph import Graph
from .graph_writer import GraphWriter, module_names
from .known_answer import seal
from .labels import imagenet_labels
from .methods import Method
from .model import Backbone
from .recipe import BackboneSpec, PointSpec, Recipe

Row = dict[str, Any]


def planned_points(recipe: Recipe, codec: str) -> list[PointSpec]:
    """The recipe's split points, or all there can be: variants, tiers, backbones."""
    names = [backbone.label for backbone in recipe.backbones]
    if not recipe.points:
        tiers = [rate.name for rate in recipe.rates] if codec == "rans" else ["u8"]
        return [PointSpec(f"{variant}-{tier}" + (f"-{name}" if i else ""), variant, t, None,
                          codec, name)
                for i, name in enumerate(names)
                for variant in recipe.coder.variants for t, tier in enumerate(tiers)]
    points = [replace(p, codec=p.codec or codec, backbone=p.backbone or names[0])
              for p in recipe.points]
    for point in points:
        if point.variant not in recipe.coder.variants or point.backbone not in names:
            raise SystemExit(f"point {point.id}: the recipe has no such variant or backbone")
        if point.exit is not None and not 0 < point.exit.threshold <= 1:
            raise SystemExit(f"point {point.id}: the exit's threshold is not above 0 and at most 1")
    return points


def rate_name(point: PointSpec, recipe: Recipe) -> str:
    """What a point's rate is called: its tier's name, 1200B for a budget, 1.5 between tiers."""
    if point.codec != "rans":
        return "u8"
    if point.bytes is not None:
        return f"{point.bytes:g}B"
    whole = point.tier == int(point.tier) and 0 <= point.tier < len(recipe.rates)
    return recipe.rates[int(point.tier)].name if whole else f"{point.tier:g}"


def size_of(variant: str) -> tuple[float, int]:
    """(width, ensemble) that a variant's name tells: w25 -> (0.25, 1), k2 -> (1.0, 2)."""
    match = re.fullmatch(r"([wk])(\d+)", variant)
    if match is None:
        return 1.0, 1
    number = int(match[2])
    return (number / 100, 1) if match[1] == "w" else (1.0, number)


class _Exporter:
    """Builds the graphs that points ask for, each once."""

    def __init__(self, recipe: Recipe, method: Method) -> None:
        self.recipe, self.method, self.model = recipe, method, method.model
        self.backbones = {backbone.name: backbone for backbone in method.backbones}
        self.main = method.backbones[0].name
        self.names = module_names(self.model)
        self.tensors: dict[str, np.ndarray] = {}
        self.graphs: dict[str, Graph] = {}

    def _writer(self, name: str, shape: tuple[int, int, int] | None = None) -> GraphWriter:
        """A new graph's, on pictures unless a shape is given."""
        view = self.recipe.input
        writer = GraphWriter(self.tensors, self.names, shape or (view.height, view.width, 3))
        self.graphs[name] = writer.graph
        return writer

    def full(self, backbone: Backbone) -> str:
        """Picture -> probabilities by a backbone alone."""
        name = "full" if backbone.name == self.main else f"full/{backbone.name}"
        if name not in self.graphs:
            writer = self._writer(name)
            writer.graph.softmax(writer.nodes(backbone.net, 0, 0, backbone.net.end))
        return name

    def head(self, variant: str) -> str:
        """Picture -> latent."""
        name = f"head/{variant}"
        if name not in self.graphs:
            self.model.encoder.emit(self._writer(name), 0, variant)
        return name

    def exit(self, variant: str) -> str:
        """Latent, as the head writes it -> probabilities."""
        name = f"exit/{variant}"
        if name not in self.graphs:
            writer = self._writer(name, self.graphs[self.head(variant)].shapes[-1])
            self.model.exits[variant].emit_exit(writer, 0, variant)
        return name

    def tail(self, variant: str, backbone: str) -> str:
        """Restored latent -> probabilities."""
        name = f"tail/{variant}" + ("" if backbone == self.main else f"/{backbone}")
        if name not in self.graphs:
            writer = self._writer(name, self.graphs[self.head(variant)].shapes[-1])
            value = self.model.decoders[backbone].emit(writer, 0, variant)
            value = writer.rescale(value, f"decoders.{backbone}.last.{variant}",
                                   getattr(self.model, f"std_{backbone}"),
                                   getattr(self.model, f"mean_{backbone}"))
            tail = self.model.tails[backbone]
            writer.graph.softmax(writer.nodes(tail.net, value, tail.cut, tail.net.end))
        return name

    def whole(self, point_id: str, kind: str, graph: str) -> Row:
        """A point that runs one graph on one side."""
        macs, here = self.graphs[graph].macs, kind == "local"
        return {"id": point_id, "kind": kind, "graph": graph,
                "head_macs": macs if here else 0, "tail_macs": 0 if here else macs}

    def split(self, point: PointSpec) -> Row:
        """A point with a head, a tail and maybe an exit."""
        head, tail = self.head(point.variant), self.tail(point.variant, point.backbone)
        width, ensemble = size_of(point.variant)
        rate = rate_name(point, self.recipe)
        prior = {"prior": f"{point.variant}-{rate}"} if point.codec == "rans" else {}
        early, macs = {}, self.graphs[head].macs
        if point.exit is not None:
            if point.variant not in self.model.exits:
                raise SystemExit(f"point {point.id}: no exit was trained on {point.variant}")
            graph = self.exit(point.variant)
            early = {"exit": {"graph": graph, "threshold": point.exit.threshold}}
            macs += self.graphs[graph].macs
        return {"id": point.id, "kind": "split", "width": width, "rate": rate,
                "ensemble": ensemble, "codec": point.codec, **prior, "head": head, "tail": tail,
                "latent": list(self.graphs[head].shapes[-1]), **early,
                "head_macs": macs, "tail_macs": self.graphs[tail].macs}

    def points(self, plan: list[PointSpec]) -> list[Row]:
        """All points in the order of their number on the wire."""
        main, *others = self.method.backbones
        rows = [self.whole("offload", "offload", self.full(main))]
        rows += [self.whole(f"offload-{b.name}", "offload", self.full(b)) for b in others]
        rows += [self.split(point) for point in plan]
        rows.append(self.whole("local", "local", self.full(main)))
        for name, emit in self.method.extra_graphs().items():
            emit(self._writer(name), 0)
            rows.append(self.whole(name, "local", name))
        return rows


def build_bundle(recipe: Recipe, method: Method, plan: list[PointSpec], priors: dict[str, Prior],
                 labels: list[str] | None, origin: Row) -> Bundle:
    """The bundle of a calibrated model; `priors` by point, as `build_priors` gives them."""
    exporter = _Exporter(recipe, method)
    points = exporter.points(plan)
    arrays = {f"{point['prior']}.{part}": array for point in points if "prior" in point
              for part, array in priors[point["id"]].tensors.items()}
    bundle = Bundle({
        "format": 1, "name": recipe.name, "version": recipe.version, "fingerprint": "",
        "input": input_document(recipe.input),
        "labels": labels or imagenet_labels(),
        "graphs": {name: graph.document() for name, graph in exporter.graphs.items()},
        "priors": {},
        "points": points,
        "provenance": origin,
    })
    for name in arrays:
        key, part = name.rsplit(".", 1)
        bundle.document["priors"].setdefault(key, {})[part] = f"prior.{name}"
    tensors = exporter.tensors | {f"prior.{name}": array for name, array in arrays.items()}
    bundle.tensors = {name: tensors[name] for name in sorted(bundle.used_tensors())}
    seal(bundle)
    return bundle


def _weights_of(spec: BackboneSpec) -> str:
    """Where a backbone's weights are from."""
    if spec.onnx:
        return f"{Path(spec.onnx).name}, sha256 {sha256(Path(spec.onnx).read_bytes()).hexdigest()}"
    if spec.name not in PACKAGES:
        return spec.name
    package = PACKAGES[spec.name][0].replace("_", "-")
    return f"EfficientNet-{spec.name.capitalize()}, weights of {package} {version(package)}"


def provenance(recipe: Recipe, steps: int, views: int) -> Row:
    """What the bundle was made from: recipe, training steps, views of pictures, backbones."""
    published = all(backbone.name in PACKAGES and not backbone.onnx
                    for backbone in recipe.backbones)
    shown = replace(recipe, backbones=tuple(b.without_folders() for b in recipe.backbones))
    return {
        "made_by": "cleave_train", "date": date.today().isoformat(),
        "recipe": asdict(shown), "training_steps": steps, "training_views": views,
        "backbones": [_weights_of(backbone) for backbone in recipe.backbones],
        "licence": "Apache-2.0; see NOTICE" if published else "that of the backbones' weights",
        "data": "unlabelled photographs; see models/README.md",
    }
