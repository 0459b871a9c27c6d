"""Names of classes, and which class the folder of a picture stands for."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _lines() -> tuple[tuple[str, str], ...]:
    text = files("cleave_train").joinpath("labels.txt").read_text()
    return tuple((line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines())


def imagenet_labels() -> list[str]:
    """Short names of the 1000 classes in index order."""
    return [name for _, name in _lines()]


def synsets() -> list[str]:
    """Synset ids in index order."""
    return [synset for synset, _ in _lines()]


def truth_index(labels: list[str], folder: str) -> int:
    """The class of pictures in a folder of this name: a label, or ImageNet's synset id."""
    names = synsets() if labels == imagenet_labels() else labels
    if folder not in names:
        raise SystemExit(f"folder {folder!r} is none of the bundle's {len(labels)} classes")
    return names.index(folder)
