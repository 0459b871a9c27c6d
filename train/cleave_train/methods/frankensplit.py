"""FrankenSplit: a shallow variational bottleneck injected into backbones that stay as they are.

Furutanpey et al., 2023, "FrankenSplit". A ReLU encoder of residual blocks, a factorised prior, and
a loss of distortion and rate; salient positions weigh more in the distortion. One encoder serves
several backbones through a decoder each, and no backbone's weights change, so the server picks
among them freely. The rate is that of GainQuantiser's tiers, where the paper trains a model for
each. The paper's encoder has no batch norm; ours has one behind each convolution, folded into it at
export, so that what runs on the device is the same: convolution, bias, ReLU.
"""

from __future__ import annotations

from ..coder import ConvEncoder, build_decoders
from ..model import Backbone, SplitModel
from ..quantise import GainQuantiser
from ..recipe import Recipe
from .base import Method


class FrankenSplit(Method):
    """Each backbone's features are restored from the same latent: all must be of one size."""

    def __init__(self, recipe: Recipe, backbones: list[Backbone]) -> None:
        sizes = {backbone.name: backbone.shape[1:] for backbone in backbones}
        if len(set(sizes.values())) > 1:
            raise SystemExit(f"frankensplit: features at the cuts differ in size: {sizes}")
        if any("tail" in stage.train for stage in recipe.stages):
            raise SystemExit("frankensplit: backbones are shared, so no stage may train a tail")
        coder, variants = recipe.coder, list(recipe.coder.variants)
        encoder = ConvEncoder(coder.layers, coder.latent, variants)
        quantiser = GainQuantiser(coder.latent, variants, recipe.rates)
        super().__init__(recipe, SplitModel(encoder, quantiser, build_decoders(recipe, backbones),
                                            backbones), backbones)
