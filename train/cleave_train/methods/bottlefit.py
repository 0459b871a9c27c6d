"""BottleFit: a narrow 8-bit bottleneck, fitted to several of the teacher's intermediate values.

Matsubara et al., 2022, "BottleFit". The head ends with the convolution that compresses; what the
device sends are 8-bit numbers without entropy coder other than zstd. Stage 1 is generalised head
network distillation: the squared errors at the cut and at marks further on, where the frozen tail
runs on the decoder's output and on the teacher's features alike. Stage 2 fine-tunes by knowledge
distillation. The paper adds cross-entropy to labels there; here no labels are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..coder import ConvEncoder, build_decoders
from ..model import Backbone, SplitModel
from ..quantise import Uint8Quantiser
from ..recipe import Recipe, Stage
from ..targets import Target
from .base import Method


class BottleFit(Method):
    """Options: `taps`, by stage the backbone's marks to be matched; `qat`, see Uint8Quantiser."""

    codec = "u8zstd"

    def __init__(self, recipe: Recipe, backbones: list[Backbone]) -> None:
        if len(backbones) != 1:
            raise SystemExit("bottlefit: `taps` name marks of one backbone")
        encoder = ConvEncoder(recipe.coder.layers, recipe.coder.latent,
                              list(recipe.coder.variants))
        quantiser = Uint8Quantiser(recipe.options.get("qat", False))
        untapped = [stage.name for stage in recipe.stages
                    if stage.distortion and stage.name not in recipe.options["taps"]]
        if untapped:
            raise SystemExit(f"bottlefit: no taps for {', '.join(untapped)}")
        super().__init__(recipe, SplitModel(encoder, quantiser, build_decoders(recipe, backbones),
                                            backbones), backbones)
        there, taps = backbones[0].net.marks, recipe.options["taps"]
        for mark in (mark for marks in taps.values() for mark in marks if mark not in there):
            raise SystemExit(f"bottlefit: no mark {mark!r}; there are {', '.join(there)}")
        self.taps = {stage: [there[mark] for mark in marks] for stage, marks in taps.items()}

    def distortion(self, backbone: Backbone, decoded: Tensor, target: Target,
                   stage: Stage) -> Tensor:
        """The taps' squared errors, summed over all their elements.

        The sum is divided by that of the teacher's own squared deviations from each channel's
        mean: this keeps the paper's balance between the taps, and 1 is what knowing nothing costs.
        """
        taps, tail = self.taps[stage.name], self.model.tails[backbone.name]
        with torch.autocast(decoded.device.type, torch.bfloat16):
            with torch.no_grad():
                _, wanted = tail.frozen.between(target.features, backbone.cut, max(taps), taps)
            features = self.model.features(backbone.name, decoded)
            _, made = tail.net.between(features, backbone.cut, max(taps), taps)
        error = sum((a.float() - b.float()).square().sum() for a, b in zip(made, wanted))
        whole = sum((b.float() - b.float().mean((0, 2, 3), keepdim=True)).square().sum()
                    for b in wanted)
        return error / whole
