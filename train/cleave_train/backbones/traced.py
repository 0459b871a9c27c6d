"""Any classification network whose forward pass torch.fx can follow, as a Network.

Batch norms are folded into the convolutions before them and activations into what feeds them.
Everything that training cannot use is listed before anything is built.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor, fx, nn

from ..net import Folded, Network, NetworkBuilder, Node, same_pad
from .trace import ACTS, SILENT, Trace, pair

TOLERANCE = 2e-2  # of the largest logit; fp16 weights alone cost a tenth of that


def import_callable(name: str) -> Callable[..., nn.Module]:
    """What "package.module:callable" names."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SystemExit(f"no backbone {name!r}: {error}") from None


class _Assembler:
    """Builds the Network of a trace that has no refusals."""

    def __init__(self, trace: Trace, shape: tuple[int, int, int]) -> None:
        self.trace, self.builder = trace, NetworkBuilder(shape)
        self.values: dict[fx.Node, int] = {}
        self.inner: set[fx.Node] = set()  # folded: the value is that of a later node

    def assemble(self) -> Network:
        """All nodes in order, then the marks."""
        for node in self.trace.nodes:
            if node not in self.values:
                self._add(node)
        network = self.builder.network()
        for path, node in self.trace.outputs.items():
            value = 0 if node in self.inner else self.values.get(node, 0)
            if value and not self.trace.pooled(node) and _cuttable(network, value):
                network.marks[path] = value
        return network

    def _add(self, node: fx.Node) -> None:
        """Adds a node with what is folded into it."""
        kind = self.trace.kinds[node]
        if kind == "picture":
            self.values[node] = 0
            return
        sources = self.trace.inputs(node)
        inputs = [self.values[source] for source in sources]
        if kind in SILENT:
            self.values[node] = inputs[0]
            self.inner |= {node} if sources[0] in self.inner else set()
        elif kind in ("maxpool", "avgpool", "mean"):
            self.values[node] = self._pool(node, inputs[0])
        else:
            norm = self.trace.alone(node, ("norm",)) if kind == "conv" else None
            act = self.trace.alone(norm or node, ACTS)
            name = self.trace.kinds[act] if act else "none"
            if kind == "add":
                value = self.builder.sum(inputs[0], inputs[-1], node.name, name)
            elif kind == "linear":
                value = self._linear(node, inputs[0], name)
            else:
                value = self._conv(node, norm, inputs[0], name)
            chain = [part for part in (node, norm, act) if part]
            self.values |= dict.fromkeys(chain, value)
            self.inner.update(chain[:-1])

    def _name(self, node: fx.Node) -> str:
        """The module's path; another name for a module's second call."""
        path = str(node.target)
        return node.name if path in self.builder.weights else path

    def _conv(self, node: fx.Node, norm: fx.Node | None, value: int, act: str) -> int:
        conv: nn.Conv2d = self.trace.settings(node)
        scale, bias = None, conv.bias
        if bias is None:
            bias = torch.zeros(conv.out_channels)
        if norm is not None:
            scale, shift = self._norm(norm)
            bias = bias * scale + shift
        stride, (kh, kw) = pair(conv.stride), pair(conv.kernel_size)
        if type(conv).__name__ == "Conv2dSame":
            height, width, _ = self.builder.shapes[value]
            pad = (*same_pad(height, kh, stride[0]), *same_pad(width, kw, stride[1]))
        else:
            top, left = pair(conv.padding)
            pad = (top, top, left, left)
        folded = Folded(conv.weight.detach(), scale, bias.detach())
        return self.builder.conv(value, self._name(node), folded, stride, pad, act)

    def _norm(self, node: fx.Node) -> tuple[Tensor, Tensor]:
        """A batch norm in inference: (scale [c], bias [c])."""
        norm = self.trace.settings(node)
        mean, variance, weight, bias = (self.trace.tensor(value) for value in (
            norm.running_mean, norm.running_var, norm.weight, norm.bias))
        scale = (variance + norm.eps).rsqrt()
        scale = (scale if weight is None else scale * weight).detach()
        return scale, (0 if bias is None else bias.detach()) - mean * scale

    def _linear(self, node: fx.Node, value: int, act: str) -> int:
        linear: nn.Linear = self.trace.settings(node)
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach()
        name = self._name(node)
        self.builder.weights[name] = Folded(linear.weight.detach(), None, bias)
        return self.builder.add(Node("linear", name, (value,), act), (1, 1, linear.out_features))

    def _pool(self, node: fx.Node, value: int) -> int:
        settings, kind = self.trace.settings(node), self.trace.kinds[node]
        shape = self.trace.shape(node)
        if kind == "mean" or (kind == "avgpool" and self.trace.whole(node)):
            return self.builder.add(Node("global_avgpool", node.name, (value,)), (1, 1, shape[1]))
        kernel, (top, left) = pair(settings.kernel_size), pair(settings.padding)
        stride = pair(settings.stride) if settings.stride else kernel
        return self.builder.add(Node(kind, node.name, (value,), "none", kernel, stride,
                                     (top, top, left, left)), (*shape[2:], shape[1]))


def _cuttable(network: Network, value: int) -> bool:
    try:
        network.check_cut(value)
    except ValueError:
        return False
    return True


def trace_network(model: nn.Module, height: int, width: int) -> Network:
    """The Network of a torch module for pictures [N,3,height,width].

    Marks are the paths of modules ("layer2", "features.6") whose output the network can be cut at.
    """
    model = model.eval().requires_grad_(False)
    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    trace = Trace(model, picture)
    refused = [(trace.label(node), reason) for node in trace.nodes
               if (reason := trace.refusal(node))]
    if refused:
        lines = "".join(f"\n  {label}: {reason}" for label, reason in refused)
        raise SystemExit(f"{type(model).__name__} has {len(refused)} operations that training "
                         f"cannot use:{lines}")
    network = _Assembler(trace, (height, width, 3)).assemble()
    with torch.inference_mode():
        error = (network(picture) - trace.logits).abs().max() / trace.logits.abs().max()
    if not error < TOLERANCE:
        raise SystemExit(f"{type(model).__name__} does something that tracing does not see: its "
                         f"logits differ by {100 * error:.0f} % of the largest")
    return network
