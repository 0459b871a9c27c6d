"""Networks that many people use, imported from ONNX and run by the C engine.

Small by default; with CLEAVE_FULL_NETWORKS=1 at their published sizes.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx_models import FULL, NETWORKS, SMALL, export_onnx, random_network

from cleave_train.bundle import Bundle, save_bundle
from cleave_train.engine import write_ppm
from cleave_train.int8.quantize import quantize_bundle
from cleave_train.onnx_import.agreement import run_onnx
from cleave_train.onnx_import.importer import Request, build_bundle
from cleave_train.onnx_import.read import read_onnx
from cleave_train.reference import Reference

SIZE = FULL if os.environ.get("CLEAVE_FULL_NETWORKS") else SMALL
TOLERANCE = 1e-4  # of the largest logit; measured: 4e-6
# Networks of nothing but exact int8 nodes; where fp32 ones stand between, their last bits can tip
# a code, and the codes behind it.
EXACT = ("resnet18", "resnet50", "mobilenet_v2", "efficientnet_lite0", "squeezenet1_1")
needs_engine = pytest.mark.skipif("CLEAVE_EVAL" not in os.environ,
                                  reason="CLEAVE_EVAL names no cleave-eval")


def pictures(count: int, pixels: int) -> np.ndarray:
    """uint8 [count,pixels,pixels,3] of coarse random squares."""
    coarse = np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(-(-pixels // 8), 1).repeat(-(-pixels // 8), 2)[:, :pixels, :pixels]


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Logits up to what softmax forgets."""
    logs = np.log(probabilities)
    return logs - logs.mean()


def engine_probabilities(bundle: Bundle, folder: Path, point: str, seen: np.ndarray) -> list:
    """(classes, probabilities) of the five most probable classes of each picture."""
    save_bundle(bundle, folder / "bundle.safetensors")
    files = [folder / f"{i}.ppm" for i in range(len(seen))]
    for file, one in zip(files, seen):
        write_ppm(file, one)
    run = subprocess.run([os.environ["CLEAVE_EVAL"], folder / "bundle.safetensors", point],
                         input="".join(f"{file}\n" for file in files), capture_output=True,
                         text=True, check=True)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return [(line["top"], np.array(line["probability"])) for line in lines]


@needs_engine
@pytest.mark.parametrize("name", NETWORKS)
def test_engine_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    path = export_onnx(random_network(name, SIZE), SIZE.pixels, tmp_path / f"{name}.onnx")
    bundle = build_bundle(Request(path))  # compares all outputs of PyTorch's run itself
    seen, source = pictures(3, SIZE.pixels), read_onnx(path)
    answers = engine_probabilities(bundle, tmp_path, "offload", seen)
    normalised = Reference(bundle).normalise(seen)
    for x, (top, probabilities) in zip(normalised, answers):
        logits = run_onnx(path, source, x[None]).astype(np.float64)
        wanted = np.exp(logits - logits.max())
        wanted = (wanted / wanted.sum())[top]
        assert np.abs(logits).max() > 0.05, "a network that says nothing tests nothing"
        expected, got = log_odds(wanted), log_odds(probabilities)
        assert np.abs(got - expected).max() <= TOLERANCE * np.abs(logits).max()


@needs_engine
@pytest.mark.parametrize("opset", [11, 13, 20])
@pytest.mark.parametrize("name", ["convnext_tiny", "mobilenet_v3_large"])
def test_older_and_newer_exports_say_the_same(name: str, opset: int, tmp_path: Path) -> None:
    """Layer norms and activations are written out in old ones."""
    model = random_network(name, SMALL)
    kinds = []
    for version in (17, opset):
        path = export_onnx(model, SMALL.pixels, tmp_path / f"{version}.onnx", version)
        nodes = build_bundle(Request(path)).document["graphs"]["full"]["nodes"]
        kinds.append([(node["op"], node.get("act")) for node in nodes])
    assert kinds[0] == kinds[1]


@needs_engine
@pytest.mark.parametrize("name", NETWORKS)
def test_engine_agrees_in_int8(name: str, tmp_path: Path) -> None:
    path = export_onnx(random_network(name, SMALL), SMALL.pixels, tmp_path / f"{name}.onnx")
    bundle, seen = build_bundle(Request(path)), pictures(12, SMALL.pixels)
    quantize_bundle(bundle, ["full"], seen)
    wanted = Reference(bundle).classify(bundle.point("local"), seen)
    for (top, given), row in zip(engine_probabilities(bundle, tmp_path, "local", seen), wanted):
        np.testing.assert_allclose(given, row[top], atol=1e-6 if name in EXACT else 5e-3)
