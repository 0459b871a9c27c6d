"""What every method trains: an encoder, a quantiser, and a decoder for each backbone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .net import Folded, Network
from .picture import InputSpec


@dataclass
class Backbone:
    """A backbone cut at a value: what a decoder restores, and the tail that goes on from there."""

    name: str
    net: Network
    cut: int
    shape: tuple[int, int, int]  # channels, height, width of the features at the cut

    @torch.no_grad()
    def upto(self, mark: str, view: InputSpec) -> Backbone:
        """The same backbone cut at another mark."""
        cut = self.net.marks[mark]
        features = self.net.between(torch.zeros(1, 3, view.height, view.width), 0, cut)[0]
        return Backbone(self.name, self.net, cut, tuple(features.shape[1:]))


class Tail(nn.Module):
    """A backbone's nodes from the cut on, frozen or with weights of their own that learn."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.cut, self.frozen = backbone.cut, backbone.net
        self.own: Network | None = None

    def thaw(self) -> None:
        """Gives the tail a trainable copy of its weights; once is enough."""
        if self.own is None:
            self.own = self.frozen.thawed(self.cut)

    @property
    def net(self) -> Network:
        """The network whose nodes run."""
        return self.frozen if self.own is None else self.own

    def thawed(self) -> list[Folded]:
        """The layers that learn."""
        return [m for m in self.net.modules()
                if isinstance(m, Folded) and isinstance(m.weight, nn.Parameter)]

    def forward(self, features: Tensor) -> Tensor:
        """Features at the cut -> logits."""
        return self.net.between(features, self.cut)[0]


class SplitModel(nn.Module):
    """Encoder, quantiser, decoders and tails; a decoder works on channel-normalised features."""

    def __init__(self, encoder: nn.Module, quantiser: nn.Module, decoders: dict[str, nn.Module],
                 backbones: list[Backbone]) -> None:
        super().__init__()
        self.encoder, self.quantiser = encoder, quantiser
        self.decoders = nn.ModuleDict(decoders)
        self.tails = nn.ModuleDict({b.name: Tail(b) for b in backbones})
        self.exits = nn.ModuleDict()  # classifiers on the latent, by variant
        for b in backbones:
            self.register_buffer(f"mean_{b.name}", torch.zeros(1, b.shape[0], 1, 1))
            self.register_buffer(f"std_{b.name}", torch.ones(1, b.shape[0], 1, 1))

    def set_statistics(self, backbone: str, features: Tensor) -> None:
        """Takes the channels' mean and deviation from features [N,c,h,w].

        The deviation of a channel that hardly ever speaks is not taken for less than a trifle.
        """
        std, mean = torch.std_mean(features, (0, 2, 3), keepdim=True)
        getattr(self, f"mean_{backbone}").copy_(mean)
        getattr(self, f"std_{backbone}").copy_(std.clamp_min(1e-3 * std.mean()))

    def normalised(self, backbone: str, features: Tensor) -> Tensor:
        """Features with zero mean and unit variance in each channel."""
        return (features - getattr(self, f"mean_{backbone}")) / getattr(self, f"std_{backbone}")

    def features(self, backbone: str, decoded: Tensor) -> Tensor:
        """A decoder's output with the features' own mean and deviation."""
        return decoded * getattr(self, f"std_{backbone}") + getattr(self, f"mean_{backbone}")

    def logits(self, backbone: str, decoded: Tensor) -> Tensor:
        """What the tail makes of a decoder's output."""
        return self.tails[backbone](self.features(backbone, decoded))

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes over a checkpoint; tails that had learned get weights of their own."""
        if any(key.startswith("tails.") for key in state):
            for tail in self.tails.values():
                tail.thaw()
        self.load_state_dict(state, strict=False)

    def train(self, mode: bool = True) -> SplitModel:
        """Training mode for what is trained; the tails have nothing that depends on the mode."""
        super().train(mode)
        self.tails.eval()
        return self
