"""The training loop: batches from the caches, stages, checkpoints; one process or several.

A step's pictures and noise depend on the seed and the step's number alone, so a run that was
interrupted and resumed is the run that was not.
"""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from .heldout import held_out_figures
from .methods import Batch, build_method
from .prepare import Prepared
from .processes import Processes
from .recipe import Recipe, Stage

SAVE_EVERY = 200
LOG_EVERY = 25
PRIOR_FACTOR = 3.0    # densities and gains learn this much faster
TAIL_FACTOR = 0.2     # a published tail that learns along, this much slower
CLIP = 5.0


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine to a hundredth; `step` counts within the stage."""
    if step < stage.warmup:
        return stage.lr * (step + 1) / stage.warmup
    done = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint so that a crash leaves the old or the new one."""
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


class Trainer:
    """Model, optimiser and progress of one run folder."""

    def __init__(self, recipe: Recipe, run: Path, prepared: Prepared, device: torch.device,
                 processes: Processes | None = None) -> None:
        self.recipe, self.run, self.device, self.prepared = recipe, run, device, prepared
        self.processes = processes or Processes()
        torch.manual_seed(recipe.seed)
        self.method = build_method(recipe, prepared.backbones)
        self.model = self.method.model
        self._set_statistics()
        self.method.to(device, memory_format=torch.channels_last)
        self.stage_index, self.step = 0, 0
        self.optimizer: torch.optim.Optimizer | None = None
        self.path = run / "checkpoint.pt"
        if self.path.exists():
            self._load()
        else:
            self._initialise()

    @property
    def steps_done(self) -> int:
        """Steps of all stages so far."""
        return self.step + sum(stage.steps for stage in self.recipe.stages[:self.stage_index])

    def _set_statistics(self) -> None:
        rows = self.prepared.views.training_rows()
        rows = rows[:: max(1, len(rows) // 1024)]
        for name, targets in self.prepared.targets.items():
            self.model.set_statistics(name, targets.read(rows, torch.device("cpu")).features)

    def _initialise(self) -> None:
        """Lets the method look at some training pictures before the first step."""
        rows = self.prepared.views.training_rows()
        rows = rows[:: max(1, len(rows) // 64)][:64]
        self.method.initialise(self.prepared.batch(rows, self.device).pictures)

    def _begin_stage(self, stage: Stage) -> None:
        """Sets what learns in this stage, and a fresh optimiser for it."""
        if "tail" in stage.train:
            for tail in self.model.tails.values():
                tail.thaw()
        groups = {"encoder": (self.model.encoder, 1.0), "decoder": (self.model.decoders, 1.0),
                  "quantiser": (self.model.quantiser, PRIOR_FACTOR),
                  "tail": (self.model.tails, TAIL_FACTOR), "exit": (self.model.exits, 1.0)}
        learning = {*stage.train, *(["quantiser"] if "encoder" in stage.train else [])}
        parts = []
        for name, (module, factor) in groups.items():
            parameters = list(module.parameters())
            for parameter in parameters:
                parameter.requires_grad_(name in learning)
            if parameters and name in learning:
                decay = {"weight_decay": 0.0} if name == "quantiser" else {}
                parts.append({"params": parameters, "factor": factor, **decay})
        self.optimizer = torch.optim.AdamW(parts, weight_decay=1e-4)

    def _load(self) -> None:
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.stage_index, self.step = state["stage"], state["step"]
        if self.stage_index < len(self.recipe.stages):
            self._begin_stage(self.recipe.stages[self.stage_index])
        self.model.load(state["model"])
        self.method.to(self.device, memory_format=torch.channels_last)
        if state["optimizer"] is not None and self.optimizer is not None:
            self.optimizer.load_state_dict(state["optimizer"])
        self.method.control.log_weight = state["control"]

    def save(self) -> None:
        """Writes the checkpoint, by the first process alone."""
        if not self.processes.first:
            return
        state = {name: value for name, value in self.model.state_dict().items()
                 if ".frozen." not in name}
        save_checkpoint(self.path, {
            "model": state, "stage": self.stage_index, "step": self.step,
            "optimizer": self.optimizer.state_dict() if self.optimizer else None,
            "control": self.method.control.log_weight})

    def _batch(self, rows: np.ndarray, stage: Stage, step: int) -> Batch:
        """This process's share of a step's pictures."""
        rng = np.random.default_rng((self.recipe.seed, self.stage_index, step))
        chosen = rows[rng.choice(len(rows), min(stage.batch, len(rows)), replace=False)]
        return self.prepared.batch(self.processes.share(chosen), self.device)

    def _train_step(self, wrapped: nn.Module, batch: Batch, stage: Stage) -> tuple[Tensor, dict]:
        torch.manual_seed((self.recipe.seed * 1_000_003 + self.stage_index * 100_003 + self.step)
                          * self.processes.count + self.processes.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(stage, self.step) * group["factor"]
        loss, log = wrapped(batch, stage, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.method.parameters(), CLIP)
        self.optimizer.step()
        return loss, log

    def _train_stage(self, stage: Stage) -> None:
        if self.step == 0:
            self.method.begin(stage)
            self._begin_stage(stage)
        rows = self.prepared.views.training_rows()
        self.method.to(self.device, memory_format=torch.channels_last)
        self.method.train()
        wrapped: nn.Module = self.method
        if self.processes.count > 1:
            # Buffers are frozen weights, and running statistics that training does not read.
            wrapped = DistributedDataParallel(self.method, find_unused_parameters=True,
                                              forward_sync_buffers=False)
        with (tqdm(total=stage.steps, initial=self.step, desc=stage.name, mininterval=5,
                   disable=not self.processes.first) as bar,
              (self.run / "log.jsonl").open("a") as out, ThreadPoolExecutor(1) as pool):
            pending = pool.submit(self._batch, rows, stage, self.step)
            while self.step < stage.steps:
                batch = pending.result()
                pending = pool.submit(self._batch, rows, stage, self.step + 1)
                loss, log = self._train_step(wrapped, batch, stage)
                self.step += 1
                bar.update()
                if self.step % LOG_EVERY == 0 and self.processes.first:
                    out.write(json.dumps({"stage": stage.name, "step": self.step,
                                          "loss": loss.item(), **log}) + "\n")
                    out.flush()
                    bar.set_postfix(loss=f"{loss.item():.3f}")
                if self.step % SAVE_EVERY == 0:
                    self.save()
        self.stage_index, self.step, self.optimizer = self.stage_index + 1, 0, None
        self.save()

    def held_out(self) -> dict[str, dict[str, float]]:
        """Figures on pictures that training never sees."""
        return held_out_figures(self.method, self.prepared, self.device)

    def fit(self) -> None:
        """All stages, from wherever the checkpoint stands."""
        while self.stage_index < len(self.recipe.stages):
            stage = self.recipe.stages[self.stage_index]
            self._train_stage(stage)
            if self.processes.first:
                print(json.dumps({"stage": stage.name, "held_out": self.held_out()}), flush=True)
