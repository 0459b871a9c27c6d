"""What a backbone says of every cached view, kept on disk: features, logits and saliency.

Features at the cut are fp16 [h,w,c], logits fp16. The saliency map uint8 [h,w] is Grad-CAM's
(Selvaraju et al., 2017): features weighted by the mean gradient of the winning logit, negative
parts cut off, scaled to its largest value; FrankenSplit weighs its distortion by such maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from .net import Network
from .views import BATCH, Folder, Views, digest, normalise


def cam(features: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM [N,h,w] in 0..1 of features and the winning logit's gradient, both [N,c,h,w]."""
    weight = gradient.mean((2, 3), keepdim=True)
    raw = F.relu((weight * features).sum(1))
    return raw / raw.amax((1, 2), keepdim=True).clamp_min(1e-6)


@dataclass
class Target:
    """One batch of a backbone's answers: features [N,c,h,w], logits [N,k], saliency [N,h,w]."""

    features: Tensor
    logits: Tensor
    saliency: Tensor


class Targets:
    """The answers of one backbone, cut at value `cut`, for every view."""

    def __init__(self, folder: Path, name: str, net: Network, cut: int, views: Views) -> None:
        net.check_cut(cut)
        self.net, self.cut, self.views = net, cut, views
        spec = views.spec
        probe = torch.zeros(1, 3, spec.height, spec.width)
        with torch.inference_mode():
            features, logits = net.between(probe, 0, cut)[0], net.between(probe, 0)[0][0]
        _, channels, height, width = features.shape
        layout = {"features": ((height, width, channels), np.float16),
                  "logits": (tuple(logits.shape), np.float16),
                  "saliency": ((height, width), np.uint8)}
        self.store = Folder(folder, views.store.rows, layout,
                            digest(views.store.identity, name, cut))

    def fill(self, device: torch.device) -> None:
        """Computes the rows that are missing."""
        net, store = self.net.to(device), self.store
        with tqdm(total=store.rows, initial=store.done, desc="targets", unit="view") as bar:
            for start in range(store.done, store.rows, BATCH):
                rows = slice(start, min(start + BATCH, store.rows))
                x = normalise(self.views.pixels(np.arange(rows.start, rows.stop)),
                              self.views.spec, device)
                with torch.autocast(device.type, torch.bfloat16):
                    with torch.no_grad():
                        features = net.between(x, 0, self.cut)[0]
                    features.requires_grad_()
                    logits = net.between(features, self.cut)[0]
                gradient, = torch.autograd.grad(logits.float().amax(1).sum(), features)
                maps = cam(features.detach().float(), gradient.float())
                store.maps["features"][rows] = _host(features.permute(0, 2, 3, 1).half())
                store.maps["logits"][rows] = _host(logits.half())
                store.maps["saliency"][rows] = _host((maps * 255).round().byte())
                store.advance(rows.stop)
                bar.update(rows.stop - rows.start)

    def read(self, rows: np.ndarray, device: torch.device) -> Target:
        """Rows in the given order, in fp32."""
        def tensor(name: str) -> Tensor:
            return torch.from_numpy(self.store.maps[name][np.asarray(rows)]).to(device)

        return Target(tensor("features").permute(0, 3, 1, 2).float(), tensor("logits").float(),
                      tensor("saliency").float() / 255)


def _host(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()
