"""How a model does on the held-out pictures: what decisions about training rest on."""

from __future__ import annotations

import torch

from .methods import Method
from .prepare import Prepared

BATCH = 64


@torch.no_grad()
def held_out_figures(method: Method, prepared: Prepared,
                     device: torch.device) -> dict[str, dict[str, float]]:
    """By variant, tier, backbone: bytes of payload, KL divergence, agreement with the teacher."""
    method.eval()
    model, rows = method.model, prepared.views.held_out_rows()
    tiers = [rate.name for rate in method.recipe.rates] or ["only"]
    sums: dict[str, dict[str, float]] = {}
    for start in range(0, len(rows), BATCH):
        batch = prepared.batch(rows[start:start + BATCH], device)
        for variant in method.recipe.coder.variants:
            with torch.autocast(device.type, torch.bfloat16):
                latent = model.encoder(batch.pictures, variant)
            for tier, name in enumerate(tiers):
                restored, bits = model.quantiser(latent.float(), variant, tier)
                for backbone, target in batch.targets.items():
                    with torch.autocast(device.type, torch.bfloat16):
                        decoded = model.decoders[backbone](restored, variant)
                        logits = model.logits(backbone, decoded).float()
                    log_p, log_q = logits.log_softmax(1), target.logits.log_softmax(1)
                    row = sums.setdefault(f"{variant}-{name}/{backbone}",
                                          {"bytes": 0.0, "kl": 0.0, "agreement": 0.0})
                    row["bytes"] += bits.sum().item() / 8
                    row["kl"] += (log_q.exp() * (log_q - log_p)).sum().item()
                    row["agreement"] += float((logits.argmax(1) == target.logits.argmax(1)).sum())
    method.train()
    return {key: {name: round(value / len(rows), 4) for name, value in row.items()}
            for key, row in sums.items()}
