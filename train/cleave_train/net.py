"""A classification network as the engine runs it: a list of nodes over folded convolutions.

Every backbone is turned into this one form. Value 0 is the picture, node i makes value i + 1, and
the network can be cut at any value through which everything later passes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .operators import OPERATORS, Act, activation

Pad = tuple[int, int, int, int]  # top, bottom, left, right


def same_pad(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding (before, after) with which a convolution yields ceil(size / stride) outputs."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _compute_type(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution whose gradients are taken in fp32 where bfloat16's take far longer.

    oneDNN 3 has no fast bfloat16 gradient for strides or for kernels over 3x3: on a CPU with native
    bfloat16 arithmetic 672 channels, 5x5, stride 2 take 36 times as long as in fp32.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: tuple[int, int],
                pad: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.pad = stride, pad
        return F.conv2d(x, weight, None, stride, pad, 1, x.shape[1])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        kind = x.dtype
        if x.device.type == "cpu" and (max(ctx.stride) > 1 or max(weight.shape[2:]) > 3):
            kind = torch.float32
        wanted = (*ctx.needs_input_grad[:2], False)
        dx, dweight, _ = torch.ops.aten.convolution_backward(
            grad.to(kind), x.to(kind), weight.to(kind), None, ctx.stride, ctx.pad, (1, 1), False,
            (0, 0), x.shape[1], wanted)
        return (None if dx is None else dx.to(x.dtype),
                None if dweight is None else dweight.to(weight.dtype), None, None)


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int],
            pad: tuple[int, int], groups: int, dilation: tuple[int, int]) -> Tensor:
    """F.conv2d, by _Depthwise where it learns."""
    if groups == 1 or groups != x.shape[1] or max(dilation) > 1 or not torch.is_grad_enabled():
        return F.conv2d(x, weight, bias, stride, pad, dilation, groups)
    kind = _compute_type(x)
    y = _Depthwise.apply(x.to(kind), weight.to(kind), stride, pad)
    return y if bias is None else y + bias.to(kind)[:, None, None]


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], pad: Pad,
             groups: int, dilation: tuple[int, int] = (1, 1)) -> Tensor:
    """Convolution of x [N,C,H,W] with zero padding that may differ between sides.

    Where it does, both sides get the larger padding of one whole stride more, and the outputs that
    come of it are cut off: cheaper than a padded copy of a large input, which is made only where
    sides differ by more. A strided 1x1 convolution is done on the pixels that it reads: oneDNN's
    backward pass of it in bfloat16, channels last, writes outside its memory.
    """
    top, bottom, left, right = pad
    if weight.shape[2:] == (1, 1) and not any(pad):
        x, stride = x[:, :, ::stride[0], ::stride[1]], (1, 1)
    if top == bottom and left == right:
        return _conv2d(x, weight, bias, stride, (top, left), groups, dilation)
    if bottom > top + stride[0] or right > left + stride[1]:
        x = F.pad(x, (left, right, top, bottom))
        return _conv2d(x, weight, bias, stride, (0, 0), groups, dilation)
    reach = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilation)]
    height = (x.shape[2] + top + bottom - reach[0]) // stride[0] + 1
    width = (x.shape[3] + left + right - reach[1]) // stride[1] + 1
    y = _conv2d(x, weight, bias, stride, (top + stride[0], left + stride[1]), groups, dilation)
    return y[:, :, 1:height + 1, 1:width + 1].contiguous(memory_format=torch.channels_last)


def activate(x: Tensor, act: Act) -> Tensor:
    """An activation of a value that nothing else reads: relu and relu6 overwrite it."""
    if act in ("relu", "relu6"):
        return getattr(F, act)(x, inplace=True)
    return activation(x, act)


@dataclass(frozen=True)
class Node:
    """One operation; `inputs` are value numbers. Those with weights find them by `name`.

    `settings` are the other arguments of what OPERATORS holds for the operation.
    """

    op: str
    name: str
    inputs: tuple[int, ...]
    act: Act = "none"
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: Pad = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


class Folded(nn.Module):
    """scale * (W * x) + bias, batch norm folded in; frozen until `thaw`.

    weight: [out,in/groups,kh,kw], depthwise [c,1,kh,kw], linear [out,in], with values that fp16 can
    hold.
    """

    def __init__(self, weight: Tensor, scale: Tensor | None, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.half().float())
        self.register_buffer("scale", torch.ones(len(weight)) if scale is None else scale)
        self.register_buffer("bias", bias)
        self._kept: Tensor | None = None

    def thaw(self) -> None:
        """Makes weight and bias trainable; the scale stays."""
        for name in ("weight", "bias"):
            value = getattr(self, name)
            delattr(self, name)
            self.register_parameter(name, nn.Parameter(value.clone()))
        self._kept = None

    def effective(self, kind: torch.dtype) -> Tensor:
        """The weight with its scale, in this type; kept between calls while frozen."""
        kept = self._kept
        if kept is not None and kept.dtype == kind and kept.device == self.weight.device:
            return kept
        weight = self.weight * self.scale.view(-1, *[1] * (self.weight.dim() - 1))
        if isinstance(self.weight, nn.Parameter):
            return weight
        self._kept = weight.to(kind)
        return self._kept


class Affine(nn.Module):
    """x * scale + bias for each channel [c]; always frozen."""

    def __init__(self, scale: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale[:, None, None] + self.bias[:, None, None]


def _pool(node: Node, x: Tensor) -> Tensor:
    top, bottom, left, right = node.pad
    if node.op == "maxpool":
        x = F.pad(x, (left, right, top, bottom), value=float("-inf"))
        return F.max_pool2d(x, node.kernel, node.stride)
    ones = F.pad(torch.ones_like(x[:1, :1]), (left, right, top, bottom))
    x = F.pad(x, (left, right, top, bottom))
    return F.avg_pool2d(x, node.kernel, node.stride) / F.avg_pool2d(ones, node.kernel, node.stride)


class Network(nn.Module):
    """Nodes and their weights; `marks` names the values at which one may want to cut.

    Values are [N,C,H,W]; only the last one, the logits, is [N,classes].
    """

    WEIGHTED = ("conv", "dwconv", "linear", "affine")

    def __init__(self, nodes: list[Node], weights: dict[str, Folded | Affine],
                 marks: dict[str, int]) -> None:
        super().__init__()
        self.nodes, self.marks = nodes, marks
        self.labels: list[str] | None = None  # names of the classes; None: ImageNet's
        self.weights = nn.ModuleDict({name.replace(".", "/"): w for name, w in weights.items()})

    def folded(self, name: str) -> Folded | Affine:
        """The weights of the node of this name."""
        return self.weights[name.replace(".", "/")]

    def layers(self) -> dict[str, Folded | Affine]:
        """The weights of all nodes that have any, by the nodes' names."""
        return {node.name: self.folded(node.name) for node in self.nodes
                if node.op in self.WEIGHTED}

    @property
    def end(self) -> int:
        """Number of the last value: the logits."""
        return len(self.nodes)

    def thawed(self, start: int = 0) -> Network:
        """The same network with trainable weights after value `start`, but for depthwise kernels.

        Those are few of the weights and take most of the time that training them all would take.
        What does not learn is shared between the two.
        """
        weights = self.layers()
        for node in self.nodes[start:]:
            if node.op in ("conv", "linear"):
                weights[node.name] = copy.deepcopy(weights[node.name])
                weights[node.name].thaw()
        net = Network(self.nodes, weights, self.marks)
        net.labels = self.labels
        return net

    def check_cut(self, value: int) -> None:
        """Raises ValueError if a later node reads anything before this value."""
        for node in self.nodes[value:]:
            if min(node.inputs) < value:
                raise ValueError(f"cannot cut at value {value}: {node.name} reads what is before")

    def between(self, x: Tensor, start: int, stop: int | None = None,
                taps: Iterable[int] = ()) -> tuple[Tensor, list[Tensor]]:
        """Runs from value `start` (which is x) to value `stop`: (value, tapped values)."""
        stop = self.end if stop is None else stop
        wanted = set(taps)
        last_use = {v: i for i, node in enumerate(self.nodes[:stop]) for v in node.inputs}
        values = {start: x}
        for i in range(start, stop):
            node = self.nodes[i]
            made = self._compute(node, [values[v] for v in node.inputs])
            values[i + 1] = made.flatten(1) if i + 1 == self.end else made
            for v in node.inputs:
                if last_use[v] == i and v not in wanted and v != stop:
                    values.pop(v, None)
        return values[stop], [values[v] for v in taps]

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [N,3,H,W] -> logits [N,classes]."""
        return self.between(x, 0)[0]

    def _compute(self, node: Node, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        match node.op:
            case "conv" | "dwconv":
                folded = self.folded(node.name)
                y = convolve(x, folded.effective(_compute_type(x)), folded.bias, node.stride,
                             node.pad, x.shape[1] if node.op == "dwconv" else node.groups,
                             node.dilation)
            case "linear":
                folded = self.folded(node.name)
                y = F.linear(x.flatten(1), folded.effective(_compute_type(x)), folded.bias)
                y = y[:, :, None, None]
            case "affine":
                y = self.folded(node.name)(x)
            case "maxpool" | "avgpool":
                y = _pool(node, x)
            case "act":
                return activation(x, node.act)
            case _:
                y = OPERATORS[node.op](*inputs, **node.settings)
        return activate(y, node.act)


class NetworkBuilder:
    """Adds nodes one after another and follows shapes [h, w, c]."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.nodes: list[Node] = []
        self.weights: dict[str, Folded] = {}
        self.marks: dict[str, int] = {}
        self.shapes: list[tuple[int, int, int]] = [shape]

    def add(self, node: Node, shape: tuple[int, int, int]) -> int:
        """Appends a node; the number of its value."""
        self.nodes.append(node)
        self.shapes.append(shape)
        return len(self.nodes)

    def conv(self, value: int, name: str, folded: Folded, stride: tuple[int, int], pad: Pad,
             act: str = "none") -> int:
        """A convolution, depthwise if each output channel has a single input channel of its own."""
        h, w, channels = self.shapes[value]
        out, inputs, kh, kw = folded.weight.shape
        depthwise = inputs == 1 and channels > 1 and out == channels
        if not depthwise and inputs != channels:
            raise ValueError(f"{name}: grouped convolutions are not supported")
        self.weights[name] = folded
        shape = ((h + pad[0] + pad[1] - kh) // stride[0] + 1,
                 (w + pad[2] + pad[3] - kw) // stride[1] + 1, out)
        return self.add(Node("dwconv" if depthwise else "conv", name, (value,), act, (kh, kw),
                             stride, pad), shape)

    def same_conv(self, value: int, name: str, folded: Folded, stride: int = 1,
                  act: str = "none") -> int:
        """A convolution with TensorFlow's SAME padding."""
        h, w, _ = self.shapes[value]
        kh, kw = folded.weight.shape[2:]
        pad = (*same_pad(h, kh, stride), *same_pad(w, kw, stride))
        return self.conv(value, name, folded, (stride, stride), pad, act)

    def sum(self, a: int, b: int, name: str, act: str = "none") -> int:
        """a + b."""
        return self.add(Node("add", name, (a, b), act), self.shapes[a])

    def classify(self, value: int, name: str, folded: Folded) -> int:
        """Global average pool, then a fully connected layer: logits."""
        channels = self.shapes[value][2]
        value = self.add(Node("global_avgpool", f"{name}.pool", (value,)), (1, 1, channels))
        self.weights[name] = folded
        return self.add(Node("linear", name, (value,)), (1, 1, len(folded.weight)))

    def network(self) -> Network:
        """The finished network, in evaluation mode."""
        return Network(self.nodes, self.weights, self.marks).eval()
