"""What PyTorch makes of every point of a bundle, to hold against the C engine's answers."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from .bundle import Bundle
from .engine import Answers
from .photos import Photo
from .picture import load_pixels
from .reference import Reference

BATCH = 50


def reference_answers(bundle: Bundle, photos: list[Photo]) -> dict[str, Answers]:
    """Points through PyTorch; rANS frame sizes are ideal code lengths, other codecs' -1.

    Left out are those that send pictures again encoded: libjpeg makes them what they are.
    """
    reference = Reference(bundle)
    points = [p for p in bundle.document["points"] if "quality" not in p]
    parts: dict[str, list[Answers]] = {p["id"]: [] for p in points}
    for start in tqdm(range(0, len(photos), BATCH), desc="reference", unit="batch"):
        jpegs = [photo.read() for photo in photos[start:start + BATCH]]
        x = reference.normalise(np.stack([load_pixels(jpeg, bundle.view) for jpeg in jpegs]))
        ran: dict[str, np.ndarray] = {}
        for point in points:
            graph = reference.first_graph(point)
            if graph not in ran:
                ran[graph] = reference.run(graph, x)
            probabilities = reference.finish(point, ran[graph])
            size = np.zeros(len(jpegs))
            if point["kind"] == "offload":
                size = np.array([len(jpeg) for jpeg in jpegs])
            elif point["kind"] == "split":
                size = reference.frame_bytes(point, ran[graph]) if point["codec"] == "rans" \
                    else size - 1
            if "exit" in point:
                size = np.where(reference.exit(point, ran[graph])[1], 0, size)
            parts[point["id"]].append(Answers(
                np.argsort(-probabilities, axis=1, kind="stable")[:, :5], size,
                probabilities.max(1)))
    return {point: Answers(*(np.concatenate([getattr(part, key) for part in given])
                             for key in ("top", "frame_bytes", "confidence")))
            for point, given in parts.items()}
