"""What happens once before training: the narrow trunk is fitted and the cache is filled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .backbone import Lite0, load_lite0
from .cache import Cache, fill_cache, normalise
from .photos import Photo, find_photos, split_photos
from .picture import PictureError, load_pixels
from .recipe import Recipe
from .trunk import NarrowTrunk, fit_narrow_trunk


@dataclass
class Prepared:
    """The frozen parts and the cache that training reads."""

    net: Lite0
    narrow: NarrowTrunk
    cache: Cache


def trunk_batches(photos: list[Photo], recipe: Recipe, device: torch.device) -> list[Tensor]:
    """Plain views of the first usable photos: batches [<=20,3,224,224]."""
    views: list[np.ndarray] = []
    for photo in photos:
        if len(views) == recipe.photos.trunk_fit:
            break
        try:
            views.append(load_pixels(photo.read(), recipe.input))
        except (PictureError, OSError):
            continue
    return [normalise(np.stack(views[i:i + 20]), recipe.input, device)
            for i in range(0, len(views), 20)]


def frozen_parts(run: Path, recipe: Recipe, train: list[Photo],
                 device: torch.device) -> tuple[Lite0, NarrowTrunk]:
    """Backbone and narrow trunk: fitted on first use, read from `run` afterwards."""
    net, path = load_lite0(), run / "frozen.pt"
    narrow = NarrowTrunk(net, recipe.bottleneck.narrow)
    if not path.exists():
        batches = trunk_batches(train, recipe, torch.device("cpu"))
        narrow, explained = fit_narrow_trunk(net, batches, recipe.bottleneck.narrow)
        print("narrow trunk explains of blocks 1 and 2:", [round(e, 3) for e in explained])
        torch.save(narrow.state_dict(), path)
    narrow.load_state_dict(torch.load(path, weights_only=True))
    return net.to(device), narrow.eval().to(device)


def plan_identity(plan: list[Photo], recipe: Recipe) -> str:
    """Digest of the pictures' names and of the settings that shape their rows."""
    names = "\n".join(photo.name for photo in plan)
    settings = (recipe.seed, recipe.input, recipe.bottleneck.narrow)
    return hashlib.sha256(f"{settings}\n{names}".encode()).hexdigest()[:16]


def prepare(recipe: Recipe, run: Path, paths: list[Path], device: torch.device) -> Prepared:
    """Everything that `fit` needs, resumed where an earlier call stopped."""
    run.mkdir(parents=True, exist_ok=True)
    photos = find_photos(paths, recipe.photos.exclude)
    held_out, train = split_photos(photos, recipe.photos.held_out, recipe.seed)
    if not train:
        raise SystemExit(f"{len(photos)} photos found: more than {len(held_out)} are needed")
    print(f"{len(train)} training photos, {len(held_out)} held out")
    net, narrow = frozen_parts(run, recipe, train, device)
    plan = held_out + train * recipe.photos.views
    cache = Cache(run / "cache", len(plan), len(held_out), plan_identity(plan, recipe))
    net.to(memory_format=torch.channels_last)
    fill_cache(cache, plan, net, narrow, recipe.input, recipe.seed, device)
    return Prepared(net, narrow, cache)
