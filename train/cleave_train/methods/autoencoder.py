"""A plain autoencoder at mid-network: the backbone is cut in two and otherwise left alone.

The usual baseline: the device runs the backbone's own nodes up to the cut and a compressing
encoder, the server decodes the value at the cut and goes on. Cheap to train, since everything
before the encoder comes from the cache; costly on the device for the same reason.
"""

from __future__ import annotations

from torch import Tensor

from ..coder import BackboneEncoder, build_decoders
from ..model import Backbone, SplitModel
from ..quantise import Uint8Quantiser
from ..recipe import Recipe
from .base import Batch, Method


class Autoencoder(Method):
    """The first backbone's nodes make the head. Options: `qat`, see Uint8Quantiser."""

    codec = "u8zstd"

    def __init__(self, recipe: Recipe, backbones: list[Backbone]) -> None:
        encoder = BackboneEncoder(backbones[0], recipe.coder.layers, recipe.coder.latent,
                                  list(recipe.coder.variants))
        quantiser = Uint8Quantiser(recipe.options.get("qat", False))
        super().__init__(recipe, SplitModel(encoder, quantiser, build_decoders(recipe, backbones),
                                            backbones), backbones)

    def encode(self, batch: Batch, part: slice, variant: str) -> Tensor:
        """Latents from the cached features: the frozen nodes need not run."""
        features = batch.targets[self.backbones[0].name].features[part]
        return self.model.encoder.compress(features, variant)
