"""What quantisers do to latents, and to gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cleave_train.quantise import GainQuantiser, Uint8Quantiser
from cleave_train.recipe import Rate
from cleave_train.reference import u8_round_trip

RATES = (Rate("thin", 100, 0.5), Rate("base", 200, 1.0), Rate("rich", 400, 3.0))


def test_gains_grow_monotonically_between_tiers() -> None:
    quantiser = GainQuantiser(4, ["w"], RATES)
    gains = torch.stack([quantiser.gain("w", tier / 4).flatten() for tier in range(9)])
    assert (gains[1:] > gains[:-1]).all()
    assert torch.allclose(gains[4], torch.ones(4))
    assert torch.allclose(gains[6], torch.tensor(3.0).sqrt())  # geometric mean of 1 and 3


def test_higher_tier_restores_better_for_more_bits() -> None:
    torch.manual_seed(1)
    quantiser, latent = GainQuantiser(4, ["w"], RATES).eval(), torch.randn(2, 4, 6, 6)
    (low, few), (between, more), (high, most) = (quantiser(latent, "w", t) for t in (0, 0.5, 2))
    assert (few < more).all() and (more < most).all()
    errors = [(latent - x).square().mean() for x in (low, between, high)]
    assert errors[0] > errors[1] > errors[2]
    assert torch.allclose(high * 3, (high * 3).round(), atol=1e-5)


def test_rounding_lets_gradients_through() -> None:
    quantiser, latent = GainQuantiser(4, ["w"], RATES), torch.randn(2, 4, 6, 6, requires_grad=True)
    quantiser(latent, "w", 1)[0].sum().backward()
    assert torch.allclose(latent.grad, torch.ones_like(latent))


def test_uint8_is_what_crosses_the_wire() -> None:
    torch.manual_seed(1)
    latent = torch.randn(3, 4, 5, 6) * torch.tensor([0.1, 1.0, 50.0])[:, None, None, None]
    latent = torch.cat([latent, torch.full((1, 4, 5, 6), 2.5)])
    restored, bits = Uint8Quantiser(False).eval()(latent, "w", 0)
    wanted = np.stack([u8_round_trip(one) for one in latent.numpy()])
    np.testing.assert_allclose(restored.numpy(), wanted, rtol=1e-6, atol=1e-6)
    assert bits.tolist() == [8.0 * (4 * 5 * 6 + 8)] * 4


@pytest.mark.parametrize("qat", [True, False])
def test_uint8_while_training(qat: bool) -> None:
    torch.manual_seed(1)
    latent = torch.randn(2, 4, 5, 6, requires_grad=True)
    restored, _ = Uint8Quantiser(qat).train()(latent, "w", 0)
    assert torch.equal(restored, latent) != qat
    (3 * restored).sum().backward()
    assert torch.equal(latent.grad, torch.full_like(latent, 3.0))
