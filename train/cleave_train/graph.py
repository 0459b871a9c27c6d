"""Builds one graph of a bundle node by node, following shapes and counting multiplications."""

from __future__ import annotations

from typing import Any

import numpy as np

from .net import Pad, same_pad
from .operators import Act, Clip, LeakyRelu

Range = tuple[int, int]
Pair = tuple[int, int]


class Graph:
    """Nodes in order; a value is its number, its shape (h, w, c) is in `shapes`."""

    def __init__(self, tensors: dict[str, np.ndarray], shape: tuple[int, int, int]) -> None:
        self.tensors = tensors
        self.shapes = [shape]
        self.nodes: list[dict[str, Any]] = []
        self.macs = 0

    def document(self) -> dict[str, Any]:
        """The graph as the bundle stores it."""
        return {"input": list(self.shapes[0]), "nodes": self.nodes}

    def _add(self, op: str, inputs: list[int], shape: tuple[int, int, int], **fields: Any) -> int:
        node = {"op": op, "in": inputs}
        node.update({key: value for key, value in fields.items() if value is not None})
        if node.get("act") == "none":
            del node["act"]
        elif isinstance(node.get("act"), Clip):
            node |= {"act": "clip", "limits": [node["act"].low, node["act"].high]}
        elif isinstance(node.get("act"), LeakyRelu):
            node |= {"act": "leaky_relu", "slope": node["act"].slope}
        self.nodes.append(node)
        self.shapes.append(shape)
        return len(self.nodes)

    def _window(self, value: int, kernel: Pair, stride: int | Pair, pad: Pad | None,
                dilation: Pair = (1, 1)) -> tuple[dict[str, list[int]], int, int]:
        """The window's members, with SAME padding unless given, and the output's height, width."""
        h, w, _ = self.shapes[value]
        kernel = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
        down, right = (stride, stride) if isinstance(stride, int) else stride
        pad = pad or (*same_pad(h, kernel[0], down), *same_pad(w, kernel[1], right))
        return ({"stride": [down, right], "pad": list(pad)},
                (h + pad[0] + pad[1] - kernel[0]) // down + 1,
                (w + pad[2] + pad[3] - kernel[1]) // right + 1)

    def conv(self, value: int, weight: str, stride: int | Pair = 1, out: Range | None = None,
             inch: Range | None = None, scale: str | None = None, bias: str | None = None,
             act: Act = "none", pad: Pad | None = None, dilation: Pair = (1, 1),
             groups: int = 1) -> int:
        """Convolution; weight [out, kh, kw, in/groups], of which `out` and `inch` are used."""
        outputs, kh, kw, inputs = self.tensors[weight].shape
        outputs = out[1] - out[0] if out else outputs
        inputs = inch[1] - inch[0] if inch else inputs
        window, h, w = self._window(value, (kh, kw), stride, pad, dilation)
        self.macs += h * w * outputs * inputs * kh * kw
        return self._add("conv", [value], (h, w, outputs), weight=weight,
                         out=list(out) if out else None, inch=list(inch) if inch else None,
                         scale=scale, bias=bias, **window, act=act,
                         dilation=list(dilation) if dilation != (1, 1) else None,
                         groups=groups if groups > 1 else None)

    def dwconv(self, value: int, weight: str, stride: int | Pair = 1,
               channels: Range | None = None, scale: str | None = None, bias: str | None = None,
               act: Act = "none", pad: Pad | None = None) -> int:
        """Depthwise convolution; weight [kh, kw, channels], of which `channels` are used."""
        kh, kw, count = self.tensors[weight].shape
        count = channels[1] - channels[0] if channels else count
        window, h, w = self._window(value, (kh, kw), stride, pad)
        self.macs += h * w * count * kh * kw
        return self._add("dwconv", [value], (h, w, count), weight=weight,
                         channels=list(channels) if channels else None,
                         scale=scale, bias=bias, **window, act=act)

    def linear(self, value: int, weight: str, scale: str | None = None, bias: str | None = None,
               act: Act = "none") -> int:
        """Fully connected on 1x1xC; weight [out, in]."""
        outputs, inputs = self.tensors[weight].shape
        self.macs += outputs * inputs
        return self._add("linear", [value], (1, 1, outputs), weight=weight, scale=scale,
                         bias=bias, act=act)

    def add(self, a: int, b: int, act: Act = "none") -> int:
        """Sum of two values of one shape."""
        return self._add("add", [a, b], self.shapes[a], act=act)

    def mul(self, a: int, b: int, act: Act = "none") -> int:
        """Product of two values; each side of b is a's or 1."""
        return self._add("mul", [a, b], self.shapes[a], act=act)

    def act(self, value: int, act: Act) -> int:
        """An activation on its own."""
        return self._add("act", [value], self.shapes[value], act=act)

    def affine(self, value: int, scale: str, bias: str, act: Act = "none") -> int:
        """x * scale + bias for each channel."""
        return self._add("affine", [value], self.shapes[value], scale=scale, bias=bias, act=act)

    def pool(self, value: int, op: str, kernel: int | Pair, stride: int | Pair,
             pad: Pad | None = None) -> int:
        """avgpool or maxpool; padding does not count."""
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        window, h, w = self._window(value, size, stride, pad)
        return self._add(op, [value], (h, w, self.shapes[value][2]), kernel=list(size), **window)

    def global_avgpool(self, value: int) -> int:
        """Mean over all positions: 1x1xC."""
        return self._add("global_avgpool", [value], (1, 1, self.shapes[value][2]))

    def softmax(self, value: int) -> int:
        """Probabilities over channels."""
        return self._add("softmax", [value], self.shapes[value])

    def layer_norm(self, value: int, epsilon: float) -> int:
        """(x - mean) / sqrt(variance + epsilon) over each position's channels."""
        return self._add("layer_norm", [value], self.shapes[value], epsilon=epsilon)

    def concat(self, a: int, b: int) -> int:
        """The channels of a, then those of b."""
        (h, w, first), (_, _, second) = self.shapes[a], self.shapes[b]
        return self._add("concat", [a, b], (h, w, first + second))

    def resize(self, value: int, size: Pair, kind: str, coordinates: str) -> int:
        """Another height and width; kind nearest or bilinear, coordinates as in docs/WIRE.md."""
        return self._add("resize", [value], (*size, self.shapes[value][2]), size=list(size),
                         filter=kind, coordinates=coordinates)

    def depth_to_space(self, value: int, block: int, order: str) -> int:
        """Each position becomes block x block positions of fewer channels; order dcr or crd."""
        h, w, channels = self.shapes[value]
        return self._add("depth_to_space", [value],
                         (h * block, w * block, channels // block ** 2), block=block, order=order)
