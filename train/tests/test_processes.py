"""Two processes over gloo train one model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cleave_train.processes import Processes, joined_processes, mean_over_processes, own_device

TESTS = Path(__file__).parent
RECIPE = """
name = "tiny"
version = "1"
seed = 1
method = "slimmable"
[input]
width = 32
height = 32
resize_shorter = 36
[photos]
held_out = 4
views = 1
[[backbone]]
name = "torch_models:tiny_resnet"
cut = "layer1"
[coder]
variants = ["w50", "w100"]
latent = 4
decoder_channels = 8
decoder_blocks = 1
layers = [
    { kind = "conv", kernel = 3, stride = 2, channels = [4, 8] },
    { kind = "separable", kernel = 3 },
    { kind = "conv", kernel = 3, stride = 2 },
]
[options]
shares = [0.5, 0.5]
[[rate]]
name = "low"
bytes = 40
gain = 1.0
[[rate]]
name = "high"
bytes = 80
gain = 2.0
[[stage]]
name = "distill"
steps = 25
batch = 16
lr = 1e-3
kl = 1.0
"""


def test_shares_are_equal() -> None:
    rows = np.arange(11)
    shares = [Processes(rank, 3).share(rows) for rank in range(3)]
    assert [list(share) for share in shares] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert list(Processes().share(rows)) == list(rows)


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes(torch.device("cpu")) as processes:
        processes.wait()
        assert processes == Processes(0, 1) and processes.first
    assert mean_over_processes(torch.tensor(3.0)) == 3
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert own_device("cuda").index == 2 and own_device("cpu") == torch.device("cpu")


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    rng = np.random.default_rng(1)
    for i in range(28):
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), np.uint8)).save(photos / f"{i}.jpg")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    environment = os.environ | {"PYTHONPATH": f"{TESTS.parent}:{TESTS}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--",
         str(TESTS / "processes_worker.py"), "fit", "--recipe", str(tmp_path / "recipe.toml"),
         "--photos", str(photos), "--run", str(run), "--device", "cpu"],
        env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]

    first, second = (json.loads((run / f"rank{i}.json").read_text()) for i in range(2))
    assert first["count"] == second["count"] == 2
    for key in ("sum", "norm", "control"):  # every process holds the same model
        assert first[key] == second[key], key
    # Without noise and batch statistics, halves of a batch give the whole batch's gradient, up to
    # bfloat16's rounding. In training each process normalises by its own half.
    assert first["error"] < 0.01 and second["error"] < 0.01
    assert torch.load(run / "checkpoint.pt", weights_only=True)["stage"] == 1
    lines = (run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [25]  # written once, not twice
    assert done.stdout.count('"held_out"') == 1
    assert done.stderr.count("views:   0%") == 1  # and so are the caches filled
