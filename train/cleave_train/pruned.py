"""Starts an encoder as a pruned copy of a backbone's first blocks.

Inside a block the channels are put in order of what they contribute, and every width keeps a
prefix. The block's projection is refitted by least squares in stages: the columns of the narrowest
width first, then those that the next one adds to what is left, so that every prefix is a good one.
Batch norms start where they reproduce the backbone's values on real pictures. Training goes on from
there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .coder import ConvEncoder
from .layers import Conv, Inverted
from .net import Folded, Network, activate

ROWS = 100_000
RIDGE = 1e-6


def _widened(net: Network, block: int, x: Tensor) -> Tensor:
    """What block `block`'s projection sees, given the block's input."""
    stop = next(i for i, node in enumerate(net.nodes) if node.name == f"block{block}.project")
    start = net.marks[f"block{block - 1}" if block else "stem"]
    return net.between(x, start, stop)[0]


def _order(widened: Tensor, project: Folded) -> Tensor:
    """Channel indices, most important first: deviation times the projection's gain [c]."""
    gain = project.effective(torch.float32).flatten(1).norm(dim=0)
    return (widened.std((0, 2, 3)) * gain).argsort(descending=True)


def _rows(x: Tensor) -> Tensor:
    """[N,c,h,w] -> [rows,c] in float64, of at most ROWS positions, with mean zero."""
    rows = x.permute(0, 2, 3, 1).flatten(0, 2)
    rows = rows[:: max(1, len(rows) // ROWS)].double()
    return rows - rows.mean(0)


def _refit(widened: Tensor, wanted: Tensor, counts: list[int]) -> Tensor:
    """Projection [out,max(counts),1,1] from ordered channels to `wanted`, in stages by count."""
    inputs, left = _rows(widened), _rows(wanted)
    columns, done = [], 0
    for count in sorted(set(counts)):
        part = inputs[:, done:count]
        gram = part.T @ part
        ridge = torch.eye(len(gram), dtype=gram.dtype) * gram.diagonal().mean() * RIDGE
        columns.append(torch.linalg.solve(gram + ridge, part.T @ left))
        left, done = left - part @ columns[-1], count
    return torch.cat(columns).T[:, :, None, None].float()


def _copy(conv: Conv, folded: Folded, x: dict[str, Tensor],
          order: Tensor) -> dict[str, Tensor]:
    """Copies a convolution's outputs in this order; what it makes of x, by variant."""
    conv.weight.copy_(folded.weight[order][:conv.weight.shape[0]])
    return {variant: _settle(conv, variant, conv.convolved(pictures, variant),
                             folded.scale[order], folded.bias[order])
            for variant, pictures in x.items()}


def _settle(conv: Conv, variant: str, z: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Sets a batch norm so that z = W * x is scaled and shifted by these [c]; the output."""
    norm, count = conv.norm[variant], z.shape[1]
    scale, bias = scale[:count], bias[:count]
    variance, mean = torch.var_mean(z, (0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.bias.copy_(bias + scale * mean)
    return activate(z * scale[:, None, None] + bias[:, None, None], conv.act)


def _project(conv: Conv, variant: str, x: Tensor, wanted: Tensor) -> Tensor:
    """Sets a batch norm so that W * x comes as near to `wanted` as scale and shift can bring it."""
    z = conv.convolved(x, variant)
    variance, mean = torch.var_mean(z, (0, 2, 3), correction=0)
    goal = wanted.mean((0, 2, 3))
    scale = (z * wanted).mean((0, 2, 3)).sub(mean * goal) / variance.clamp_min(RIDGE)
    return _settle(conv, variant, z, scale, goal - scale * mean)


@torch.no_grad()
def start_from_compressor(encoder: ConvEncoder, compressor: ConvEncoder) -> None:
    """Fills the encoder's last layers from a finished compressor of as many plain convolutions.

    Of each layer in between the channels that weigh most in the next one are taken first.
    """
    order = torch.arange(compressor.layers[0].weight.shape[1])
    ends = zip(encoder.layers[-len(compressor.layers):], compressor.layers, strict=True)
    for i, (mine, theirs) in enumerate(ends):
        norm, = theirs.norm.values()
        outputs = torch.arange(len(theirs.weight))
        if i + 1 < len(compressor.layers):
            reach = compressor.layers[i + 1].weight.square().sum((0, 2, 3))
            outputs = (norm.weight.square() * reach).argsort(descending=True)
        count, inch = mine.weight.shape[:2]
        mine.weight.copy_(theirs.weight[outputs][:, order][:count, :inch])
        for own in mine.norm.values():
            for name, value in norm.state_dict().items():
                held = own.state_dict()[name]
                held.copy_(value[outputs][:len(held)] if value.dim() else value)
        order = outputs


@torch.no_grad()
def start_from_backbone(encoder: ConvEncoder, net: Network, pictures: Tensor) -> int:
    """Fills the encoder's first convolution and inverted blocks from an EfficientNet-Lite.

    pictures: [N,3,H,W], some tens. Returns how many layers were filled; the others stay as they
    are. Layer i + 1 of the encoder must have the outputs, kernel and stride of block i.
    """
    stem, *rest = encoder.layers
    blocks = [layer for layer in rest if isinstance(layer, Inverted)]
    full = net.between(pictures, 0, net.marks["stem"])[0]
    order = _order(_widened(net, 0, full), net.folded("block0.project"))
    x = _copy(stem, net.folded("stem"), dict.fromkeys(stem.outputs, pictures), order)
    for i, block in enumerate(blocks):
        widened, before = _widened(net, i, full), x
        if block.expand is not None:
            order = _order(widened, net.folded(f"block{i}.project"))
            x = _copy(block.expand, net.folded(f"block{i}.expand"), x, order)
        x = _copy(block.depthwise, net.folded(f"block{i}.depthwise"), x, order)
        last = net.marks[f"block{i}"]
        after = net.between(full, net.marks[f"block{i - 1}" if i else "stem"], last)[0]
        own = after - full if block.residual else after
        block.project.weight.copy_(
            _refit(widened[:, order], own, list(block.project.inputs.values())))
        for variant, hidden in x.items():
            carried = before[variant] if block.residual else torch.zeros(())
            x[variant] = carried + _project(block.project, variant, hidden, after - carried)
        full = after
    return 1 + len(blocks)
