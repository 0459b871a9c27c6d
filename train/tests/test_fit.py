"""Training can be interrupted anywhere and ends the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cleave_train import fit
from cleave_train.fit import Trainer, learning_rate, target_bytes
from cleave_train.prepare import Prepared
from cleave_train.recipe import Recipe

CPU = torch.device("cpu")


def test_resumed_run_equals_uninterrupted(tmp_path: Path, recipe: Recipe, prepared: Prepared,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "SAVE_EVERY", 3)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    straight.mkdir()
    broken.mkdir()
    whole = Trainer(recipe, straight, prepared, CPU)
    whole.fit()

    first = Trainer(recipe, broken, prepared, CPU)
    losses = first._losses

    def failing(rows, stage, step):
        if first.step == 5:
            raise KeyboardInterrupt
        return losses(rows, stage, step)

    monkeypatch.setattr(first, "_losses", failing)
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    second = Trainer(recipe, broken, prepared, CPU)
    assert second.step == 4  # the end of the first stage is always saved
    second.fit()

    assert second.step == whole.step == 8
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    assert whole.control.log_weight == second.control.log_weight


def test_schedules(recipe: Recipe) -> None:
    stage, rate = recipe.stages[0], recipe.rates[0]
    assert learning_rate(stage, 0) == pytest.approx(stage.lr / 2)
    assert learning_rate(stage, stage.steps) == pytest.approx(stage.lr / 100)
    assert target_bytes(rate, stage, 0) == pytest.approx(3 * rate.bytes)
    assert target_bytes(rate, stage, stage.rate_ramp) == rate.bytes
