"""A tiny recipe, random backbones and caches of random pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cleave_train.model import Backbone
from cleave_train.net import Folded, Network, NetworkBuilder, Node
from cleave_train.photos import Photo
from cleave_train.prepare import Prepared
from cleave_train.recipe import Recipe, parse_recipe
from cleave_train.targets import Targets
from cleave_train.views import Views

SIZE, CLASSES, ROWS, HELD_OUT = 32, 10, 40, 8
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small tensors gain nothing from more."""
    torch.set_num_threads(1)


@pytest.fixture
def recipe() -> Recipe:
    """Two widths, two rates, two backbones; the second stage also trains the tails."""
    stage = {"steps": 4, "batch": 6, "lr": 1e-3, "warmup": 2}
    return parse_recipe({
        "name": "small", "version": "0.1.0", "seed": 5, "method": "slimmable",
        "input": {"width": SIZE, "height": SIZE, "resize_shorter": 36},
        "photos": {"held_out": HELD_OUT, "views": 1},
        "backbone": [{"name": "first", "cut": "middle"}, {"name": "second", "cut": "middle"}],
        "coder": {
            "variants": ["w50", "w100"], "latent": 8, "decoder_channels": 8, "decoder_blocks": 1,
            "layers": [{"kind": "conv", "kernel": 3, "stride": 2, "channels": [4, 8]},
                       {"kind": "separable", "kernel": 3},
                       {"kind": "conv", "kernel": 3, "stride": 2}]},
        "rate": [{"name": "low", "bytes": 40, "gain": 1.0},
                 {"name": "high", "bytes": 90, "gain": 3.0}],
        "stage": [{"name": "distill", **stage, "rate_ramp": 2, "saliency": 1.0},
                  {"name": "finetune", **stage, "kl": 1.0,
                   "train": ["encoder", "decoder", "tail"]}],
    })


def random_network(seed: int, channels: int) -> Network:
    """Every kind of node; the value `middle` is 8x8 with this many channels."""
    rng = torch.Generator().manual_seed(seed)

    def folded(*shape: int, scaled: bool = True) -> Folded:
        weight = torch.randn(shape, generator=rng) * (2 / weight_fan(shape)) ** 0.5
        scale = 0.8 + 0.4 * torch.rand(shape[0], generator=rng) if scaled else None
        return Folded(weight, scale, 0.1 * torch.randn(shape[0], generator=rng))

    b = NetworkBuilder((SIZE, SIZE, 3))
    v = b.conv(0, "stem", folded(8, 3, 3, 3), (2, 2), (1, 1, 1, 1), "relu")
    v = b.add(Node("maxpool", "pool", (v,), kernel=(3, 3), stride=(2, 2), pad=(0, 1, 0, 1)),
              (8, 8, 8))
    v = b.same_conv(v, "middle", folded(channels, 8, 1, 1), act="relu6")
    b.marks["middle"] = v
    x = b.same_conv(v, "depthwise", folded(channels, 1, 3, 3, scaled=False), act="relu6")
    v = b.sum(v, b.same_conv(x, "point", folded(channels, channels, 1, 1)), "sum", "relu")
    v = b.add(Node("avgpool", "mean", (v,), kernel=(2, 2), stride=(2, 2)), (4, 4, channels))
    b.classify(v, "fc", folded(CLASSES, channels, scaled=False))
    return b.network()


def weight_fan(shape: tuple[int, ...]) -> int:
    """Inputs of one output."""
    return int(np.prod(shape[1:]))


@pytest.fixture
def prepared(tmp_path: Path, recipe: Recipe) -> Prepared:
    """Random pictures in filled caches."""
    photos = [Photo(f"{i}.jpg", Path()) for i in range(ROWS)]
    views = Views(tmp_path / "views", photos[:HELD_OUT], photos[HELD_OUT:], 1, recipe.input,
                  recipe.seed)
    coarse = np.random.default_rng(2).integers(0, 256, (ROWS, 8, 8, 3), dtype=np.uint8)
    views.store.maps["pixels"][:] = coarse.repeat(4, 1).repeat(4, 2)
    views.store.maps["valid"][:] = 1
    views.store.advance(ROWS)
    prepared = Prepared([], views)
    for i, spec in enumerate(recipe.backbones):
        net = random_network(i, 6 + 2 * i)
        cut = net.marks[spec.cut]
        targets = Targets(tmp_path / spec.name, spec.name, net, cut, views)
        targets.fill(CPU)
        prepared.backbones.append(Backbone(spec.name, net, cut, (6 + 2 * i, 8, 8)))
        prepared.targets[spec.name] = targets
    return prepared
