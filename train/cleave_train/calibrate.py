"""What a trained model still needs before export: plain batch-norm statistics, and priors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from .entropy import build_tables, payload_bytes
from .model import SplitModel
from .prepare import Prepared
from .recipe import PointSpec, Recipe
from .reference import FRAME_HEADER
from .views import BATCH, normalise

CALIBRATION_VIEWS = 2048
TABLE_VIEWS = 3072
ROUGHLY = 6         # one in so many views tells what a tier costs
MOST_TRIALS = 12
NEAR = 0.99         # a point may stay this far below its bytes


@dataclass
class Prior:
    """Tensors of one variant's prior at one tier, and the mean frame of held-out pictures."""

    tier: float
    tensors: dict[str, np.ndarray]
    bytes: float


def round_weights(model: SplitModel) -> None:
    """Gives trained weights the fp16 values that the bundle will hold."""
    for part in (model.encoder, model.decoders, model.tails, model.exits):
        for parameter in part.parameters():
            if parameter.dim() > 1:
                parameter.data = parameter.data.half().float()


def _pictures(prepared: Prepared, rows: np.ndarray, device: torch.device,
              what: str) -> Iterator[Tensor]:
    for start in tqdm(range(0, len(rows), BATCH), desc=what, unit="batch"):
        yield normalise(prepared.views.pixels(rows[start:start + BATCH]), prepared.views.spec,
                        device)


def _training_rows(prepared: Prepared, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(prepared.views.training_rows())[:count]


@torch.no_grad()
def calibrate(model: SplitModel, recipe: Recipe, prepared: Prepared,
              device: torch.device) -> None:
    """Rounds the weights and takes every batch norm's statistics afresh, for each variant."""
    round_weights(model)
    model.train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    tiers = max(1, len(recipe.rates))
    rows = _training_rows(prepared, CALIBRATION_VIEWS, recipe.seed + 1)
    for pictures in _pictures(prepared, rows, device, "batch norms"):
        for variant in recipe.coder.variants:
            latent = model.encoder(pictures, variant)
            restored = torch.cat([model.quantiser(part, variant, tier)[0]
                                  for tier, part in enumerate(latent.chunk(tiers))])
            for decoder in model.decoders.values():
                decoder(restored, variant)
            if variant in model.exits:
                model.exits[variant](latent, variant)
    model.eval()


@torch.no_grad()
def _latents(model: SplitModel, variant: str, prepared: Prepared, rows: np.ndarray,
             device: torch.device) -> np.ndarray:
    """float32 [N,h,w,c]"""
    return np.concatenate([model.encoder(x, variant).permute(0, 2, 3, 1).cpu().numpy()
                           for x in _pictures(prepared, rows, device, f"latents {variant}")])


def meet(wanted: float, tiers: int, measure: Callable[[float], float]) -> float:
    """The tier at which `measure`, in bytes, falls just short of `wanted`.

    The logarithm of the bytes is nearly a straight line between tiers, so interpolating in it
    needs few trials. The search goes one tier beyond either end.
    """
    if tiers < 2:
        raise SystemExit("bytes of a point need a recipe of at least two rates")
    low, high = -1.0, float(tiers)
    for tier in range(tiers):
        if measure(tier) > wanted:
            high = float(tier)
            break
        low = float(tier)
    if measure(low) > wanted:
        raise SystemExit(f"no tier makes frames of {wanted:g} bytes; the smallest are of "
                         f"{measure(low):.0f}")
    for _ in range(MOST_TRIALS):
        if measure(low) >= NEAR * wanted or low == high:
            break
        logs = [math.log(measure(tier)) for tier in (low, high)]
        share = (math.log(wanted * (1 + NEAR) / 2) - logs[0]) / (logs[1] - logs[0])
        tier = low + (high - low) * min(share, 1.0)
        low, high = (tier, high) if measure(tier) <= wanted else (low, tier)
    return low


class Priors:
    """Makes priors of one variant; its latents are computed once."""

    def __init__(self, model: SplitModel, variant: str, recipe: Recipe, prepared: Prepared,
                 device: torch.device) -> None:
        self.model, self.variant, self.tiers = model, variant, len(recipe.rates)
        rows = _training_rows(prepared, TABLE_VIEWS, recipe.seed + 2)
        self.training = _latents(model, variant, prepared, rows, device)
        self.held_out = _latents(model, variant, prepared, prepared.views.held_out_rows(), device)
        self.sizes: dict[float, float] = {}

    @torch.no_grad()
    def _fit(self, tier: float, latents: np.ndarray) -> Prior:
        gain = self.model.quantiser.gain(self.variant, tier).flatten().cpu().numpy()
        tables = build_tables(np.rint(latents * gain).astype(np.int32))
        symbols = np.rint(self.held_out * gain).astype(np.int32)
        mean = FRAME_HEADER + float(payload_bytes(symbols, tables).mean())
        return Prior(tier, {"gain": gain.astype(np.float32), **tables}, mean)

    def at(self, tier: float) -> Prior:
        """The prior at a tier, which need not be a whole number."""
        return self._fit(tier, self.training)

    def bytes_at(self, tier: float) -> float:
        """About the bytes at a tier, by tables of a part of the pictures: a little too many."""
        if tier not in self.sizes:
            self.sizes[tier] = self._fit(tier, self.training[::ROUGHLY]).bytes
        return self.sizes[tier]

    def of(self, point: PointSpec) -> Prior:
        """The prior that a point asks for."""
        if point.bytes is None:
            return self.at(point.tier)
        # What the rough sizes miss, the first find tells.
        found = self.at(meet(point.bytes, self.tiers, self.bytes_at))
        rough = self.bytes_at(found.tier) / found.bytes
        return self.at(meet(point.bytes * rough, self.tiers, self.bytes_at))


def build_priors(model: SplitModel, recipe: Recipe, points: list[PointSpec], prepared: Prepared,
                 device: torch.device) -> dict[str, Prior]:
    """The priors of all rANS points by the points' ids."""
    priors = {}
    for variant in recipe.coder.variants:
        mine = [p for p in points if p.variant == variant and p.codec == "rans"]
        maker = Priors(model, variant, recipe, prepared, device) if mine else None
        for point in mine:
            priors[point.id] = maker.of(point)
            print(f"{point.id}: tier {priors[point.id].tier:.3f}, "
                  f"{priors[point.id].bytes:.0f} bytes on held-out pictures", flush=True)
    return priors
