"""The honest codec baseline: a whole network tuned to answer for pictures that a codec spoilt.

Distillation: the network sees a view behind JPEG or WebP of a random quality and learns the answer
that the published weights gave for the same view uncompressed.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .baselines import Codec
from .bundle import Bundle, input_document
from .export import provenance
from .fit import learning_rate, save_checkpoint
from .graph_writer import GraphWriter, layer_names
from .known_answer import seal
from .labels import imagenet_labels
from .methods.base import divergence
from .net import Network
from .prepare import Prepared
from .recipe import Recipe, Stage
from .views import normalise

QUALITIES = {"jpeg": (4, 80), "webp": (1, 60)}  # evenly in the logarithm: most are low
SAVE_EVERY = 50
CLIP = 5.0


@dataclass(frozen=True)
class Tuning:
    """Codecs to tune for, and how long."""

    codecs: list[str]
    steps: int
    batch: int
    lr: float


def draw_codec(names: list[str], rng: np.random.Generator) -> Codec:
    """One of the codecs at a random quality."""
    name = names[rng.integers(len(names))]
    low, high = QUALITIES[name]
    return Codec(name, round(float(np.exp(rng.uniform(np.log(low), np.log(high))))))


class Spoilt:
    """Batches of views behind codecs, made by worker threads one step ahead.

    A step's views and qualities depend on the seed and the step's number alone.
    """

    def __init__(self, prepared: Prepared, codecs: list[str], batch: int, seed: int) -> None:
        self.prepared, self.codecs, self.batch, self.seed = prepared, codecs, batch, seed
        self.rows = prepared.views.training_rows()
        self.pool = ThreadPoolExecutor()
        self.ahead: dict[int, tuple[np.ndarray, list[Future]]] = {}

    def _submit(self, step: int) -> tuple[np.ndarray, list[Future]]:
        rng = np.random.default_rng((self.seed, step))
        rows = self.rows[rng.choice(len(self.rows), min(self.batch, len(self.rows)),
                                    replace=False)]
        return rows, [self.pool.submit(draw_codec(self.codecs, rng).round_trip, pixels)
                      for pixels in self.prepared.views.pixels(rows)]

    def read(self, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(pictures [N,3,H,W] as the network sees them, the published answers' logits [N,k])."""
        rows, futures = self.ahead.pop(step, None) or self._submit(step)
        self.ahead[step + 1] = self._submit(step + 1)
        pixels = np.stack([future.result()[0] for future in futures])
        targets = next(iter(self.prepared.targets.values()))
        return normalise(pixels, self.prepared.views.spec, device), \
            targets.read(rows, device).logits

    def close(self) -> None:
        """Drops what nobody will read."""
        self.pool.shutdown(cancel_futures=True)


def whole_bundle(recipe: Recipe, net: Network, labels: list[str] | None, steps: int,
                 views: int) -> Bundle:
    """A bundle that holds an undivided network and nothing else."""
    tensors: dict[str, np.ndarray] = {}
    view = recipe.input
    writer = GraphWriter(tensors, layer_names(net, "tuned"), (view.height, view.width, 3))
    writer.graph.softmax(writer.nodes(net, 0, 0, net.end))
    macs = writer.graph.macs
    points = [{"id": "offload", "kind": "offload", "graph": "full", "head_macs": 0,
               "tail_macs": macs},
              {"id": "local", "kind": "local", "graph": "full", "head_macs": macs,
               "tail_macs": 0}]
    bundle = Bundle({
        "format": 1, "name": f"{recipe.name}-tuned", "version": recipe.version,
        "fingerprint": "",
        "input": input_document(view),
        "labels": labels or imagenet_labels(),
        "graphs": {"full": writer.graph.document()}, "priors": {}, "points": points,
        "provenance": provenance(recipe, steps, views),
    }, tensors)
    seal(bundle)
    return bundle


def _step(net: Network, optimizer: torch.optim.Optimizer, pictures: Tensor,
          teacher: Tensor) -> float:
    """Learns from one batch; its divergence from the teacher."""
    with torch.autocast(pictures.device.type, torch.bfloat16):
        logits = net(pictures)
    loss = divergence(logits.float(), teacher)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
    optimizer.step()
    return loss.item()


def tune(recipe: Recipe, prepared: Prepared, tuning: Tuning, run: Path,
         device: torch.device) -> Bundle:
    """Tunes the first backbone, resumed where an earlier call stopped: a bundle of it alone."""
    stage = Stage("tune", tuning.steps, tuning.batch, tuning.lr, warmup=max(1, tuning.steps // 20))
    net = prepared.backbones[0].net.thawed().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.0)
    checkpoint, first = run / "tune.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    spoilt = Spoilt(prepared, tuning.codecs, tuning.batch, recipe.seed)
    try:
        with tqdm(total=tuning.steps, initial=first, desc="tune", mininterval=5) as bar:
            for step in range(first, tuning.steps):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(stage, step)
                loss = _step(net, optimizer, *spoilt.read(step, device))
                bar.update()
                bar.set_postfix(kl=f"{loss:.3f}")
                if (step + 1) % SAVE_EVERY == 0 or step + 1 == tuning.steps:
                    save_checkpoint(checkpoint, {"net": net.state_dict(), "step": step + 1,
                                                 "optimizer": optimizer.state_dict()})
    finally:
        spoilt.close()
    return whole_bundle(recipe, net, prepared.labels, tuning.steps, len(spoilt.rows))
