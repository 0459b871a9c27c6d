"""Small random stand-ins for the backbone, the cache and the recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cleave_train.backbone import FrozenConv, Lite0
from cleave_train.cache import LAYOUT, Cache
from cleave_train.prepare import Prepared
from cleave_train.recipe import Bottleneck, Recipe, Stage, load_recipe
from cleave_train.trunk import NarrowTrunk

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def recipe() -> Recipe:
    """The default recipe with small trained parts and two stages of four steps."""
    full = load_recipe(RECIPES / "lite0.toml")
    stages = (Stage("distill", 4, 4, 1e-3, 2, 2, 0.0), Stage("tail", 4, 4, 1e-3, 1, 0, 1.0))
    return replace(full, bottleneck=Bottleneck(8, 8, 0.25, 8, 1), stages=stages)


@pytest.fixture
def net() -> Lite0:
    """Lite0 with seeded random weights that fp16 can hold."""
    torch.manual_seed(1)
    net = Lite0()
    for conv in (m for m in net.modules() if isinstance(m, FrozenConv)):
        fan_in = conv.weight[0].numel()
        conv.weight.normal_(0, (2 / fan_in) ** 0.5).copy_(conv.weight.half())
        conv.scale.uniform_(0.8, 1.2)
        conv.bias.normal_(0, 0.1)
    net.fc_weight.normal_(0, 0.02).copy_(net.fc_weight.half())
    return net.eval()


@pytest.fixture
def narrow(net: Lite0) -> NarrowTrunk:
    """A narrow trunk with random projections."""
    narrow = NarrowTrunk(net, 0.25)
    for conv in narrow.project:
        conv.weight.normal_(0, 0.2).copy_(conv.weight.half())
    return narrow.eval()


@pytest.fixture
def prepared(tmp_path: Path, net: Lite0, narrow: NarrowTrunk) -> Prepared:
    """A filled cache of 24 random rows, four of them held out."""
    cache, rng = Cache(tmp_path / "cache", 24, 4), np.random.default_rng(2)
    for name, (shape, kind) in LAYOUT.items():
        values = rng.normal(0, 1, (24, *shape)) if kind is np.float16 else rng.integers(
            1, 255, (24, *shape))
        cache.maps[name][:] = values.astype(kind)
    affine = [[-3.0] * 24, [6 / 255] * 24]
    cache.state = {"identity": "", "done": 24, "affine": {"full": affine, "narrow": affine}}
    cache.state_path.write_text(json.dumps(cache.state))
    return Prepared(net, narrow, cache)
