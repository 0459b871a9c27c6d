"""The recipe: everything that decides a training run, read from one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from .picture import InputSpec


@dataclass(frozen=True)
class Photos:
    """Which pictures are used and how many views of each are cached."""

    held_out: int
    views: int
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackboneSpec:
    """A backbone, and the mark of the value that a decoder restores.

    `name` is a built-in one or "package.module:callable", which is called with `kwargs`. `weights`
    is the file of its state, `classifier` that of a last layer for other classes. With `onnx`, a
    file that holds the whole network, the name is free, and `labels` is a file of the classes'
    names. A recipe's files are found from its own folder.
    """

    FILES: ClassVar = ("weights", "classifier", "onnx", "labels")

    name: str
    cut: str
    weights: str = ""
    classifier: str = ""
    kwargs: dict[str, Any] = field(default_factory=dict)
    onnx: str = ""
    labels: str = ""

    @property
    def label(self) -> str:
        """The name without its module, fit for one of torch's."""
        return self.name.rpartition(":")[2].replace(".", "_")

    def found_from(self, folder: Path) -> BackboneSpec:
        """With paths of its files that go through the recipe's folder."""
        return self._with_files(lambda file: str(folder / file))

    def without_folders(self) -> BackboneSpec:
        """With the names of its files alone: what others may know of them."""
        return self._with_files(lambda file: Path(file).name)

    def _with_files(self, change: Callable[[str], str]) -> BackboneSpec:
        paths = {key: getattr(self, key) for key in self.FILES}
        return replace(self, **{key: change(file) for key, file in paths.items() if file})


@dataclass(frozen=True)
class LayerSpec:
    """One layer of an encoder; `channels` by variant, in the order of the variants.

    Of an inverted residual block they are the hidden ones, and every variant has all `outputs`.
    """

    kind: str
    kernel: int
    stride: int = 1
    channels: tuple[int, ...] = ()
    outputs: int = 0


@dataclass(frozen=True)
class Coder:
    """Shape of what is trained: variants, encoder layers, latent channels, decoder."""

    variants: tuple[str, ...]
    layers: tuple[LayerSpec, ...]
    latent: int
    decoder_channels: int
    decoder_blocks: int


@dataclass(frozen=True)
class Rate:
    """One rate tier: mean payload target in bytes and the gain to start from."""

    name: str
    bytes: float
    gain: float


@dataclass(frozen=True)
class Stage:
    """One phase of training.

    `distortion` weighs the features' error, `kl` the divergence to the teacher, `saliency` how much
    salient positions count beyond the others, `imitation` the latent's error against the trunk's
    where the method has a trunk. `train` names what learns: encoder, decoder, tail, exit;
    `variants` those that take part, all of them if it is empty.
    """

    name: str
    steps: int
    batch: int
    lr: float
    warmup: int = 0
    rate_ramp: int = 0
    distortion: float = 1.0
    kl: float = 0.0
    saliency: float = 0.0
    imitation: float = 0.0
    train: tuple[str, ...] = ("encoder", "decoder")
    variants: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExitSpec:
    """An exit behind a point's head: from which probability on its answer stays there."""

    threshold: float


@dataclass(frozen=True)
class PointSpec:
    """A split operating point to export: a variant at a tier, or at what tier meets `bytes`.

    Tier 1.5 lies halfway between tiers 1 and 2; `bytes` is the mean frame on held-out pictures.
    Where not given, `codec` (rans, or u8zstd, which has no tiers) is the method's and `backbone`
    the first one. An `exit` needs one that was trained on the variant.
    """

    id: str
    variant: str
    tier: float = 0.0
    bytes: float | None = None
    codec: str = ""
    backbone: str = ""
    exit: ExitSpec | None = None


@dataclass(frozen=True)
class Recipe:
    """A whole run; `options` are the method's own, without `points` all there are get exported."""

    name: str
    version: str
    seed: int
    method: str
    input: InputSpec
    photos: Photos
    backbones: tuple[BackboneSpec, ...]
    coder: Coder
    rates: tuple[Rate, ...]
    stages: tuple[Stage, ...]
    points: tuple[PointSpec, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value
            for key, value in table.items()}


def _point(table: dict[str, Any]) -> PointSpec:
    early = table.get("exit")
    return PointSpec(**{**table, "exit": None if early is None else ExitSpec(**early)})


def parse_recipe(doc: dict[str, Any]) -> Recipe:
    """A recipe from its TOML document; unknown or missing keys are errors."""
    coder = dict(doc["coder"])
    layers = tuple(LayerSpec(**_tuples(layer)) for layer in coder.pop("layers"))
    return Recipe(
        name=doc["name"], version=doc["version"], seed=doc["seed"], method=doc["method"],
        input=InputSpec(**_tuples(doc["input"])),
        photos=Photos(**_tuples(doc["photos"])),
        backbones=tuple(BackboneSpec(**backbone) for backbone in doc["backbone"]),
        coder=Coder(layers=layers, **_tuples(coder)),
        rates=tuple(Rate(**rate) for rate in doc.get("rate", [])),
        stages=tuple(Stage(**_tuples(stage)) for stage in doc["stage"]),
        points=tuple(_point(point) for point in doc.get("point", [])),
        options=doc.get("options", {}),
    )


def load_recipe(path: Path) -> Recipe:
    """Reads a TOML recipe."""
    with path.open("rb") as file:
        recipe = parse_recipe(tomllib.load(file))
    backbones = tuple(backbone.found_from(path.parent) for backbone in recipe.backbones)
    return replace(recipe, backbones=backbones)
