"""Slimmable encoders with rate tiers: one set of weights for every width and every rate.

Widths are prefixes of the channels (Yu et al., 2019, "Slimmable neural networks"), trained by the
sandwich rule: every step the widest, the narrowest and one in between, each against the backbone.
The rate tiers are those of GainQuantiser, the distortion may be FrankenSplit's.

With a trunk there is one variant more, whose encoder stands on the backbone's own first nodes. It
is trained first. The widths may then learn to imitate its latent, which needs neither decoder nor
tail, and already is in units in which all errors count alike: that is what rate and distortion
have made of it. So they inherit densities, gains, and a copy of the decoder, which may learn to put
up with the latents that they make. A light variant, with layers of its own, begins in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..coder import BackboneEncoder, ConvEncoder, Family, build_decoders
from ..model import Backbone, SplitModel
from ..processes import mean_over_processes
from ..pruned import start_from_backbone, start_from_compressor
from ..quantise import GainQuantiser
from ..recipe import LayerSpec, Recipe, Stage
from .base import Batch, Method, Path

SLIM, TRUNK, LIGHT = Family.SLIM, Family.TRUNK, Family.LIGHT
TRUNK_SHARE = 0.15


class Slimmable(Method):
    """Variants are widths in ascending order, and the trunk last if there is one.

    Options: `shares` of a step, widest first; `pretrained`, to start the encoder from the backbone;
    `trunk`, with `cut`, the backbone's mark that it ends at, and the `channels` behind it; `light`,
    with the `layers` of that variant.
    """

    def __init__(self, recipe: Recipe, backbones: list[Backbone]) -> None:
        encoder = self.build_encoder(recipe, backbones[0])
        decoders = build_decoders(recipe, backbones)
        quantiser = GainQuantiser(recipe.coder.latent, list(recipe.coder.variants), recipe.rates)
        super().__init__(recipe, SplitModel(encoder, quantiser, decoders, backbones), backbones)
        self.pretrained = recipe.options.get("pretrained", False)
        self.shares = recipe.options.get("shares", [0.6, 0.2, 0.2])

    def build_encoder(self, recipe: Recipe, backbone: Backbone) -> nn.Module:
        """The encoder of all variants."""
        coder, others = recipe.coder, {}
        for kind, build in ((TRUNK, self.build_trunk), (LIGHT, self.build_light)):
            if (kind in coder.variants) != (kind in recipe.options):
                raise SystemExit(f"slimmable: a variant {kind!r} and the option of that name need "
                                 "each other")
            if kind in coder.variants:
                others[kind] = build(recipe, backbone)
        widths = [variant for variant in coder.variants if variant not in others]
        slim = ConvEncoder(coder.layers, coder.latent, widths)
        return Family({SLIM: slim, **others}) if others else slim

    def build_trunk(self, recipe: Recipe, backbone: Backbone) -> BackboneEncoder:
        """The encoder on the backbone's nodes, which ends like the widths."""
        coder, trunk = recipe.coder, recipe.options[TRUNK]
        channels = trunk["channels"]
        specs = tuple(replace(spec, channels=(count,)) for spec, count
                      in zip(coder.layers[-len(channels) - 1:], [*channels, 0], strict=True))
        stem = backbone.upto(trunk["cut"], recipe.input)
        return BackboneEncoder(stem, specs, coder.latent, [TRUNK])

    def build_light(self, recipe: Recipe, backbone: Backbone) -> ConvEncoder:
        """The encoder of the option's layers."""
        layers = tuple(LayerSpec(**layer) for layer in recipe.options[LIGHT]["layers"])
        return ConvEncoder(layers, recipe.coder.latent, [LIGHT])

    @property
    def slim(self) -> ConvEncoder:
        """The widths' encoder."""
        encoder = self.model.encoder
        return encoder[SLIM] if isinstance(encoder, Family) else encoder

    def initialise(self, pictures: Tensor) -> None:
        """Starts the encoder as a pruned copy of the first backbone's blocks, if so asked."""
        if self.pretrained:
            if "block0" not in self.backbones[0].net.marks:
                raise SystemExit("slimmable: only from an EfficientNet-Lite can the encoder start "
                                 "`pretrained`")
            start_from_backbone(self.slim, self.backbones[0].net, pictures)

    @torch.no_grad()
    def begin(self, stage: Stage) -> None:
        """Before variants first imitate, hands down what the trunk has learned behind its nodes."""
        if not stage.imitation:
            return
        stages = self.recipe.stages
        before = {variant for earlier in stages[:stages.index(stage)] if earlier.imitation
                  for variant in self.learners(earlier)}
        new = [variant for variant in self.learners(stage) if variant not in before]
        for kind in {Family.kind(v) for v in new} - {Family.kind(v) for v in before}:
            if kind == SLIM:
                start_from_compressor(self.slim, self.model.encoder[TRUNK].compress)
            for decoders in self.model.decoders.values():
                decoders[kind].copy_weights(decoders[TRUNK])
        for variant in new:
            self.model.quantiser.inherit(variant, TRUNK)
            self.control.inherit(variant, TRUNK)
            for decoders in self.model.decoders.values():
                decoders.of(variant).copy_norms(variant, decoders[TRUNK], TRUNK)

    def learners(self, stage: Stage) -> list[str]:
        """The variants that imitate the trunk in a stage."""
        return [variant for variant in self.variants_of(stage) if variant != TRUNK]

    def imitation(self, latent: Tensor, batch: Batch, part: slice, variant: str) -> Tensor:
        """Mean squared error against the trunk's latent; a channel counts by its gain squared."""
        with torch.no_grad():
            with torch.autocast(latent.device.type, torch.bfloat16):
                wanted = self.model.encoder[TRUNK].eval()(batch.pictures[part], TRUNK).float()
            weight = self.model.quantiser.gain(TRUNK, (len(self.recipe.rates) - 1) / 2).square()
        return (weight / weight.mean() * (latent - wanted).square()).mean()

    def balanced(self, loss: Tensor) -> Tensor:
        """In units of itself: a narrow width's large error must not drown a wide one's small."""
        return loss / mean_over_processes(loss.detach())

    def paths(self, count: int, variants: Sequence[str], step: int) -> list[Path]:
        """The sandwich of this step: widest, narrowest, one in between; tiers evenly.

        A trunk beside widths gets TRUNK_SHARE, so that what they have in common stays good for it.
        """
        widths = [variant for variant in variants if variant != TRUNK] or [TRUNK]
        narrowest, widest, between = widths[0], widths[-1], widths[1:-1]
        rng = np.random.default_rng((self.recipe.seed, step))
        chosen = dict(zip(dict.fromkeys(
            [widest, narrowest, *([str(rng.choice(between))] if between else [])]), self.shares))
        if len(widths) < len(variants):
            chosen = {TRUNK: TRUNK_SHARE} | {name: share * (1 - TRUNK_SHARE)
                                             for name, share in chosen.items()}
        tiers, paths, left = len(self.recipe.rates), [], count
        for variant, share in chosen.items():
            mine = left if variant == list(chosen)[-1] else min(left, round(count * share))
            paths += [Path(variant, t, len(range(t, mine, tiers))) for t in range(tiers)]
            left -= mine
        return [path for path in paths if path.count]
