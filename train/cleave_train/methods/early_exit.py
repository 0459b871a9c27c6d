"""Early exit: a small classifier on the device, so that confident answers are never sent.

After SPINN (Laskaridis et al., 2020): an exit reads the encoder's features, and where its best
probability reaches a threshold, its answer stands; all other pictures go on to the server. Here the
exit is added to a finished run of a slimmable encoder, none of whose weights or statistics change,
and learns the teacher's answers. The latent that it reads is the one that would be sent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..coder import chain, emit_chain
from ..layers import Conv, Emitter, Separable
from ..model import Backbone
from ..recipe import Recipe, Stage
from .base import Batch, divergence
from .slimmable import Slimmable


class Exit(nn.Module):
    """Latent [N,latent,h,w] -> logits [N,classes]."""

    def __init__(self, variant: str, latent: int, channels: int, hidden: int,
                 classes: int) -> None:
        super().__init__()
        latents, narrow, wide = {variant: latent}, {variant: channels}, {variant: hidden}
        self.layers = nn.ModuleList([Conv(latents, narrow, 3, 2), Separable(narrow, 3),
                                     Conv(narrow, wide, 1)])
        self.linear = nn.Linear(hidden, classes)

    def forward(self, latent: Tensor, variant: str) -> Tensor:
        return self.linear(chain(self.layers, latent, variant).mean((2, 3)))

    def emit_exit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the nodes behind the latent: probabilities."""
        return g.classify(emit_chain(self.layers, g, value, variant), self.linear)


class EarlyExit(Slimmable):
    """Options: `from_run`, the checkpoint of a run with the same coder, rates and backbones;
    `variant`, the width to stand on; `channels` and `hidden`, the exit's; `threshold`, the
    confidence from which on a picture counts as sure.
    """

    def __init__(self, recipe: Recipe, backbones: list[Backbone]) -> None:
        super().__init__(recipe, backbones)
        options = recipe.options
        self.variant, self.threshold = options["variant"], float(options["threshold"])
        net = backbones[0].net
        classes = len(net.folded(net.nodes[-1].name).bias)
        self.model.exits[self.variant] = Exit(self.variant, recipe.coder.latent,
                                              options["channels"], options["hidden"], classes)
        checkpoint = Path(options["from_run"])
        if not checkpoint.exists():
            raise SystemExit(f"early_exit: no checkpoint {checkpoint}; train its recipe first")
        self.model.load(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])

    def train(self, mode: bool = True) -> EarlyExit:
        """Only the exit's batch norms gather statistics."""
        super().train(mode)
        self.model.eval()
        self.model.exits.train(mode)
        return self

    def forward(self, batch: Batch, stage: Stage, step: int) -> tuple[Tensor, dict[str, float]]:
        """Divergence of the exit's answers from the teacher's."""
        with torch.autocast(batch.pictures.device.type, torch.bfloat16):
            with torch.no_grad():
                latent = self.encode(batch, slice(None), self.variant)
            logits = self.model.exits[self.variant](latent, self.variant).float()
        teacher = batch.targets[self.backbones[0].name].logits
        kl = divergence(logits, teacher)
        sure = F.softmax(logits, 1).amax(1) >= self.threshold
        right = logits.argmax(1) == teacher.argmax(1)
        return kl, {"exit.kl": kl.item(), "exit.agreement": right.float().mean().item(),
                    "exit.sure": sure.float().mean().item()}

    def extra_graphs(self) -> dict[str, Callable[[Emitter, int], int]]:
        """The head and the exit as one graph that needs no server."""
        def emit(g: Emitter, value: int) -> int:
            latent = self.model.encoder.emit(g, value, self.variant)
            return self.model.exits[self.variant].emit_exit(g, latent, self.variant)

        return {"exit": emit}
