"""The density of the factorised prior is one."""

from __future__ import annotations

import torch

from cleave_train.density import LogisticMixture


def test_bins_add_up_to_one() -> None:
    prior, step = LogisticMixture(2), torch.full((1, 2, 1, 1), 0.25)
    grid = torch.arange(-80, 81)[:, None] * 0.25
    bits = torch.stack([prior.bits(torch.stack([value, torch.zeros(1)], 1)[:, :, None, None], step)
                        for value in grid]).flatten()
    fixed = prior.bits(torch.zeros(1, 2, 1, 1), step) / 2  # both channels start alike
    assert torch.allclose((2.0 ** -(bits - fixed)).sum(), torch.ones(()), atol=1e-3)


def test_narrower_bins_cost_more_bits() -> None:
    torch.manual_seed(1)
    prior, y = LogisticMixture(3), torch.randn(4, 3, 5, 5)
    coarse, fine = (prior.bits(y, torch.full((1, 3, 1, 1), step)) for step in (1.0, 0.5))
    assert coarse.shape == (4,) and (fine > coarse).all()
    assert torch.allclose((fine - coarse) / y[0].numel(), torch.ones(4), atol=0.2)


def test_density_learns_its_values() -> None:
    torch.manual_seed(1)
    prior, y = LogisticMixture(1), 3 + 0.3 * torch.randn(8, 1, 6, 6)
    step = torch.ones(1, 1, 1, 1)
    optimizer, losses = torch.optim.Adam(prior.parameters(), 0.1), []
    for _ in range(20):
        losses.append(prior.bits(y, step).mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.6 * losses[0]
