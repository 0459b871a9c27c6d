"""Files of weights: a state_dict, alone or as {"state": ..., "labels": [names of the classes]}."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

State = dict[str, Tensor]


def read_state(path: Path) -> tuple[State, list[str] | None]:
    """(state_dict, labels or None) of a file by torch.save, or of a .safetensors file."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path), None
    content = torch.load(path, map_location="cpu", weights_only=True)
    if "labels" in content:
        return content["state"], list(content["labels"])
    return content, None


def write_state(path: Path, state: State, labels: list[str]) -> None:
    """The inverse, with labels."""
    torch.save({"state": state, "labels": labels}, path)
