"""How a model does on the held-out pictures: what decisions about training rest on."""

from __future__ import annotations

import torch

from .backbone import Lite0
from .bottleneck import Bottleneck
from .cache import TARGET_BLOCKS, Cache
from .recipe import Recipe, trunk_name, width_name

BATCH = 64


@torch.no_grad()
def held_out_figures(model: Bottleneck, net: Lite0, recipe: Recipe, cache: Cache,
                     device: torch.device) -> dict[str, dict[str, float]]:
    """By rate: mean payload in bytes, feature error, and top-1 agreement with the teacher."""
    model.eval()
    rows = cache.held_out_rows()
    sums = {rate.key: {"bytes": 0.0, "mse": 0.0, "agreement": 0.0} for rate in recipe.rates}
    for start in range(0, len(rows), BATCH):
        batch = cache.read(rows[start:start + BATCH], device)
        wanted, teacher = model.normalised(batch.target), batch.logits.argmax(1)
        for rate in recipe.rates:
            width = width_name(rate.width)
            latent = model.head(batch.trunk[trunk_name(rate.width)], width)
            restored, bits = model.quantise(latent, rate.key)
            with torch.autocast(device.type, torch.bfloat16):
                decoded = model.decoder[width](restored)
                logits = net.tail(model.restored(decoded), TARGET_BLOCKS)
            error = (decoded.float() - wanted).square().mean((1, 2, 3))
            for name, value in (("bytes", bits / 8), ("mse", error),
                                ("agreement", (logits.argmax(1) == teacher).float())):
                sums[rate.key][name] += value.sum().item()
    return {key: {name: round(value / len(rows), 4) for name, value in figures.items()}
            for key, figures in sums.items()}
