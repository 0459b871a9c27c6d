"""Finds JPEGs in folders and .tar files and reads them by position."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Photo:
    """A JPEG: a file, or `size` bytes at `offset` of a tar file. `name` is its relative path."""

    name: str
    path: Path
    offset: int = 0
    size: int = -1

    def read(self) -> bytes:
        """The JPEG's bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    @property
    def folder(self) -> str:
        """Name of the folder that holds it: its class where pictures are sorted by class."""
        return self.name.rsplit("/", 2)[-2]


def find_photos(paths: Iterable[Path], exclude: Iterable[str] = ()) -> list[Photo]:
    """All JPEGs below the folders and inside the tar files, sorted by name."""
    found: list[Photo] = []
    for path in paths:
        if path.is_dir():
            found += [Photo(f"{path.name}/{p.relative_to(path).as_posix()}", p)
                      for p in path.rglob("*")]
        else:
            with tarfile.open(path) as tar:
                found += [Photo(f"{path.stem}/{m.name}", path, m.offset_data, m.size)
                          for m in tar if m.isfile()]
    patterns = tuple(exclude)
    return sorted(
        (p for p in found if p.name.lower().endswith(SUFFIXES)
         and not any(fnmatch(p.name, pattern) for pattern in patterns)),
        key=lambda p: p.name)


def split_photos(photos: list[Photo], held_out: int, seed: int) -> tuple[list[Photo], list[Photo]]:
    """A seeded shuffle, cut into (held out, training)."""
    order = np.random.default_rng(seed).permutation(len(photos))
    shuffled = [photos[i] for i in order]
    return shuffled[:held_out], shuffled[held_out:]
