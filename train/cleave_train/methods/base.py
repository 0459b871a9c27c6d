"""What all methods share: which pictures take which path in a step, and how losses add up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..coder import Family
from ..layers import Emitter
from ..model import Backbone, SplitModel
from ..processes import mean_over_processes
from ..recipe import Recipe, Stage
from ..targets import Target

SCALE_BITS = 1e4   # the rate term counts units of 10,000 bits
CONTROL = 0.01     # how fast a rate's weight follows its payload
REACTION = 1.0     # how much of a payload's present error counts at once


@dataclass
class Batch:
    """Pictures [N,3,H,W] as the network sees them, and each backbone's answers."""

    pictures: Tensor
    targets: dict[str, Target]


@dataclass(frozen=True)
class Path:
    """`count` pictures of a step go through this variant at this tier."""

    variant: str
    tier: int
    count: int


@dataclass
class RateControl:
    """Weight of each (variant, tier)'s bits, steered so that payloads approach their targets.

    A proportional-integral controller of the weight's logarithm: without the proportional part the
    integral overshoots as soon as the learning rate falls.
    """

    log_weight: dict[str, float] = field(default_factory=dict)

    def inherit(self, variant: str, other: str) -> None:
        """Lets a variant start from another one's weights."""
        for key, weight in list(self.log_weight.items()):
            if key.startswith(f"{other}-"):
                self.log_weight[variant + key.removeprefix(other)] = weight

    def weight(self, key: str, measured: float, target: float) -> float:
        """Loss for each SCALE_BITS bits of a step that measured this payload (bytes)."""
        error = max(-1.0, min(1.0, math.log(max(measured, 1.0) / target)))
        self.log_weight[key] = self.log_weight.get(key, math.log(0.02)) + CONTROL * error
        return math.exp(self.log_weight[key] + REACTION * error)


def divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean KL divergence from the teacher's distribution: scalar."""
    return F.kl_div(F.log_softmax(logits, 1), F.log_softmax(teacher, 1), log_target=True,
                    reduction="batchmean")


def feature_error(decoded: Tensor, wanted: Tensor, saliency: Tensor, emphasis: float) -> Tensor:
    """Mean squared error [N,c,h,w]; salient positions [N,h,w] count 1 + emphasis times as much.

    FrankenSplit's saliency-guided distortion; each map's weights have mean one.
    """
    weight = 1 + emphasis * saliency
    weight = weight / weight.mean((1, 2), keepdim=True)
    return (weight[:, None] * (decoded - wanted).square()).mean()


def target_bytes(wanted: float, stage: Stage, step: int) -> float:
    """The payload target, three times higher at the start of the ramp."""
    if step >= stage.rate_ramp:
        return wanted
    return wanted * 3 ** (1 - step / stage.rate_ramp)


class Method(nn.Module):
    """A model and its loss. Subclasses build the model and may say who goes where in a step."""

    codec = "rans"  # how latents cross the wire: rans or u8zstd

    def __init__(self, recipe: Recipe, model: SplitModel, backbones: list[Backbone]) -> None:
        super().__init__()
        if any(stage.imitation for stage in recipe.stages) and \
                Family.TRUNK not in recipe.coder.variants:
            raise SystemExit(f"{recipe.method}: without a trunk no stage can imitate its latent")
        self.recipe, self.model, self.backbones = recipe, model, backbones
        self.control = RateControl()
        self._check_sizes()

    @torch.no_grad()
    def _check_sizes(self) -> None:
        """Decoders keep height and width, so the latent must have those of the features."""
        view, encoder = self.recipe.input, self.model.encoder.eval()
        picture = torch.zeros(1, 3, view.height, view.width)
        for variant in self.recipe.coder.variants:
            made = tuple(encoder(picture, variant).shape[2:])
            for backbone in self.backbones:
                if made != backbone.shape[1:]:
                    raise SystemExit(
                        f"the encoder's strides lead to {made[0]}x{made[1]}, but at its cut "
                        f"{backbone.name} has {backbone.shape[1]}x{backbone.shape[2]} ({variant})")
        encoder.train()

    def paths(self, count: int, variants: Sequence[str], step: int) -> list[Path]:
        """How `count` pictures are shared out; here evenly over variants and tiers."""
        keys = [(v, t) for v in variants for t in range(max(1, len(self.recipe.rates)))]
        return [Path(v, t, len(range(i, count, len(keys)))) for i, (v, t) in enumerate(keys)]

    def variants_of(self, stage: Stage) -> tuple[str, ...]:
        """The variants that take part in a stage."""
        return stage.variants or self.recipe.coder.variants

    def initialise(self, pictures: Tensor) -> None:
        """Called once before the first step with some training pictures [N,3,H,W]."""

    def encode(self, batch: Batch, part: slice, variant: str) -> Tensor:
        """Latents of a part of the batch."""
        return self.model.encoder(batch.pictures[part], variant)

    def imitation(self, latent: Tensor, batch: Batch, part: slice, variant: str) -> Tensor:
        """Error of a latent against the one to be imitated: scalar."""
        raise NotImplementedError

    def balanced(self, loss: Tensor) -> Tensor:
        """A variant's loss as it counts beside the other variants'."""
        return loss

    def begin(self, stage: Stage) -> None:
        """Called before the first step of a stage."""

    def extra_graphs(self) -> dict[str, Callable[[Emitter, int], int]]:
        """Graphs for the device alone, picture -> probabilities, by name, as what emits them."""
        return {}

    def distortion(self, backbone: Backbone, decoded: Tensor, target: Target,
                   stage: Stage) -> Tensor:
        """Error of a decoder's output against the backbone's features: scalar."""
        wanted = self.model.normalised(backbone.name, target.features)
        return feature_error(decoded.float(), wanted, target.saliency, stage.saliency)

    def forward(self, batch: Batch, stage: Stage, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch and what to log; `step` counts within the stage."""
        device = batch.pictures.device
        total, log = torch.zeros((), device=device), {}
        variants = self.variants_of(stage)
        paths, first = self.paths(len(batch.pictures), variants, step), 0
        for variant in dict.fromkeys(path.variant for path in paths):
            mine = [path for path in paths if path.variant == variant]
            count = sum(path.count for path in mine)
            part = slice(first, first + count)
            first += count
            with torch.autocast(device.type, torch.bfloat16):
                latent = self.encode(batch, part, variant)
            share = count / len(batch.pictures)
            if stage.imitation:
                error = self.imitation(latent.float(), batch, part, variant)
                total = total + stage.imitation * share * self.balanced(error)
                log[f"{variant}.imitation"] = error.item()
            if not stage.distortion and not stage.kl:
                continue
            restored = []
            for path, chunk in zip(mine, latent.float().split([p.count for p in mine])):
                y, bits = self.model.quantiser(chunk, variant, path.tier)
                restored.append(y)
                total = total + self._rate_loss(path, bits, count, stage, step, log)
            total = total + share * self.balanced(
                self._restore(torch.cat(restored), variant, batch, part, stage, log))
        return total, log

    def _rate_loss(self, path: Path, bits: Tensor, count: int, stage: Stage, step: int,
                   log: dict[str, float]) -> Tensor:
        """Weighted bits of one path; steers the weight towards the tier's target."""
        if not self.recipe.rates:
            return bits.sum() * 0
        key = f"{path.variant}-{self.recipe.rates[path.tier].name}"
        measured = mean_over_processes(bits.detach().mean()).item() / 8
        wanted = target_bytes(self.recipe.rates[path.tier].bytes, stage, step)
        log[f"{key}.bytes"] = measured
        weight = self.control.weight(key, measured, wanted)
        return weight * bits.mean() / SCALE_BITS * (path.count / count)

    def _restore(self, latent: Tensor, variant: str, batch: Batch, part: slice, stage: Stage,
                 log: dict[str, float]) -> Tensor:
        """Losses behind the quantiser, over all backbones."""
        total = torch.zeros((), device=latent.device)
        for backbone in self.backbones:
            whole = batch.targets[backbone.name]
            target = Target(whole.features[part], whole.logits[part], whole.saliency[part])
            with torch.autocast(latent.device.type, torch.bfloat16):
                decoded = self.model.decoders[backbone.name](latent, variant)
            name = f"{variant}.{backbone.name}"
            if stage.distortion:
                error = self.distortion(backbone, decoded, target, stage)
                total = total + stage.distortion * error
                log[f"{name}.error"] = error.item()
            if stage.kl:
                with torch.autocast(latent.device.type, torch.bfloat16):
                    logits = self.model.logits(backbone.name, decoded)
                kl = divergence(logits.float(), target.logits)
                total = total + stage.kl * kl
                log[f"{name}.kl"] = kl.item()
        return total
