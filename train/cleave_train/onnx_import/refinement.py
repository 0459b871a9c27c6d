"""The recipe that goes on from a plain split: a trained bottleneck in place of the early layers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from ..bundle import Bundle

CHANNELS = (16, 32, 48, 64)  # of the strided convolutions: some 50 MMAC at 224 pixels
SHARES = (1, 1 / 2, 1 / 4)   # of them for networks whose own early layers cost less
LATENT = 32
PIXELS_PER_BYTE = 50         # a fiftieth of the picture's pixels is the payload to aim at

TEMPLATE = """\
# Trains a bottleneck into {file}, by distillation from the network itself; see docs/OWN-MODEL.md.
name = {name}
version = {version}
seed = 1
method = "slimmable"

[input]                 # as the imported bundle has it
{input}

[photos]                # any like those to come; labels are not needed
held_out = 48
views = 2

[[backbone]]
name = {label}
onnx = {onnx}
cut = {cut}             # {shape}: what the decoder restores{labels}

[coder]
variants = ["w50", "w100"]
latent = {latent}
decoder_channels = {decoder}
decoder_blocks = 1
layers = [              # from {picture} to {size}
{layers}
]

[options]
shares = [0.5, 0.5]     # of a step's pictures: widest, narrowest

[[rate]]
name = "base"
bytes = {bytes}
gain = 1.5

[[stage]]
name = "features"       # learn what the network has at the cut
steps = 600             # some thousand, and as many photos as there are, for a model to be used
batch = 32
lr = 2e-3
warmup = 50
rate_ramp = 300
saliency = 1.0

[[stage]]
name = "answers"        # learn what it says
steps = 400
batch = 32
lr = 1e-3
warmup = 20
kl = 1.0
distortion = 0.5
"""


def _toml(value: Any) -> str:
    """A string, number or list of numbers."""
    return json.dumps(value, ensure_ascii=False)


def halvings(picture: tuple[int, int], size: tuple[int, int]) -> int | None:
    """How many strides of 2 with SAME padding lead from one to the other; None if none do."""
    count = 0
    while max(picture) > max(size):
        picture, count = tuple(-(-side // 2) for side in picture), count + 1
    return count if count and picture == size else None


def _macs(plan: list[tuple[int, int]], picture: tuple[int, int]) -> int:
    """Of 3x3 convolutions (stride, channels) and the last one with a stride of 2."""
    height, width, inputs, total = *picture, 3, 0
    for stride, channels in [*plan, (2, LATENT)]:
        height, width = -(-height // stride), -(-width // stride)
        total += height * width * 9 * inputs * channels
        inputs = channels
    return total


def _layers(picture: tuple[int, int], count: int, budget: int) -> list[str]:
    """Encoder layers of this many strides of 2, within a budget of MACs if they can be.

    The last but one keeps the size.
    """
    for share in SHARES:
        wide = [int(share * CHANNELS[min(i, len(CHANNELS) - 1)]) for i in range(count - 1)]
        plan = [*((2, channels) for channels in wide),
                (1, wide[-1] if wide else int(share * CHANNELS[0]))]
        if _macs(plan, picture) <= budget:
            break
    lines = [f'    {{ kind = "conv", kernel = 3, stride = {stride}, '
             f'channels = [{channels // 2}, {channels}] }},' for stride, channels in plan]
    return [*lines, '    { kind = "conv", kernel = 3, stride = 2 },']


def recipe_text(bundle: Bundle, model: Path, labels: Path | None, recipe: Path) -> str:
    """The recipe of a bundle that was imported from `model` and split, to be kept at `recipe`."""
    document = bundle.document
    view, split = document["input"], bundle.point("split-u8")
    height, width, channels = split["latent"]
    picture = view["height"], view["width"]
    count = halvings(picture, (height, width))
    if count is None:
        raise SystemExit(f"no recipe for a split at {height}x{width}: halving {picture[0]}x"
                         f"{picture[1]} does not lead there; another node's size might do")
    folder = recipe.parent

    def found(path: Path) -> str:
        return _toml(Path(os.path.relpath(path, folder)).as_posix())

    return TEMPLATE.format(
        file=model.name, name=_toml(document["name"]), version=_toml(document["version"]),
        input="\n".join(f"{key} = {_toml(value)}" for key, value in view.items()),
        label=_toml(re.sub(r"\W", "_", document["name"])), onnx=found(model),
        cut=_toml(document["provenance"]["split"]), shape=f"{height}x{width}x{channels}",
        labels=f"\nlabels = {found(labels)}" if labels else "",
        decoder=min(96, max(16, channels)), picture=f"{picture[0]}x{picture[1]}",
        size=f"{height}x{width}", latent=LATENT, bytes=picture[0] * picture[1] // PIXELS_PER_BYTE,
        layers="\n".join(_layers(picture, count, split["head_macs"])))
