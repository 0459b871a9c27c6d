"""What happens once before training: backbones are loaded and the caches are filled."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from .backbones import identity, load_backbone
from .methods import Batch
from .model import Backbone
from .photos import find_photos, split_photos
from .recipe import Recipe
from .targets import Targets
from .views import Views, normalise


@dataclass
class Prepared:
    """The backbones and the caches that training reads; the first backbone is the main one."""

    backbones: list[Backbone]
    views: Views
    targets: dict[str, Targets] = field(default_factory=dict)

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes; None: ImageNet's."""
        return self.backbones[0].net.labels

    def batch(self, rows: np.ndarray, device: torch.device) -> Batch:
        """Pictures and all backbones' answers of these rows."""
        pictures = normalise(self.views.pixels(rows), self.views.spec, device)
        return Batch(pictures, {name: t.read(rows, device) for name, t in self.targets.items()})


def prepare(recipe: Recipe, cache: Path, paths: list[Path], device: torch.device) -> Prepared:
    """Everything that `fit` needs, resumed where an earlier call stopped.

    `cache` may be shared by recipes that use the same pictures and the same input.
    """
    photos = find_photos(paths, recipe.photos.exclude)
    held_out, train = split_photos(photos, recipe.photos.held_out, recipe.seed)
    if not train:
        raise SystemExit(f"{len(photos)} photos found: more than {len(held_out)} are needed")
    print(f"{len(train)} training photos, {len(held_out)} held out", flush=True)
    views = Views(cache / "views", held_out, train, recipe.photos.views, recipe.input,
                  recipe.seed)
    views.fill()
    prepared = Prepared([], views)
    for spec in recipe.backbones:
        net = load_backbone(spec, recipe.input).to(memory_format=torch.channels_last)
        if spec.cut not in net.marks:
            raise SystemExit(f"{spec.name} cannot be cut at {spec.cut!r}, but at: "
                             f"{', '.join(net.marks)}")
        cut = net.marks[spec.cut]
        place = re.sub(r"[^\w.-]", "_", f"targets-{spec.label}-{spec.cut}")
        targets = Targets(cache / place, identity(spec), net, cut, views)
        targets.fill(device)
        shape = targets.store.maps["features"].shape[1:]
        prepared.backbones.append(Backbone(spec.label, net, cut, (shape[2], shape[0], shape[1])))
        prepared.targets[spec.label] = targets
    return prepared
