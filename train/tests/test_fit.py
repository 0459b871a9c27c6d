"""Training can be interrupted anywhere and ends the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cleave_train import fit
from cleave_train.fit import Trainer, learning_rate
from cleave_train.methods.base import target_bytes
from cleave_train.prepare import Prepared
from cleave_train.recipe import Recipe, Stage

CPU = torch.device("cpu")


def test_resumed_run_equals_uninterrupted(tmp_path: Path, recipe: Recipe, prepared: Prepared,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Across the end of a stage, and within one that trains tails of the bundle's own."""
    monkeypatch.setattr(fit, "SAVE_EVERY", 3)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    straight.mkdir()
    broken.mkdir()
    whole = Trainer(recipe, straight, prepared, CPU)
    whole.fit()
    assert whole.steps_done == 8

    step = Trainer._train_step
    for stop, resumes_at in ((5, 4), (8, 7)):  # the end of a stage is always saved
        trainer = Trainer(recipe, broken, prepared, CPU)

        def failing(self, wrapped, batch, stage, stop=stop):
            if self.steps_done == stop - 1:
                raise KeyboardInterrupt
            return step(self, wrapped, batch, stage)

        monkeypatch.setattr(Trainer, "_train_step", failing)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit()
        monkeypatch.setattr(Trainer, "_train_step", step)
        assert Trainer(recipe, broken, prepared, CPU).steps_done == resumes_at
    last = Trainer(recipe, broken, prepared, CPU)
    last.fit()

    resumed = last.model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed[name]), name
    assert whole.method.control.log_weight == last.method.control.log_weight


def test_tails_learn_from_published_weights(tmp_path: Path, recipe: Recipe,
                                            prepared: Prepared) -> None:
    trainer = Trainer(recipe, tmp_path, prepared, CPU)
    trainer.fit()
    tail = trainer.model.tails["first"]
    assert tail.own.folded("depthwise") is tail.frozen.folded("depthwise")
    for name in ("point", "fc"):
        frozen, own = tail.frozen.folded(name), tail.own.folded(name)
        assert not torch.equal(frozen.weight, own.weight), name
        assert torch.allclose(frozen.weight, own.weight, atol=0.01)


def test_schedules(recipe: Recipe) -> None:
    stage: Stage = recipe.stages[0]
    assert learning_rate(stage, 0) == pytest.approx(stage.lr / 2)
    assert learning_rate(stage, stage.steps) == pytest.approx(stage.lr / 100)
    assert target_bytes(90, stage, 0) == pytest.approx(270)
    assert target_bytes(90, stage, stage.rate_ramp) == 90
