"""Encoders and decoders: what stands before and behind the latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import Channels, Conv, Emitter, Inverted, Residual, ResidualDown, Separable
from .model import Backbone
from .recipe import LayerSpec, Recipe


def chain(layers: nn.ModuleList, x: Tensor, variant: str) -> Tensor:
    """x through all layers."""
    for layer in layers:
        x = layer(x, variant)
    return x


def emit_chain(layers: nn.ModuleList, g: Emitter, value: int, variant: str) -> int:
    """Adds the nodes of all layers."""
    for layer in layers:
        value = layer.emit(g, value, variant)
    return value


class ConvEncoder(nn.Module):
    """Picture [N,3,H,W] -> latent [N,latent,h,w] of unit variance, by prefixes of its channels.

    The latent has the same shape at every width, so that one decoder serves all of them. Behind a
    backbone's own nodes the input has `channels` channels instead of a picture's three.
    """

    def __init__(self, specs: tuple[LayerSpec, ...], latent: int, variants: list[str],
                 channels: int = 3) -> None:
        super().__init__()
        self.variants, self.latent = variants, latent
        self.layers = nn.ModuleList()
        inputs: Channels = dict.fromkeys(variants, channels)
        for spec in specs[:-1]:
            if spec.kind == "separable":
                self.layers.append(Separable(inputs, spec.kernel))
                continue
            outputs = dict(zip(variants, spec.channels, strict=True))
            if spec.kind == "inverted":
                hidden, outputs = outputs, dict.fromkeys(variants, spec.outputs)
                self.layers.append(Inverted(inputs, hidden, outputs, spec.kernel, spec.stride))
            elif spec.kind == "residual_down":
                self.layers.append(ResidualDown(inputs, outputs, spec.kernel))
            else:
                self.layers.append(Conv(inputs, outputs, spec.kernel, spec.stride))
            inputs = outputs
        last = specs[-1]
        self.layers.append(Conv(inputs, dict.fromkeys(variants, latent), last.kernel, last.stride,
                                act="none", affine=False))

    def forward(self, x: Tensor, variant: str) -> Tensor:
        return chain(self.layers, x, variant)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the head's nodes."""
        return emit_chain(self.layers, g, value, variant)


class EnsembleEncoder(nn.Module):
    """Variant k: the sum of the latents [N,latent,h,w] of the first k of several small encoders.

    A member is the same in every variant, so a device that has k latents needs only the next
    member's to have k + 1.
    """

    MEMBER = "member"

    def __init__(self, specs: tuple[LayerSpec, ...], latent: int, variants: list[str]) -> None:
        super().__init__()
        self.count = {variant: k for k, variant in enumerate(variants, 1)}
        self.members = nn.ModuleList(
            ConvEncoder(specs, latent, [self.MEMBER]) for _ in variants)

    def forward(self, x: Tensor, variant: str) -> Tensor:
        first, *others = self.members[:self.count[variant]]
        latent = first(x, self.MEMBER)
        for member in others:
            latent = latent + member(x, self.MEMBER)
        return latent

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the members' nodes and the sums."""
        first, *others = self.members[:self.count[variant]]
        latent = first.emit(g, value, self.MEMBER)
        for member in others:
            latent = g.add(latent, member.emit(g, value, self.MEMBER))
        return latent


class BackboneEncoder(nn.Module):
    """A backbone's own frozen nodes up to its cut, then `compress`, which is trained."""

    def __init__(self, backbone: Backbone, specs: tuple[LayerSpec, ...], latent: int,
                 variants: list[str]) -> None:
        super().__init__()
        self.frozen, self.cut = backbone.net, backbone.cut
        self.compress = ConvEncoder(specs, latent, variants, backbone.shape[0])

    def forward(self, x: Tensor, variant: str) -> Tensor:
        with torch.no_grad():
            features = self.frozen.between(x, 0, self.cut)[0]
        return self.compress(features, variant)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the backbone's nodes and the trained ones."""
        return self.compress.emit(g, g.nodes(self.frozen, value, 0, self.cut), variant)


class Family(nn.ModuleDict):
    """Encoders, or decoders, of up to three kinds, each for variants of its own.

    SLIM is for the widths. The TRUNK stands on the backbone's own first nodes: it costs more, and
    is the better encoder from the start. The LIGHT one has layers of its own, for devices that
    cannot afford a width. All make latents of the same shape, but not quite the same latent, so
    each has its decoder.
    """

    SLIM, TRUNK, LIGHT = "slim", "trunk", "light"

    @classmethod
    def kind(cls, variant: str) -> str:
        """The kind that a variant is of."""
        return variant if variant in (cls.TRUNK, cls.LIGHT) else cls.SLIM

    def of(self, variant: str) -> nn.Module:
        """The encoder or decoder of a variant."""
        return self[self.kind(variant)]

    def forward(self, x: Tensor, variant: str) -> Tensor:
        return self.of(variant)(x, variant)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the nodes of the variant's encoder or decoder."""
        return self.of(variant).emit(g, value, variant)


class Decoder(nn.Module):
    """Restored latent [N,latent,h,w] -> channel-normalised features [N,features,h,w].

    With no channels in between it is a single 1x1 convolution.
    """

    def __init__(self, latent: int, channels: int, blocks: int, features: int,
                 variants: list[str]) -> None:
        super().__init__()
        def same(count: int) -> Channels:
            return dict.fromkeys(variants, count)

        self.layers = nn.ModuleList()
        if channels:
            self.layers.append(Conv(same(latent), same(channels), 3, act="relu"))
            self.layers.extend(Residual(same(channels)) for _ in range(blocks))
        self.layers.append(Conv(same(channels or latent), same(features), 1, act="none"))

    def convolutions(self) -> list[Conv]:
        """All convolutions, in the order in which they were made."""
        return [module for module in self.modules() if isinstance(module, Conv)]

    def copy_weights(self, other: Decoder) -> None:
        """Takes over the convolutions' weights of another decoder of the same size."""
        for mine, its in zip(self.convolutions(), other.convolutions(), strict=True):
            mine.weight.copy_(its.weight)

    def copy_norms(self, variant: str, other: Decoder, its_variant: str) -> None:
        """Gives a variant the batch norms of another decoder's variant."""
        for mine, its in zip(self.convolutions(), other.convolutions(), strict=True):
            mine.norm[variant].load_state_dict(its.norm[its_variant].state_dict())

    def forward(self, x: Tensor, variant: str) -> Tensor:
        return chain(self.layers, x, variant)

    def emit(self, g: Emitter, value: int, variant: str) -> int:
        """Adds the nodes; `g` undoes the normalisation of the last one."""
        return emit_chain(self.layers, g, value, variant)


def build_decoders(recipe: Recipe, backbones: list[Backbone]) -> dict[str, nn.Module]:
    """Decoders of the recipe's size for each backbone: one, or one for each kind of encoder."""
    coder = recipe.coder
    kinds: dict[str, list[str]] = {}
    for variant in coder.variants:
        kinds.setdefault(Family.kind(variant), []).append(variant)

    def build(backbone: Backbone, variants: list[str]) -> Decoder:
        return Decoder(coder.latent, coder.decoder_channels, coder.decoder_blocks,
                       backbone.shape[0], variants)

    return {b.name: build(b, list(coder.variants)) if len(kinds) == 1
            else Family({kind: build(b, variants) for kind, variants in kinds.items()})
            for b in backbones}
