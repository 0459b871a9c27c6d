"""The layers of a bundle's graph with folded weights, as other engines' files want them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from cleave_train.bundle import Bundle


@dataclass(frozen=True)
class Layer:
    """One node; value i + 1 is made by layer i, value 0 is the input."""

    op: str
    inputs: list[int]
    act: str | None
    shape: tuple[int, int, int]       # of the output: height, width, channels
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int, int, int]    # top, bottom, left, right
    weight: np.ndarray | None         # conv, linear [out,ky,kx,in]; dwconv [ky,kx,channels]
    bias: np.ndarray | None           # [out]

    def is_same_padding(self, source: tuple[int, int, int]) -> bool:
        """Is this TensorFlow's SAME padding of an input of shape `source`?"""
        wanted: list[int] = []
        for axis in (0, 1):
            size, kernel, stride = source[axis], self.kernel[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            wanted += [total // 2, total - total // 2]
        return tuple(wanted) == self.pad


OPS = {"conv", "dwconv", "linear", "add", "maxpool", "global_avgpool", "softmax"}


def _weights(bundle: Bundle, node: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    weight = bundle.tensors[node["weight"]].astype(np.float32)
    if node["op"] == "dwconv":
        weight = weight[..., slice(*node.get("channels", (None,)))]
        channels = weight.shape[-1]
    else:
        weight = weight[slice(*node.get("out", (None,)))]
        weight = weight[..., slice(*node.get("inch", (None,)))]
        channels = weight.shape[0]
    scale, bias = (bundle.tensors[node[key]].astype(np.float32) if key in node
                   else np.full(channels, other, np.float32)
                   for key, other in (("scale", 1), ("bias", 0)))
    if node["op"] == "dwconv":
        return weight * scale, bias
    weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight.reshape(channels, 1, 1, -1) if node["op"] == "linear" else weight, bias


def layers_of(bundle: Bundle, graph: str) -> list[Layer]:
    """All layers in order; ValueError where another engine's file has no word for one."""
    document = bundle.document["graphs"][graph]
    shapes = [tuple(document["input"])]
    layers = []
    for node in document["nodes"]:
        if node["op"] not in OPS or node.get("act") not in (None, "relu", "relu6") or \
                node.get("groups", 1) != 1 or "dilation" in node:
            raise ValueError(f"{graph}: no writer for {node}")
        height, width, channels = shapes[node["in"][0]]
        weight = bias = None
        kernel, stride = (1, 1), tuple(node.get("stride", (1, 1)))
        pad = tuple(node.get("pad", (0, 0, 0, 0)))
        if "weight" in node:
            weight, bias = _weights(bundle, node)
            kernel = weight.shape[:2] if node["op"] == "dwconv" else weight.shape[1:3]
            channels = len(bias)
        elif node["op"] == "maxpool":
            kernel = tuple(node["kernel"])
        elif node["op"] == "global_avgpool":
            kernel = (height, width)
        shapes.append(((height + pad[0] + pad[1] - kernel[0]) // stride[0] + 1,
                       (width + pad[2] + pad[3] - kernel[1]) // stride[1] + 1, channels))
        layers.append(Layer(node["op"], node["in"], node.get("act"), shapes[-1], tuple(kernel),
                            stride, pad, weight, bias))
    return layers
