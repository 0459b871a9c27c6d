"""Quantisers: what happens to a latent between the device and the server, while training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .density import LogisticMixture
from .recipe import Rate


def rounded(x: Tensor) -> Tensor:
    """Nearest integers with a straight-through gradient."""
    return x + (x.round() - x).detach()


class GainQuantiser(nn.Module):
    """Rate tiers from one set of weights: a gain for each channel and tier, and one density.

    Gain-controlled variable rate (Cui et al., 2021): a latent is multiplied by its gains before
    rounding and divided behind it. Between two tiers gains are interpolated geometrically, so the
    rate is continuous. Every variant has gains and a density of its own.
    """

    def __init__(self, latent: int, variants: list[str], rates: tuple[Rate, ...]) -> None:
        super().__init__()
        start = torch.tensor([rate.gain for rate in rates]).log()
        self.log_gain = nn.ParameterDict({
            variant: nn.Parameter(start[:, None].repeat(1, latent)) for variant in variants})
        self.prior = nn.ModuleDict({variant: LogisticMixture(latent) for variant in variants})

    def inherit(self, variant: str, other: str) -> None:
        """Gives a variant the gains and the density of another one."""
        self.log_gain[variant].data.copy_(self.log_gain[other])
        self.prior[variant].load_state_dict(self.prior[other].state_dict())

    def gain(self, variant: str, tier: float) -> Tensor:
        """Quantisation steps for one unit of latent, [1,c,1,1].

        1.5 lies between tiers 1 and 2; what lies outside the tiers is extrapolated.
        """
        table = self.log_gain[variant]
        low = max(0, min(math.floor(tier), len(table) - 2))
        high = min(low + 1, len(table) - 1)
        share = tier - low
        return ((1 - share) * table[low] + share * table[high]).exp()[None, :, None, None]

    def forward(self, latent: Tensor, variant: str, tier: float) -> tuple[Tensor, Tensor]:
        """(restored latent, bits [N]).

        In training the bits are those of the latent with uniform noise in place of rounding.
        """
        gain = self.gain(variant, tier)
        scaled = latent * gain
        restored = rounded(scaled) / gain
        noisy = (scaled + torch.rand_like(scaled) - 0.5) / gain if self.training else restored
        return restored, self.prior[variant].bits(noisy, 1 / gain)


class Uint8Quantiser(nn.Module):
    """Codec 2's 8 bits: each picture's latent between its own smallest and largest value.

    With `qat`, quantisation-aware training, the decoder learns from quantised latents and the
    encoder through a straight-through gradient; without, only evaluation quantises.
    """

    PARAMETERS = 8  # bytes of `lo` and `step` in a payload

    def __init__(self, qat: bool) -> None:
        super().__init__()
        self.qat = qat

    def forward(self, latent: Tensor, variant: str, tier: float) -> tuple[Tensor, Tensor]:
        """(restored latent, bits [N] before zstd, which is no part of training)."""
        count = (latent[0].numel() + self.PARAMETERS) * 8
        bits = latent.new_full((len(latent),), float(count))
        if self.training and not self.qat:
            return latent, bits
        with torch.no_grad():
            lo, hi = latent.amin((1, 2, 3), keepdim=True), latent.amax((1, 2, 3), keepdim=True)
            step = torch.where(hi > lo, (hi - lo) / 255, 1.0)
            restored = lo + ((latent - lo) / step).round().clamp(0, 255) * step
        return latent + (restored - latent).detach(), bits
