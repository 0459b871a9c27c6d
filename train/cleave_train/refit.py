"""Fits a bundle's priors to pictures: the same network and the same answers in fewer bytes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
from tqdm import tqdm

from .bundle import Bundle, fingerprint
from .entropy import build_tables
from .photos import Photo
from .picture import InputSpec
from .reference import Reference
from .views import view_of

BATCH = 32


def usable_pixels(photos: Iterable[Photo], spec: InputSpec, count: int) -> np.ndarray:
    """uint8 [N,h,w,3] of the first `count` photos that can be used."""
    views: list[np.ndarray] = []
    for photo in photos:
        if len(views) == count:
            break
        view = view_of(photo, spec, None)
        if view is not None:
            views.append(view)
    return np.stack(views)


def refit_priors(bundle: Bundle, pixels: np.ndarray) -> None:
    """Replaces the tables of every prior by such as fit pictures uint8 [N,h,w,3]; gains stay.

    The fingerprint changes with the tables: devices must fetch the head anew.
    """
    reference, points = Reference(bundle), bundle.document["points"]
    rans = [p for p in points if p.get("codec") == "rans"]
    symbols: dict[str, list[np.ndarray]] = {p["prior"]: [] for p in rans}
    for start in tqdm(range(0, len(pixels), BATCH), desc="latents", unit="batch"):
        x = reference.normalise(pixels[start:start + BATCH])
        latents = {head: reference.run(head, x) for head in {p["head"] for p in rans}}
        for point in {p["prior"]: p for p in rans}.values():
            symbols[point["prior"]].append(
                reference.quantise(point["prior"], latents[point["head"]]))
    for key, parts in symbols.items():
        for part, array in build_tables(np.concatenate(parts)).items():
            name = f"prior.{key}.{part}"
            bundle.tensors[name] = array
            bundle.document["priors"][key][part] = name
    bundle.document["provenance"]["priors_fitted_to"] = {
        "pictures": len(pixels), "date": date.today().isoformat()}
    bundle.document["fingerprint"] = fingerprint(bundle)
