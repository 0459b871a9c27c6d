"""One process of test_processes: the command line's fit, then what this process ended with."""

from __future__ import annotations

import copy
import json
import os

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from cleave_train import __main__ as command_line
from cleave_train.fit import Trainer
from cleave_train.methods import Batch, Method


def gradient(method: torch.nn.Module, batch: Batch, trainer: Trainer) -> torch.Tensor:
    """All gradients of one batch in one vector."""
    method.zero_grad()
    method(batch, trainer.recipe.stages[-1], 0)[0].backward()
    return torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])


def shared_gradient_error(trainer: Trainer, method: Method) -> float:
    """How far the mean of the processes' gradients is from that of the whole batch.

    In evaluation mode: without noise, and with the same statistics in all batch norms.
    """
    method.eval()
    rows = trainer.prepared.views.training_rows()[:trainer.recipe.stages[-1].batch]
    control = copy.deepcopy(method.control)
    wrapped = DistributedDataParallel(method, find_unused_parameters=True)
    whole = gradient(method, trainer.prepared.batch(rows, trainer.device), trainer)
    method.control = control
    share = trainer.prepared.batch(trainer.processes.share(rows), trainer.device)
    return float((gradient(wrapped, share, trainer) - whole).norm() / whole.norm())


def fit_and_tell(trainer: Trainer) -> None:
    """Trains as always, then writes what the test compares."""
    fit(trainer)
    state = torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
    told = {"count": trainer.processes.count, "sum": float(np.float64(state.double().sum())),
            "norm": float(state.double().norm()), "control": trainer.method.control.log_weight,
            "error": shared_gradient_error(trainer, trainer.method)}
    (trainer.run / f"rank{os.environ['RANK']}.json").write_text(json.dumps(told))


fit = Trainer.fit
Trainer.fit = fit_and_tell
if __name__ == "__main__":
    command_line.main()
