"""The recipe: everything that decides a training run, read from one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .picture import InputSpec


@dataclass(frozen=True)
class Photos:
    """Which pictures are used and how many views of each are cached."""

    exclude: tuple[str, ...]
    held_out: int
    views: int
    trunk_fit: int


@dataclass(frozen=True)
class Bottleneck:
    """Channels of the trained parts; `narrow` is the share that the quarter width uses."""

    mid: int
    latent: int
    narrow: float
    decoder_channels: int
    decoder_blocks: int


@dataclass(frozen=True)
class Rate:
    """One (width, rate) pair: mean payload target in bytes and the gain to start from."""

    width: float
    name: str
    bytes: float
    gain: float

    @property
    def key(self) -> str:
        """Name of its parameters and prior, such as w100-high."""
        return f"{width_name(self.width)}-{self.name}"


@dataclass(frozen=True)
class Stage:
    """One phase of training; `kl` weighs the divergence to the teacher."""

    name: str
    steps: int
    batch: int
    lr: float
    warmup: int
    rate_ramp: int
    kl: float


@dataclass(frozen=True)
class Recipe:
    """A whole run."""

    name: str
    version: str
    seed: int
    input: InputSpec
    photos: Photos
    bottleneck: Bottleneck
    rates: tuple[Rate, ...]
    stages: tuple[Stage, ...]

    @property
    def widths(self) -> list[float]:
        """Widths in ascending order."""
        return sorted({rate.width for rate in self.rates})


def width_name(width: float) -> str:
    """0.25 -> w25."""
    return f"w{round(width * 100)}"


def trunk_name(width: float) -> str:
    """Which of the two frozen trunks this width uses."""
    return "full" if width == 1.0 else "narrow"


def load_recipe(path: Path) -> Recipe:
    """Reads a TOML recipe; unknown or missing keys are errors."""
    with path.open("rb") as file:
        doc = tomllib.load(file)
    photos = doc["photos"]
    return Recipe(
        name=doc["name"],
        version=doc["version"],
        seed=doc["seed"],
        input=InputSpec(**doc["input"]),
        photos=Photos(**{**photos, "exclude": tuple(photos["exclude"])}),
        bottleneck=Bottleneck(**doc["bottleneck"]),
        rates=tuple(Rate(**rate) for rate in doc["rate"]),
        stages=tuple(Stage(**stage) for stage in doc["stage"]),
    )
