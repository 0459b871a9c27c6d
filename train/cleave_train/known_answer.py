"""Known answers: inputs made of a seed, kept with what graphs must make of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .bundle import Bundle, fingerprint
from .reference import Reference

SEED, CLASSES, LEAST = 1, 5, 1e-30

# PyTorch and the engine differ by up to 1e-5 in fp32 and less in int8, on every CPU level.
TOLERANCE = 1e-3


def generated_bytes(seed: int, count: int) -> np.ndarray:
    """uint8 [count]: the high bytes of Numerical Recipes' linear congruential generator."""
    made, state = np.empty(count, np.uint8), seed
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2 ** 32
        made[i] = state >> 24
    return made


def picture(bundle: Bundle, seed: int) -> np.ndarray:
    """uint8 [1,h,w,3] of a known answer."""
    shape = 1, bundle.view.height, bundle.view.width, 3
    return generated_bytes(seed, int(np.prod(shape))).reshape(shape)


def latent(shape: list[int], seed: int, shift: int) -> np.ndarray:
    """float32 [1,h,w,c] of a known answer: multiples of 2^-shift from -128 to 127."""
    values = generated_bytes(seed, int(np.prod(shape))).astype(np.float32) - 128
    return (values / np.float32(2 ** shift)).reshape(1, *shape)


def shift_for(values: np.ndarray) -> int:
    """The one by which generated latents reach about as far as these."""
    peak = max(float(np.abs(values).max()), 1e-9)
    return int(np.clip(np.ceil(np.log2(128 / peak)), 0, 30))


def _answer(reference: Reference, point: dict[str, Any]) -> dict[str, Any]:
    """Of the graph that gives a point's classes."""
    pixels, shift = reference.normalise(picture(reference.bundle, SEED)), 0
    if point["kind"] == "split":
        shift = shift_for(reference.run(point["head"], pixels))
        answer = reference.run(point["tail"], latent(point["latent"], SEED, shift))
    else:
        answer = reference.run(point["graph"], pixels)
    probabilities = answer[0, 0, 0]
    best = [int(i) for i in np.argsort(-probabilities, kind="stable")[:CLASSES]
            if probabilities[i] >= LEAST]
    return {"seed": SEED, "shift": shift, "tolerance": TOLERANCE,
            "top": [[i, float(f"{probabilities[i]:.7g}")] for i in best]}


def add_known_answers(bundle: Bundle) -> None:
    """Gives each graph that a server answers by its known answer, by PyTorch; replaces old ones.

    The fingerprint stays: they say what the model computes, and change nothing of it.
    """
    reference = Reference(bundle)
    firsts = {point.get("tail", point.get("graph")): point
              for point in reversed(bundle.document["points"]) if point["kind"] != "local"}
    for name, point in firsts.items():
        bundle.document["graphs"][name]["known_answer"] = _answer(reference, point)


def seal(bundle: Bundle) -> None:
    """The last step of what makes a model: its fingerprint and its known answers."""
    bundle.document["fingerprint"] = fingerprint(bundle)
    add_known_answers(bundle)
