"""Writes modules and networks into a bundle's graphs; weights that several graphs use, once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .graph import Graph
from .model import SplitModel
from .net import Folded, Network, Node

Names = dict[nn.Module, str]


def module_names(model: SplitModel) -> Names:
    """What tensors are called: a module's path in the model; a backbone's by the backbone."""
    names: Names = {module: name for name, module in model.named_modules()}
    for backbone, tail in model.tails.items():
        shared = layer_names(tail.frozen, backbone)
        names |= layer_names(tail.net, f"tail.{backbone}") | shared
    return names


def layer_names(net: Network, prefix: str) -> Names:
    """What a network's tensors are called: by this prefix and their nodes."""
    return {folded: f"{prefix}.{name}" for name, folded in net.layers().items()}


def _array(x: Tensor, kind: type) -> np.ndarray:
    return np.ascontiguousarray(x.detach().cpu().numpy().astype(kind))


def _layout(weight: Tensor, depthwise: bool) -> np.ndarray:
    """[out,in,kh,kw] -> fp16 [out,kh,kw,in]; depthwise -> [kh,kw,c]; linear as it is."""
    if weight.dim() == 4:
        weight = weight[:, 0].permute(1, 2, 0) if depthwise else weight.permute(0, 2, 3, 1)
    return _array(weight, np.float16)


def _folded_norm(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A batch norm in inference as scale and bias [c]."""
    scale = (norm.running_var + norm.eps).rsqrt()
    bias = -norm.running_mean * scale
    if norm.affine:
        scale, bias = scale * norm.weight, bias * norm.weight + norm.bias
    return scale, bias


class GraphWriter:
    """One graph of a bundle, as layers.Emitter; all writers of a bundle share its tensors."""

    def __init__(self, tensors: dict[str, np.ndarray], names: Names,
                 shape: tuple[int, int, int]) -> None:
        self.graph, self.tensors, self.names = Graph(tensors, shape), tensors, names

    def _put(self, name: str, array: np.ndarray) -> str:
        """Stores a tensor, or finds that it is already there."""
        if not np.array_equal(self.tensors.setdefault(name, array), array):
            raise ValueError(f"two different tensors are called {name}")
        return name

    def _put_norm(self, name: str, scale: Tensor | None, bias: Tensor) -> dict[str, str]:
        """fp32 vectors [c]; the node's members that name them."""
        members = {"bias": self._put(f"{name}.bias", _array(bias.flatten(), np.float32))}
        if scale is not None:
            members["scale"] = self._put(f"{name}.scale", _array(scale.flatten(), np.float32))
        return members

    def conv(self, value: int, layer: nn.Module, weight: Tensor, norm: nn.BatchNorm2d,
             variant: str, *, stride: int, act: str, out: int, inch: int,
             depthwise: bool) -> int:
        """A convolution by a prefix of `weight`, with this batch norm folded in."""
        name = self.names[layer]
        stored = self._put(f"{name}.weight", _layout(weight, depthwise))
        members = self._put_norm(f"{name}.{variant}", *_folded_norm(norm))
        outputs = (0, out) if out < weight.shape[0] else None
        if depthwise:
            return self.graph.dwconv(value, stored, stride, outputs, act=act, **members)
        inputs = (0, inch) if inch < weight.shape[1] else None
        return self.graph.conv(value, stored, stride, outputs, inputs, act=act, **members)

    def add(self, a: int, b: int) -> int:
        """The sum of two values."""
        return self.graph.add(a, b)

    def nodes(self, net: Network, value: int, start: int, stop: int) -> int:
        """A backbone's own nodes from its value `start`, which is `value` here, to `stop`."""
        values = {start: value}
        for i in range(start, stop):
            node = net.nodes[i]
            values[i + 1] = self._node(net, node, [values[v] for v in node.inputs])
        return values[stop]

    def _node(self, net: Network, node: Node, inputs: list[int]) -> int:
        match node.op:
            case "conv" | "dwconv" | "linear":
                return self._layer(net.folded(node.name), node, inputs[0])
            case "affine":
                affine = net.folded(node.name)
                members = self._put_norm(self.names[affine], affine.scale, affine.bias)
                return self.graph.affine(inputs[0], act=node.act, **members)
            case "add" | "mul" | "act":
                return getattr(self.graph, node.op)(*inputs, act=node.act)
            case "maxpool" | "avgpool":
                value = self.graph.pool(inputs[0], node.op, node.kernel, node.stride, node.pad)
            case _:
                value = getattr(self.graph, node.op)(*inputs, **node.settings)
        return value if node.act == "none" else self.graph.act(value, node.act)

    def _layer(self, folded: Folded, node: Node, value: int) -> int:
        """A node with weights; a scale of ones is left out."""
        name = self.names[folded]
        weight = self._put(f"{name}.weight", _layout(folded.weight, node.op == "dwconv"))
        scale = None if bool((folded.scale == 1).all()) else folded.scale
        members = self._put_norm(name, scale, folded.bias)
        if node.op == "linear":
            return self.graph.linear(value, weight, act=node.act, **members)
        members |= {"act": node.act, "pad": node.pad}
        if node.op == "dwconv":
            return self.graph.dwconv(value, weight, node.stride, **members)
        return self.graph.conv(value, weight, node.stride, dilation=node.dilation,
                               groups=node.groups, **members)

    def rescale(self, value: int, name: str, scale: Tensor, shift: Tensor) -> int:
        """value * scale + shift for each channel, within the node that makes it if it can be."""
        scale, shift = scale.flatten(), shift.flatten()
        node = self.graph.nodes[value - 1]
        if value != len(self.graph.nodes) or "scale" not in node or "act" in node:
            return self.graph.affine(value, **self._put_norm(name, scale, shift))
        old_scale, old_bias = (torch.from_numpy(self.tensors[node[key]]).to(scale.device)
                               for key in ("scale", "bias"))
        node |= self._put_norm(name, old_scale * scale, old_bias * scale + shift)
        return value

    def classify(self, value: int, linear: nn.Linear) -> int:
        """Global average pool, fully connected layer, softmax: probabilities."""
        name = self.names[linear]
        weight = self._put(f"{name}.weight", _layout(linear.weight, False))
        value = self.graph.linear(self.graph.global_avgpool(value), weight,
                                  **self._put_norm(name, None, linear.bias))
        return self.graph.softmax(value)
