"""Runs the frozen backbone once over every picture and keeps what training needs on disk.

A row is one view of one picture: both trunks' outputs as uint8 (one affine per channel), the
features after block 7 in fp16 and the teacher's logits in fp16: about 184 kB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .backbone import Lite0
from .photos import Photo
from .picture import InputSpec, PictureError, load_pixels, random_pixels
from .trunk import TRUNK_BLOCKS, NarrowTrunk

TARGET_BLOCKS = 8
BATCH = 64
SPREAD = 7.0  # uint8 covers mean -+ SPREAD standard deviations

LAYOUT = {  # file -> row shape, type
    "full": ((56, 56, 24), np.uint8),
    "narrow": ((56, 56, 24), np.uint8),
    "target": ((14, 14, 80), np.float16),
    "logits": ((1000,), np.float16),
    "valid": ((), np.uint8),
}


def normalise(pixels: np.ndarray, spec: InputSpec, device: torch.device) -> Tensor:
    """uint8 [N,H,W,3] -> float [N,3,H,W], channels last in memory."""
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()
    return (x - spec.mean) / spec.scale


@dataclass
class Rows:
    """One batch in fp32, channels first: trunk outputs by width, features, teacher logits."""

    trunk: dict[str, Tensor]
    target: Tensor
    logits: Tensor


class Cache:
    """The memory-mapped files in one folder; the first `held_out` rows are plain views.

    `identity` stands for what the rows are made of; a folder filled with others is refused.
    """

    def __init__(self, folder: Path, rows: int, held_out: int, identity: str = "") -> None:
        self.folder, self.rows, self.held_out = folder, rows, held_out
        folder.mkdir(parents=True, exist_ok=True)
        self.state_path = folder / "state.json"
        self.state = json.loads(self.state_path.read_text()) if self.state_path.exists() else {
            "identity": identity, "done": 0, "affine": {}}
        if self.state["identity"] != identity:
            raise SystemExit(f"{folder} was filled from other photos or settings; remove it first")
        self.maps = {}
        for name, (shape, kind) in LAYOUT.items():
            path = folder / f"{name}.raw"
            mode = "r+" if path.exists() else "w+"
            self.maps[name] = np.memmap(path, kind, mode, shape=(rows, *shape))

    def save_state(self) -> None:
        """Writes progress after a batch is on disk."""
        self.state_path.write_text(json.dumps(self.state))

    def _affine(self, name: str, device: torch.device) -> tuple[Tensor, Tensor]:
        low, step = self.state["affine"][name]
        shape = (1, -1, 1, 1)
        return (torch.tensor(low, device=device).view(shape),
                torch.tensor(step, device=device).view(shape))

    def pack(self, name: str, x: Tensor) -> np.ndarray:
        """Trunk output [N,24,56,56] -> uint8 [N,56,56,24]; the first call fixes the affine."""
        if name not in self.state["affine"]:
            std, mean = torch.std_mean(x.float(), (0, 2, 3))
            low, step = mean - SPREAD * std, 2 * SPREAD * std / 255
            self.state["affine"][name] = [low.tolist(), step.tolist()]
        low, step = self._affine(name, x.device)
        q = ((x.float() - low) / step).round_().clamp_(0, 255).byte()
        return q.permute(0, 2, 3, 1).cpu().numpy()

    def training_rows(self) -> np.ndarray:
        """Indices of usable training rows."""
        valid = np.flatnonzero(self.maps["valid"][: self.state["done"]])
        return valid[valid >= self.held_out]

    def held_out_rows(self) -> np.ndarray:
        """Indices of usable held-out rows."""
        return np.flatnonzero(self.maps["valid"][: self.held_out])

    def read(self, rows: np.ndarray, device: torch.device) -> Rows:
        """Rows in the given order."""
        rows = np.asarray(rows)

        def tensor(name: str) -> Tensor:
            return torch.from_numpy(self.maps[name][rows]).to(device)

        trunk = {}
        for name in ("full", "narrow"):
            low, step = self._affine(name, device)
            trunk[name] = tensor(name).permute(0, 3, 1, 2).float() * step + low
        return Rows(trunk, tensor("target").permute(0, 3, 1, 2).float(), tensor("logits").float())


def _view(photo: Photo, row: int, plain: bool, spec: InputSpec, seed: int) -> np.ndarray | None:
    try:
        if plain:
            return load_pixels(photo.read(), spec)
        return random_pixels(photo.read(), spec, np.random.default_rng((seed, row)))
    except (PictureError, OSError):
        return None


def _batches(plan: list[Photo], cache: Cache, spec: InputSpec,
             seed: int) -> Iterator[tuple[int, list[np.ndarray | None]]]:
    """(first row, views) from the first row not yet done, decoded two batches ahead."""
    starts = range(cache.state["done"], cache.rows, BATCH)
    with ThreadPoolExecutor(2) as pool:
        def submit(start: int) -> list:
            return [pool.submit(_view, plan[row], row, row < cache.held_out, spec, seed)
                    for row in range(start, min(start + BATCH, cache.rows))]
        pending = [submit(start) for start in starts[:2]]
        for i, start in enumerate(starts):
            views = [future.result() for future in pending.pop(0)]
            if i + 2 < len(starts):
                pending.append(submit(starts[i + 2]))
            yield start, views


@torch.inference_mode()
def fill_cache(cache: Cache, plan: list[Photo], net: Lite0, narrow: NarrowTrunk, spec: InputSpec,
               seed: int, device: torch.device) -> None:
    """Computes the rows that are missing; plan[row] is the row's picture."""
    blank = np.zeros((spec.height, spec.width, 3), np.uint8)
    with tqdm(total=cache.rows, initial=cache.state["done"], desc="cache", unit="view") as bar:
        for start, views in _batches(plan, cache, spec, seed):
            rows = slice(start, start + len(views))
            pixels = np.stack([blank if view is None else view for view in views])
            with torch.autocast(device.type, torch.bfloat16):
                x = normalise(pixels, spec, device)
                full = net.trunk(x, TRUNK_BLOCKS)
                target = full
                for block in net.blocks[TRUNK_BLOCKS:TARGET_BLOCKS]:
                    target = block(target)
                logits = net.tail(target, TARGET_BLOCKS)
                slim = narrow(x)
            cache.maps["full"][rows] = cache.pack("full", full)
            cache.maps["narrow"][rows] = cache.pack("narrow", slim)
            cache.maps["target"][rows] = target.permute(0, 2, 3, 1).half().cpu().numpy()
            cache.maps["logits"][rows] = logits.half().cpu().numpy()
            cache.maps["valid"][rows] = [view is not None for view in views]
            cache.state["done"] = start + len(views)
            cache.save_state()
            bar.update(len(views))
