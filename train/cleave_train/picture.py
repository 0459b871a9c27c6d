"""From a JPEG to the network's pixels, in integer steps that the C engine repeats bit for bit."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


Level = float | tuple[float, float, float]  # of all channels, or of red, green and blue


@dataclass(frozen=True)
class InputSpec:
    """What the network wants to see: (pixel - mean) / scale; written to the bundle as `input`."""

    width: int = 224
    height: int = 224
    resize_shorter: int = 256
    filter: str = "bicubic"
    mean: Level = 127.0
    scale: Level = 128.0


def by_channel(level: Level) -> list[float]:
    """A level of each channel."""
    return list(level) if isinstance(level, tuple) else [level] * 3


class PictureError(ValueError):
    """The picture cannot be used; the message says why."""


def dct_scale(shorter: int, target: int) -> int:
    """Largest d in {1,2,4,8} that leaves the shorter side at least twice the target (pixels)."""
    return next(d for d in (8, 4, 2, 1) if d == 1 or -(-shorter // d) >= 2 * target)


def open_rgb(jpeg: bytes, spec: InputSpec) -> Image.Image:
    """Decodes, at a reduced DCT scale where the picture is large, and turns upright."""
    image = Image.open(io.BytesIO(jpeg))
    if image.format not in ("JPEG", "MPO"):  # MPO: several JPEGs in one file, the first counts
        raise PictureError(f"not a JPEG but {image.format}")
    if image.mode not in ("RGB", "L"):
        raise PictureError(f"colour space {image.mode} is not supported")
    width, height = image.size
    d = dct_scale(min(width, height), spec.resize_shorter)
    expected = (-(-width // d), -(-height // d))
    if d > 1:
        image.draft(None, (max(width // d, 1), max(height // d, 1)))
    if image.size != expected:
        raise PictureError(f"decoder gave {image.size} at scale 1/{d}, expected {expected}")
    image.info.pop("xmp", None)  # Pillow would turn by XMP too; the engine reads EXIF alone
    return ImageOps.exif_transpose(image).convert("RGB")


def resized_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Size whose shorter side is `shorter`, the longer rounded half up (pixels)."""
    small, large = min(width, height), max(width, height)
    longer = (large * shorter * 2 + small) // (2 * small)
    return (shorter, longer) if width <= height else (longer, shorter)


def load_pixels(jpeg: bytes, spec: InputSpec) -> np.ndarray:
    """The reference pipeline: JPEG bytes -> uint8 [height, width, 3]."""
    image = open_rgb(jpeg, spec)
    width, height = resized_size(*image.size, spec.resize_shorter)
    # Two calls, for Pillow chooses the order of a single one by the picture's shape.
    image = image.resize((width, image.height), FILTERS[spec.filter])
    image = image.resize((width, height), FILTERS[spec.filter])
    left, top = (image.width - spec.width) // 2, (image.height - spec.height) // 2
    return np.asarray(image.crop((left, top, left + spec.width, top + spec.height)))


def random_pixels(jpeg: bytes, spec: InputSpec, rng: np.random.Generator) -> np.ndarray:
    """A training view: random crop of aspect 3:4..4:3, resized to the input, flipped half the time.

    The crop covers at least 35 % of the area, more of small pictures, which would get blurred.
    """
    image = open_rgb(jpeg, spec)
    width, height = image.size
    min_area = min(max((0.7 * spec.width / min(width, height)) ** 2, 0.35), 0.9)
    area = width * height * rng.uniform(min_area, 1.0)
    aspect = float(np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))))
    w = max(1, min(width, round((area * aspect) ** 0.5)))
    h = max(1, min(height, round((area / aspect) ** 0.5)))
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    view = image.resize((spec.width, spec.height), FILTERS[spec.filter], box=(x, y, x + w, y + h))
    if rng.random() < 0.5:
        view = ImageOps.mirror(view)
    return np.asarray(view)
