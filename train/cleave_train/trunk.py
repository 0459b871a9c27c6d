"""The head's frozen trunk (stem and blocks 0..2) at full width and with a quarter of its width.

The narrow trunk uses a prefix of the expanded channels of blocks 1 and 2. Channels are put in
order of importance inside the backbone itself, which changes nothing it computes, and each narrow
block gets a 1x1 projection of its own, refitted by least squares to the full block's output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .backbone import Block, FrozenConv, Lite0

TRUNK_BLOCKS = 3
TRUNK_CHANNELS = 24


def prefix(conv: FrozenConv, x: Tensor, channels: int) -> Tensor:
    """The first `channels` outputs of an expansion or depthwise convolution."""
    groups = channels if conv.groups > 1 else 1
    weight = (conv.weight * conv.scale[:, None, None, None])[:channels]
    pad = conv.kernel // 2
    if conv.stride == 2:
        x, pad = F.pad(x, (0, 1, 0, 1)), 0
    return F.relu6(F.conv2d(x, weight, conv.bias[:channels], conv.stride, pad, 1, groups))


class NarrowTrunk(nn.Module):
    """Stem and block 0 as they are, then narrow blocks 1 and 2: pixels -> [N,24,56,56]."""

    def __init__(self, net: Lite0, share: float) -> None:
        super().__init__()
        self.net = net
        self.channels = [int(b.project.weight.shape[1] * share) for b in net.blocks[1:TRUNK_BLOCKS]]
        self.project = nn.ModuleList(
            FrozenConv(k, TRUNK_CHANNELS, 1, act="none") for k in self.channels)

    def widened(self, index: int, x: Tensor) -> Tensor:
        """The kept channels of block index+1 before its projection."""
        block, k = self.net.blocks[index + 1], self.channels[index]
        return prefix(block.depthwise, prefix(block.expand, x, k), k)

    def forward(self, x: Tensor) -> Tensor:
        x = self.net.trunk(x, 1)
        for i, project in enumerate(self.project):
            y = project(self.widened(i, x))
            x = x + y if self.net.blocks[i + 1].residual else y
        return x


def _reorder(block: Block, order: Tensor) -> None:
    """Puts the block's expanded channels in this order; its output stays the same."""
    for conv in (block.expand, block.depthwise):
        for name in ("weight", "scale", "bias"):
            setattr(conv, name, getattr(conv, name)[order])
    block.project.weight = block.project.weight[:, order].contiguous()


def _with_one(a: Tensor) -> Tensor:
    """[N,C,H,W] -> [N*H*W, C+1] in float64, the last column one."""
    rows = a.permute(0, 2, 3, 1).flatten(0, 2).double()
    return torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], 1)


def _solve(gram: Tensor, cross: Tensor, keep: list[int]) -> Tensor:
    """Ridge-stabilised least squares over the kept columns: [len(keep), outputs]."""
    sub = gram[keep][:, keep]
    ridge = torch.eye(len(keep), dtype=sub.dtype) * sub.diagonal().mean() * 1e-6
    return torch.linalg.solve(sub + ridge, cross[keep])


def _rank(gram: Tensor, cross: Tensor, count: int) -> list[int]:
    """Greedy forward selection of `count` columns; the rest follows in the given order."""
    one = len(gram) - 1
    kept: list[int] = []
    for _ in range(count):
        def explained(c: int) -> float:
            columns = [*kept, c, one]
            return float((_solve(gram, cross, columns) * cross[columns]).sum())
        kept.append(max((c for c in range(one) if c not in kept), key=explained))
    return kept + [c for c in range(one) if c not in kept]


@torch.no_grad()
def fit_narrow_trunk(net: Lite0, batches: list[Tensor],
                     share: float) -> tuple[NarrowTrunk, list[float]]:
    """Reorders blocks 1 and 2 of `net` in place and fits the narrow projections.

    batches: pictures [N,3,224,224]. Also returns the share of variance that each narrow block
    explains of the full block's output.
    """
    full_in = [net.trunk(x, 1) for x in batches]
    narrow_in = full_in
    narrow = NarrowTrunk(net, share)
    explained = []
    for i, project in enumerate(narrow.project):
        block, k = net.blocks[i + 1], narrow.channels[i]
        full_out = [block(x) for x in full_in]
        wanted = [y - x if block.residual else y for x, y in zip(narrow_in, full_out)]
        size = block.project.weight.shape[1] + 1
        gram = torch.zeros(size, size, dtype=torch.float64)
        cross = torch.zeros(size, TRUNK_CHANNELS, dtype=torch.float64)
        for x, t in zip(narrow_in, wanted):
            a = _with_one(block.widened(x))
            gram += a.T @ a
            cross += a.T @ _with_one(t)[:, :-1]
        order = _rank(gram, cross, k)
        solution = _solve(gram, cross, [*order[:k], size - 1])
        _reorder(block, torch.tensor(order))
        project.weight.copy_(solution[:-1].T[:, :, None, None].half())
        project.bias.copy_(solution[-1])
        outputs = []
        for x in narrow_in:
            y = project(narrow.widened(i, x))
            outputs.append(x + y if block.residual else y)
        truth = torch.cat(full_out)
        error = (torch.cat(outputs) - truth).square().mean()
        variance = (truth - truth.mean((0, 2, 3), keepdim=True)).square().mean()
        explained.append(1 - float(error / variance))
        full_in, narrow_in = full_out, outputs
    return narrow.eval(), explained
