"""Slimmable encoders with rate tiers: one set of weights for every width and every rate.

Widths are prefixes of the channels (Yu et al., 2019, "Slimmable neural networks"), trained by the
sandwich rule: every step the widest, the narrowest and one in between, each against the backbone.
The rate tiers are those of GainQuantiser, the distortion may be FrankenSplit's.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from ..coder import ConvEncoder, build_decoders
from ..model import Backbone, SplitModel
from ..pruned import start_from_backbone
from ..quantise import GainQuantiser
from ..recipe import Recipe
from .base import Method, Path


class Slimmable(Method):
    """Variants are widths in ascending order.

    Options: `shares` of a step, widest first; `pretrained`, to start the encoder from the backbone;
    `kept`, how many of its layers then stay as they are.
    """

    def __init__(self, recipe: Recipe, backbones: list[Backbone]) -> None:
        encoder = self.build_encoder(recipe)
        decoders = build_decoders(recipe, backbones)
        quantiser = GainQuantiser(recipe.coder.latent, list(recipe.coder.variants), recipe.rates)
        super().__init__(recipe, SplitModel(encoder, quantiser, decoders, backbones), backbones)
        self.pretrained = recipe.options.get("pretrained", False)
        self.shares = recipe.options.get("shares", [0.5, 0.25, 0.25])

    def build_encoder(self, recipe: Recipe) -> nn.Module:
        """The encoder of all variants."""
        return ConvEncoder(recipe.coder.layers, recipe.coder.latent, list(recipe.coder.variants),
                           kept=recipe.options.get("kept", 0))

    def initialise(self, pictures: Tensor) -> None:
        """Starts the encoder as a pruned copy of the first backbone's blocks, if so asked."""
        if self.pretrained:
            start_from_backbone(self.model.encoder, self.backbones[0].net, pictures)

    def paths(self, count: int, step: int) -> list[Path]:
        """The sandwich of this step: widest, narrowest, one in between; tiers evenly."""
        narrowest, *between, widest = self.recipe.coder.variants
        rng = np.random.default_rng((self.recipe.seed, step))
        chosen = [widest, narrowest, *([str(rng.choice(between))] if between else [])]
        tiers, paths, left = len(self.recipe.rates), [], count
        for variant, share in zip(chosen, self.shares):
            mine = left if variant == chosen[-1] else min(left, round(count * share))
            paths += [Path(variant, t, len(range(t, mine, tiers))) for t in range(tiers)]
            left -= mine
        return [path for path in paths if path.count]
