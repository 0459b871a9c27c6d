"""Known answers: the generator, what is stored, and that the engine keeps to it."""

from __future__ import annotations

import numpy as np

from cleave_train.bundle import fingerprint
from cleave_train.int8.quantize import quantize_bundle
from cleave_train.known_answer import (
    CLASSES,
    SEED,
    TOLERANCE,
    add_known_answers,
    generated_bytes,
    latent,
    picture,
    shift_for,
)
from cleave_train.reference import Reference
from cleave_train.tiny import SIZE, tiny_bundle


def test_generator() -> None:
    assert generated_bytes(1, 6).tolist() == [60, 94, 129, 180, 12, 94]
    values = latent([2, 3, 1], 1, 3)
    assert values.shape == (1, 2, 3, 1) and values.dtype == np.float32
    assert values.ravel().tolist() == [(b - 128) / 8 for b in (60, 94, 129, 180, 12, 94)]


def test_latents_reach_as_far_as_real_ones() -> None:
    for peak, shift in ((128, 0), (1e6, 0), (2, 6), (1.9, 7), (1e-30, 30)):
        assert shift_for(np.float32([0, -peak])) == shift


def test_what_a_server_runs_has_an_answer() -> None:
    bundle = tiny_bundle()
    graphs, before = bundle.document["graphs"], bundle.document["fingerprint"]
    assert {name for name in graphs if "known_answer" in graphs[name]} == \
        {"full", "tail/w50", "tail/w100"}
    assert fingerprint(bundle) == before
    known = graphs["full"]["known_answer"]
    assert (known["seed"], known["tolerance"], len(known["top"])) == (SEED, TOLERANCE, CLASSES)
    pixels = picture(bundle, SEED)
    assert pixels.shape == (1, SIZE, SIZE, 3)
    probabilities = Reference(bundle).classify(bundle.point("offload"), pixels)[0]
    for index, probability in known["top"]:
        np.testing.assert_allclose(probabilities[index], probability, rtol=1e-6)
    assert known["top"][0][0] == probabilities.argmax()


def test_answers_follow_the_weights() -> None:
    bundle = tiny_bundle()
    graphs = bundle.document["graphs"]
    before = {name: graphs[name].get("known_answer") for name in graphs}
    bundle.tensors["w100.reduce.scale"] *= 2
    add_known_answers(bundle)
    assert graphs["full"]["known_answer"] != before["full"]
    pixels = np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    before = graphs["tail/w100"]["known_answer"]
    quantize_bundle(bundle, ["tail/w100"], pixels)
    assert graphs["tail/w100"]["known_answer"] != before
