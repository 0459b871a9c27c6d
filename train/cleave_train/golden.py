"""Golden data for the C tests: the tiny model, hard JPEGs with their pixels, default answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from .bundle import load_bundle
from .photos import find_photos
from .picture import InputSpec, load_pixels
from .reference import Reference
from .tiny import write_tiny
from .tiny_operators import write_operators

SPECS = {
    "bicubic256": InputSpec(resize_shorter=256, filter="bicubic"),
    "bilinear230": InputSpec(resize_shorter=230, filter="bilinear"),
}
RAW = "coffee.jpg"  # this picture's pixels are stored too, so that a difference can be looked at

# name -> (sample, size in pixels or None, EXIF orientation, encoder options)
PICTURES: dict[str, tuple[str, tuple[int, int] | None, int, dict]] = {
    "coffee.jpg": ("coffee", None, 1, {"quality": 80}),
    "grey.jpg": ("photographer", (387, 301), 1, {"quality": 80}),
    "progressive.jpg": ("rocket", None, 1, {"quality": 75, "progressive": True}),
    "odd444.jpg": ("flower", (333, 511), 1, {"quality": 85, "subsampling": "4:4:4"}),
    "odd422.jpg": ("palace", (417, 259), 1, {"quality": 80, "subsampling": "4:2:2"}),
    "small.jpg": ("cat", (53, 37), 1, {"quality": 90}),
    "line.jpg": ("cat", (160, 5), 1, {"quality": 90}),
    "half.jpg": ("coffee", (1603, 1069), 1, {"quality": 35}),
    "quarter.jpg": ("cat", (3075, 2047), 1, {"quality": 15}),
    **{f"orientation{i}.jpg": ("cat", (301, 227), i, {"quality": 70}) for i in range(2, 9)},
}


def write_pictures(samples: Path, folder: Path) -> None:
    """JPEGs (made once from the samples) and pictures.json with what they must become."""
    folder.mkdir(parents=True, exist_ok=True)
    expected: dict[str, dict[str, str]] = {}
    for name, (sample, size, orientation, options) in PICTURES.items():
        path = folder / name
        if not path.exists():
            image = Image.open(samples / f"{sample}.jpg")
            if size:
                image = image.resize(size, Image.Resampling.LANCZOS)
            exif = Image.Exif()
            exif[0x0112] = orientation
            image.save(path, "JPEG", exif=exif.tobytes(), **options)
        pixels = {key: load_pixels(path.read_bytes(), spec) for key, spec in SPECS.items()}
        expected[name] = {key: hashlib.sha256(p.tobytes()).hexdigest()
                          for key, p in pixels.items()}
        if name == RAW:
            (folder / "coffee.bicubic256.rgb").write_bytes(pixels["bicubic256"].tobytes())
    (folder / "pictures.json").write_text(json.dumps({
        "about": "SHA-256 of the 224x224x3 RGB bytes: resize the shorter side, crop the centre",
        "pictures": expected}, indent=1) + "\n")


def write_answers(bundle_path: Path, samples: Path, path: Path) -> None:
    """Top five of each sample photo by each point, from the reference executor."""
    reference = Reference(load_bundle(bundle_path))
    photos = find_photos([samples])
    pixels = np.stack([load_pixels(photo.read(), reference.bundle.view) for photo in photos])
    answers: dict[str, dict] = {photo.path.name: {} for photo in photos}
    for point in reference.bundle.document["points"]:
        for photo, probabilities in zip(photos, reference.classify(point, pixels)):
            top = np.argsort(-probabilities, kind="stable")[:5]
            answers[photo.path.name][point["id"]] = {
                "top": top.tolist(),
                "probability": [round(float(probabilities[i]), 6) for i in top]}
    path.write_text(json.dumps({"fingerprint": reference.bundle.document["fingerprint"],
                                "pictures": answers}, indent=1) + "\n")


def write_golden(folder: Path, bundle: Path, samples: Path) -> None:
    """Everything below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tiny(folder)
    write_operators(folder)
    write_pictures(samples, folder / "pictures")
    write_answers(bundle, samples, folder / "default_golden.json")
