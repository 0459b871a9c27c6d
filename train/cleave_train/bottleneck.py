"""What is trained: two slimmable convolutions, gains, priors, and one decoder for each width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .backbone import pad_same
from .entropy import LogisticMixture
from .recipe import Recipe, width_name
from .trunk import TRUNK_CHANNELS

TARGET_CHANNELS = 80
KERNEL, STRIDE = 3, 2


class Head(nn.Module):
    """Trunk features [N,24,56,56] -> latent [N,latent*width,14,14] of unit variance.

    Every width uses a prefix of the same two weights, with batch norms of its own.
    """

    def __init__(self, mid: int, latent: int, widths: list[float]) -> None:
        super().__init__()
        self.mid = {width_name(w): int(mid * w) for w in widths}
        self.latent = {width_name(w): int(latent * w) for w in widths}
        self.reduce1 = nn.Parameter(torch.empty(mid, TRUNK_CHANNELS, KERNEL, KERNEL))
        self.reduce2 = nn.Parameter(torch.empty(latent, mid, KERNEL, KERNEL))
        for weight in (self.reduce1, self.reduce2):
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        self.norm1 = nn.ModuleDict({w: nn.BatchNorm2d(c) for w, c in self.mid.items()})
        self.norm2 = nn.ModuleDict(
            {w: nn.BatchNorm2d(c, affine=False) for w, c in self.latent.items()})

    def forward(self, x: Tensor, width: str) -> Tensor:
        mid, latent = self.mid[width], self.latent[width]
        x = F.conv2d(pad_same(x, KERNEL, STRIDE), self.reduce1[:mid], stride=STRIDE)
        x = F.relu6(self.norm1[width](x))
        x = F.conv2d(pad_same(x, KERNEL, STRIDE), self.reduce2[:latent, :mid], stride=STRIDE)
        return self.norm2[width](x)


class Residual(nn.Module):
    """x + norm(conv(relu(norm(conv(x)))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, KERNEL, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, KERNEL, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return x + self.norm2(self.conv2(y))


class Decoder(nn.Module):
    """Restored latent [N,c,14,14] -> channel-normalised features [N,80,14,14]."""

    def __init__(self, latent: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(latent, channels, KERNEL, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList(Residual(channels) for _ in range(blocks))
        self.last = nn.Conv2d(channels, TARGET_CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)))
        for block in self.blocks:
            x = block(x)
        return self.last(x)


class Bottleneck(nn.Module):
    """Head, quantiser and decoders of all operating points."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        spec = recipe.bottleneck
        self.head = Head(spec.mid, spec.latent, recipe.widths)
        self.decoder = nn.ModuleDict({
            w: Decoder(c, spec.decoder_channels, spec.decoder_blocks)
            for w, c in self.head.latent.items()})
        self.prior = nn.ModuleDict()
        self.log_gain = nn.ParameterDict()
        for rate in recipe.rates:
            channels = self.head.latent[width_name(rate.width)]
            self.prior[rate.key] = LogisticMixture(channels)
            self.log_gain[rate.key] = nn.Parameter(
                torch.full((1, channels, 1, 1), rate.gain).log())
        self.register_buffer("target_mean", torch.zeros(1, TARGET_CHANNELS, 1, 1))
        self.register_buffer("target_std", torch.ones(1, TARGET_CHANNELS, 1, 1))

    def gain(self, key: str) -> Tensor:
        """Quantisation steps for one unit of latent: [1,c,1,1]."""
        return self.log_gain[key].exp()

    def quantise(self, latent: Tensor, key: str) -> tuple[Tensor, Tensor]:
        """(restored latent with a straight-through gradient, bits [N]).

        In training the bits are those of the latent with uniform noise in place of rounding.
        """
        gain = self.gain(key)
        scaled = latent * gain
        rounded = scaled + (scaled.round() - scaled).detach()
        noisy = scaled + torch.rand_like(scaled) - 0.5 if self.training else rounded
        return rounded / gain, self.prior[key].bits(noisy)

    def normalised(self, target: Tensor) -> Tensor:
        """Features [N,80,14,14] with zero mean and unit variance in each channel."""
        return (target - self.target_mean) / self.target_std

    def restored(self, decoded: Tensor) -> Tensor:
        """The decoder's output back in the backbone's own scale."""
        return decoded * self.target_std + self.target_mean
