"""The training loop: every width and rate at every step, checkpointed and resumable.

A step's pictures and noise depend on the seed and the step's number alone, so a run that was
interrupted and resumed is the run that was not.
"""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from .backbone import Lite0
from .bottleneck import Bottleneck
from .cache import TARGET_BLOCKS, Cache, Rows
from .heldout import held_out_figures
from .prepare import Prepared
from .recipe import Rate, Recipe, Stage, trunk_name, width_name

SAVE_EVERY = 250
LOG_EVERY = 50
SCALE_BITS = 1e4       # the rate term counts units of 10,000 bits
CONTROL = 0.01         # how fast a rate's weight follows its payload
PRIOR_LR = 3.0         # priors and gains learn this much faster


@dataclass
class Control:
    """Weight of each rate's bits, steered so that payloads approach their targets."""

    log_weight: dict[str, float] = field(default_factory=dict)

    def weight(self, key: str) -> float:
        """Loss for each SCALE_BITS bits."""
        return math.exp(self.log_weight.setdefault(key, math.log(0.02)))

    def update(self, key: str, measured: float, target: float) -> None:
        """Raises the weight where the payload (bytes) is above its target, and vice versa."""
        error = math.log(max(measured, 1.0) / target)
        self.log_weight[key] += CONTROL * max(-1.0, min(1.0, error))


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine to a hundredth; `step` counts within the stage."""
    if step < stage.warmup:
        return stage.lr * (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def target_bytes(rate: Rate, stage: Stage, step: int) -> float:
    """The payload target, three times higher at the start of the ramp."""
    if step >= stage.rate_ramp:
        return rate.bytes
    return rate.bytes * 3 ** (1 - step / stage.rate_ramp)


def divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """Mean KL divergence from the teacher's distribution: scalar."""
    return F.kl_div(F.log_softmax(logits, 1), F.log_softmax(teacher, 1), log_target=True,
                    reduction="batchmean")


class Trainer:
    """Model, optimiser and controller of one run folder."""

    def __init__(self, recipe: Recipe, run: Path, prepared: Prepared,
                 device: torch.device) -> None:
        self.recipe, self.run, self.device = recipe, run, device
        self.cache: Cache = prepared.cache
        self.net: Lite0 = prepared.net
        torch.manual_seed(recipe.seed)
        self.model = Bottleneck(recipe).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(self._groups(), weight_decay=1e-4)
        self.control = Control()
        self.step = 0
        self.path = run / "checkpoint.pt"
        if self.path.exists():
            self._load()
        else:
            self._set_target_statistics()

    def _groups(self) -> list[dict]:
        fast = [*self.model.prior.parameters(), *self.model.log_gain.parameters()]
        slow = [*self.model.head.parameters(), *self.model.decoder.parameters()]
        return [{"params": slow, "factor": 1.0},
                {"params": fast, "factor": PRIOR_LR, "weight_decay": 0.0}]

    def _set_target_statistics(self) -> None:
        rows = self.cache.training_rows()
        target = self.cache.read(rows[:: max(1, len(rows) // 1024)], self.device).target
        std, mean = torch.std_mean(target, (0, 2, 3), keepdim=True)
        self.model.target_mean.copy_(mean)
        self.model.target_std.copy_(std)

    def _load(self) -> None:
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.control.log_weight = state["control"]
        self.step = state["step"]

    def save(self) -> None:
        """Writes the checkpoint so that a crash leaves the old or the new one."""
        temporary = self.path.with_suffix(".part")
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
                    "control": self.control.log_weight, "step": self.step}, temporary)
        temporary.replace(self.path)

    def _rows_of_step(self, rows: np.ndarray, batch: int, step: int) -> np.ndarray:
        rng = np.random.default_rng((self.recipe.seed, step))
        return rows[rng.choice(len(rows), min(batch, len(rows)), replace=False)]

    def _losses(self, rows: Rows, stage: Stage, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch and what to log; half of the batch goes through each rate."""
        total, log = torch.zeros((), device=self.device), {}
        wanted = self.model.normalised(rows.target)
        for share in self.recipe.widths:
            width = width_name(share)
            rates = [rate for rate in self.recipe.rates if rate.width == share]
            with torch.autocast(self.device.type, torch.bfloat16):
                latent = self.model.head(rows.trunk[trunk_name(share)], width)
            parts = []
            for rate, part in zip(rates, latent.float().chunk(len(rates))):
                restored, bits = self.model.quantise(part, rate.key)
                parts.append(restored)
                total = total + self.control.weight(rate.key) * bits.mean() / SCALE_BITS
                log[f"{rate.key}.bytes"] = bits.mean().item() / 8
            with torch.autocast(self.device.type, torch.bfloat16):
                decoded = self.model.decoder[width](torch.cat(parts))
            error = F.mse_loss(decoded.float(), wanted)
            total = total + error
            log[f"{width}.mse"] = error.item()
            if stage.kl:
                with torch.autocast(self.device.type, torch.bfloat16):
                    logits = self.net.tail(self.model.restored(decoded), TARGET_BLOCKS)
                kl = divergence(logits.float(), rows.logits)
                total = total + stage.kl * kl
                log[f"{width}.kl"] = kl.item()
        for rate in self.recipe.rates:
            self.control.update(rate.key, log[f"{rate.key}.bytes"],
                                target_bytes(rate, stage, step))
        return total, log

    def _train_stage(self, stage: Stage, first: int) -> None:
        """Runs the stage whose first step has the number `first`."""
        rows = self.cache.training_rows()
        self.model.train()
        with (tqdm(total=stage.steps, initial=self.step - first, desc=stage.name) as bar,
              (self.run / "log.jsonl").open("a") as out, ThreadPoolExecutor(1) as pool):
            def read(step: int):
                return pool.submit(self.cache.read, self._rows_of_step(rows, stage.batch, step),
                                   self.device)
            pending = read(self.step)
            while self.step < first + stage.steps:
                batch, pending = pending.result(), read(self.step + 1)
                torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(stage, self.step - first) * group["factor"]
                loss, log = self._losses(batch, stage, self.step - first)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
                self.optimizer.step()
                self.step += 1
                bar.update()
                if self.step % LOG_EVERY == 0:
                    out.write(json.dumps({"step": self.step, "loss": loss.item(), **log}) + "\n")
                    out.flush()
                    bar.set_postfix(loss=f"{loss.item():.3f}")
                if self.step % SAVE_EVERY == 0:
                    self.save()
        self.save()

    def held_out(self) -> dict[str, dict[str, float]]:
        """Figures on pictures that training never sees."""
        return held_out_figures(self.model, self.net, self.recipe, self.cache, self.device)

    def fit(self) -> None:
        """All stages, from wherever the checkpoint stands."""
        first = 0
        for stage in self.recipe.stages:
            if self.step < first + stage.steps:
                self._train_stage(stage, first)
                print(json.dumps({"stage": stage.name, "held_out": self.held_out()}))
            first += stage.steps
