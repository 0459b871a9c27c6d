"""A linear classifier for one's own classes on a backbone's features: logistic regression.

The features of every view are computed once. A tenth of the pictures is held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from .backbones import load_backbone
from .backbones.state import write_state
from .net import Network
from .photos import Photo, find_photos, split_photos
from .picture import InputSpec
from .recipe import Recipe
from .views import BATCH, normalise, view_of

HELD_OUT = 10    # one picture of so many
DECAY = 1e-3     # of the weights of standardised features
STEPS = 100      # of L-BFGS at most


@dataclass
class Samples:
    """Features [N,c] and class indices [N]."""

    features: Tensor
    classes: Tensor


def _views(photos: list[Photo], views: int, spec: InputSpec,
           seed: int | None) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Batches of (folder, pixels) of the pictures that can be used, `views` of each."""
    plan = photos * views
    with ThreadPoolExecutor() as pool:
        for start in tqdm(range(0, len(plan), BATCH), desc="features", unit="batch"):
            part = plan[start:start + BATCH]
            seeds = [None if seed is None else (seed, start + i) for i in range(len(part))]
            pixels = pool.map(view_of, part, [spec] * len(part), seeds)
            usable = [(photo.folder, x) for photo, x in zip(part, pixels) if x is not None]
            if usable:
                yield usable


@torch.no_grad()
def sample(net: Network, photos: list[Photo], labels: list[str], views: int, spec: InputSpec,
           seed: int | None, device: torch.device) -> Samples:
    """What the layer before the last makes of plain views, or of random ones of this seed."""
    features, classes = [], []
    for batch in _views(photos, views, spec, seed):
        x = normalise(np.stack([pixels for _, pixels in batch]), spec, device)
        features.append(net.between(x, 0, net.end - 1)[0].flatten(1).float().cpu())
        classes += [labels.index(folder) for folder, _ in batch]
    return Samples(torch.cat(features), torch.tensor(classes))


def regress(samples: Samples, count: int) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression: weight [count,c] and bias [count]."""
    std, mean = torch.std_mean(samples.features, 0)
    std = std.clamp_min(1e-3)
    x = (samples.features - mean) / std
    weight = torch.zeros(count, x.shape[1], requires_grad=True)
    bias = torch.zeros(count, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight.T + bias, samples.classes) \
            + DECAY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    weight = weight.detach() / std
    return weight, bias.detach() - weight @ mean


def train_classifier(recipe: Recipe, backbone: str, paths: list[Path], output: Path,
                     device: torch.device) -> None:
    """Trains on the folders' classes, says how it does on the held-out tenth, and writes it."""
    spec = next((b for b in recipe.backbones if backbone in ("", b.name)), None)
    if spec is None:
        raise SystemExit(f"the recipe has no backbone {backbone!r}")
    photos = find_photos(paths, recipe.photos.exclude)
    labels = sorted({photo.folder for photo in photos})
    if len(labels) < 2:
        raise SystemExit(f"{len(photos)} photos in {len(labels)} folders: two classes are needed")
    net = load_backbone(replace(spec, classifier=""), recipe.input).to(
        device, memory_format=torch.channels_last)
    held_out, train = split_photos(photos, len(photos) // HELD_OUT, recipe.seed)
    views = recipe.photos.views
    known = sample(net, train, labels, views, recipe.input, recipe.seed, device)
    weight, bias = regress(known, len(labels))
    write_state(output, {"weight": weight, "bias": bias}, labels)
    print(f"{output}: {len(labels)} classes from {len(train)} photos in {views} views each")
    if held_out:
        new = sample(net, held_out, labels, 1, recipe.input, None, device)
        hit = ((new.features @ weight.T + bias).argmax(1) == new.classes).float()
        accuracy, count = float(hit.mean()), len(hit)
        error = (accuracy * (1 - accuracy) / count) ** 0.5
        print(f"held out: {100 * accuracy:.1f} % ± {100 * error:.1f} of {count} pictures")
