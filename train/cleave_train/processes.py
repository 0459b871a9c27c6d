"""Several training processes (torchrun), or one.

Every process takes an equal share of a step's pictures, and gradients are averaged, so that all of
them hold the same parameters. Batch norms see their own process's share alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from torch import Tensor, distributed

PATIENCE = timedelta(days=2)  # the first process may fill caches for hours; torchrun ends orphans


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes caches, checkpoints and logs."""
        return self.rank == 0

    def share(self, rows: np.ndarray) -> np.ndarray:
        """This process's rows of a step; what cannot be shared out evenly is left out."""
        return rows[:len(rows) // self.count * self.count][self.rank::self.count]

    def wait(self) -> None:
        """Returns when every process has come here."""
        if self.count > 1:
            distributed.barrier()


def own_device(name: str) -> torch.device:
    """The device of this name; with several processes on a machine, a GPU for each."""
    if name == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device(name)


@contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """The group that torchrun describes in the environment; alone without it."""
    if "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def mean_over_processes(value: Tensor) -> Tensor:
    """Mean of every process's tensor; each of them must come here."""
    if not distributed.is_initialized():
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
