"""Ensemble encoders: the device runs as many tiny encoders as it has time for.

After Assine et al., 2023, "Slimmable Encoders for Flexible Split DNNs", whose compute knob is the
number k of encoders whose latents are added up, and whose rate knob is the precision of the sum.
Training is the sandwich rule's (all, one, some number in between) and the rate tiers are gains, as
for widths. Members have batch norms, which fold into their convolutions at export.
"""

from __future__ import annotations

from torch import nn

from ..coder import EnsembleEncoder
from ..model import Backbone
from ..recipe import Recipe
from .slimmable import Slimmable


class Ensemble(Slimmable):
    """Variants are numbers of members in ascending order: the first is 1, each one more."""

    def build_encoder(self, recipe: Recipe, backbone: Backbone) -> nn.Module:
        """As many members as there are variants."""
        return EnsembleEncoder(recipe.coder.layers, recipe.coder.latent,
                               list(recipe.coder.variants))
