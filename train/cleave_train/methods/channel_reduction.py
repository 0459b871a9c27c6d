"""Channel reduction and bottleneck quantisation: the plainest bottleneck there is.

The CR+BQ baseline of SC2 (Matsubara et al., 2023): at the cut one 1x1 convolution leaves a few
channels, 8 bits each, and one 1x1 convolution brings the others back.
"""

from __future__ import annotations

from ..model import Backbone
from ..recipe import LayerSpec, Recipe
from .autoencoder import Autoencoder


class ChannelReduction(Autoencoder):
    """An autoencoder of two 1x1 convolutions. Options: `qat`, see Uint8Quantiser."""

    def __init__(self, recipe: Recipe, backbones: list[Backbone]) -> None:
        coder = recipe.coder
        if coder.layers != (LayerSpec("conv", 1),) or coder.decoder_channels:
            raise SystemExit("channel_reduction: the encoder is one 1x1 convolution, and so is "
                             "the decoder, with no channels in between")
        super().__init__(recipe, backbones)
