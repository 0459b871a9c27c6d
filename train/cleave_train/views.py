"""The pixel cache: random views of every training picture, decoded once and kept on disk.

Row r is one view: uint8 [H,W,3]. The first `held_out` rows are plain views of pictures that are
never trained on. Views of a picture lie one pass apart: first every picture once, then again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .photos import Photo
from .picture import InputSpec, PictureError, by_channel, load_pixels, random_pixels

BATCH = 64


class Folder:
    """Memory-mapped arrays of equal length in one folder, filled from the front.

    `identity` stands for what the rows are made of; a folder filled from anything else is refused.
    """

    def __init__(self, folder: Path, rows: int, layout: dict[str, tuple[tuple[int, ...], type]],
                 identity: str) -> None:
        self.folder, self.rows = folder, rows
        folder.mkdir(parents=True, exist_ok=True)
        self._state = folder / "state.json"
        state = {"identity": identity, "done": 0}
        if self._state.exists():
            state = json.loads(self._state.read_text())
        if state["identity"] != identity:
            raise SystemExit(f"{folder} was filled from other photos or settings; remove it first")
        self.identity, self.done = identity, int(state["done"])
        self.maps = {}
        for name, (shape, kind) in layout.items():
            path = folder / f"{name}.raw"
            mode = "r+" if path.exists() else "w+"
            self.maps[name] = np.memmap(path, kind, mode, shape=(rows, *shape))

    def advance(self, done: int) -> None:
        """Notes that rows below `done` are on disk."""
        self.done = done
        self._state.write_text(json.dumps({"identity": self.identity, "done": done}))


def digest(*parts: object) -> str:
    """16 hexadecimal digits that stand for these values."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()[:16]


def normalise(pixels: np.ndarray, spec: InputSpec, device: torch.device) -> Tensor:
    """uint8 [N,H,W,3] -> float [N,3,H,W], channels last in memory."""
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float()
    mean, scale = (torch.tensor(by_channel(level), device=device).view(3, 1, 1)
                   for level in (spec.mean, spec.scale))
    return (x - mean) / scale


def view_of(photo: Photo, spec: InputSpec, seed: tuple[int, int] | None) -> np.ndarray | None:
    """A plain view, or a random one of this seed; None if the picture cannot be used."""
    try:
        if seed is None:
            return load_pixels(photo.read(), spec)
        return random_pixels(photo.read(), spec, np.random.default_rng(seed))
    except (PictureError, OSError):
        return None


class Views:
    """The views of a list of pictures, and which rows are usable."""

    def __init__(self, folder: Path, held_out: list[Photo], train: list[Photo], views: int,
                 spec: InputSpec, seed: int) -> None:
        self.plan = held_out + train * views
        self.held_out, self.spec, self.seed = len(held_out), spec, seed
        names = "\n".join(photo.name for photo in self.plan)
        layout = {"pixels": ((spec.height, spec.width, 3), np.uint8), "valid": ((), np.uint8)}
        self.store = Folder(folder, len(self.plan), layout, digest(seed, spec, names))

    def _batches(self) -> Iterator[tuple[int, list[np.ndarray | None]]]:
        """(first row, views) from the first row not yet done, decoded two batches ahead."""
        starts = range(self.store.done, self.store.rows, BATCH)
        with ThreadPoolExecutor() as pool:
            def submit(start: int) -> list:
                return [pool.submit(view_of, self.plan[row], self.spec,
                                    None if row < self.held_out else (self.seed, row))
                        for row in range(start, min(start + BATCH, self.store.rows))]
            pending = [submit(start) for start in starts[:2]]
            for i, start in enumerate(starts):
                views = [future.result() for future in pending.pop(0)]
                if i + 2 < len(starts):
                    pending.append(submit(starts[i + 2]))
                yield start, views

    def fill(self) -> None:
        """Decodes the rows that are missing; a picture that cannot be used stays invalid."""
        with tqdm(total=self.store.rows, initial=self.store.done, desc="views",
                  unit="view") as bar:
            for start, views in self._batches():
                for row, view in enumerate(views, start):
                    self.store.maps["valid"][row] = view is not None
                    if view is not None:
                        self.store.maps["pixels"][row] = view
                self.store.advance(start + len(views))
                bar.update(len(views))

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        """uint8 [N,H,W,3] of these rows."""
        return self.store.maps["pixels"][np.asarray(rows)]

    def training_rows(self) -> np.ndarray:
        """Indices of usable training rows."""
        valid = np.flatnonzero(self.store.maps["valid"])
        return valid[valid >= self.held_out]

    def held_out_rows(self) -> np.ndarray:
        """Indices of usable held-out rows."""
        return np.flatnonzero(self.store.maps["valid"][: self.held_out])
