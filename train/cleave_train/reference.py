"""Runs a bundle's graphs in PyTorch: the reference that the C engine is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .bundle import Bundle
from .entropy import payload_bytes
from .int8 import arithmetic
from .int8.arithmetic import Quantized
from .operators import OPERATORS, act_of, activation, depth_to_space, layer_norm, resized

FRAME_HEADER = 28
WEIGHTED = ("conv", "dwconv", "linear")
Value = Tensor | Quantized


class Reference:
    """A bundle made ready to run. Activations are [N,C,H,W] inside, NHWC at the edges.

    fp32 nodes are compared with the engine's to a tolerance, those on quantized values are exact.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.tensors: dict[str, Tensor] = {}
        for name in bundle.tensors:
            self.load(name)

    def load(self, name: str) -> None:
        """Takes up one of the bundle's tensors, weights as float32."""
        array = self.bundle.tensors[name]
        self.tensors[name] = torch.from_numpy(
            array if array.dtype == np.int32 else array.astype(np.float32))

    def run(self, graph: str, x: np.ndarray) -> np.ndarray:
        """float32 [N,h,w,c] -> float32 [N,h',w',c']."""
        document = self.bundle.document["graphs"][graph]
        values: list[Value] = [
            torch.from_numpy(np.ascontiguousarray(x, np.float32)).permute(0, 3, 1, 2)]
        for node in document["nodes"]:
            values.append(self.node(node, [values[i] for i in node["in"]]))
        last = values[-1]
        if isinstance(last, Quantized):
            last = last.codes
        return last.permute(0, 2, 3, 1).contiguous().numpy()

    @torch.inference_mode()
    def node(self, node: dict[str, Any], inputs: list[Value]) -> Value:
        """What a node makes of its inputs."""
        x = inputs[0]
        if node["op"] == "quantize":
            return arithmetic.quantize(x, node)
        if isinstance(x, Quantized):
            return self._quantized(node, inputs)
        if node["op"] in WEIGHTED:
            return activation(self._scale_bias(self.sums(node, x), node), act_of(node))
        return activation(self._elements(node, inputs), act_of(node))

    def _quantized(self, node: dict[str, Any], inputs: list[Quantized]) -> Value:
        """A node that reads codes."""
        x = inputs[0]
        match node["op"]:
            case "dequantize":
                return x.real()
            case "conv" | "dwconv" | "linear":
                given = self.sums(node, x), x, *self.scale_bias(node)
                if "quant" in node:
                    return arithmetic.rounded_sums(*given, node)
                return activation(arithmetic.scaled_sums(*given), act_of(node))
            case "add":
                return arithmetic.add(x, inputs[1], node)
            case "concat":
                return arithmetic.concat(inputs, node)
            case "maxpool":
                return Quantized(self._elements(node, [x.codes.float()]).to(torch.uint8), x.scale,
                                 x.zero)
            case "avgpool":
                sums, counts = self._window_sums(x.centred(), node)
                return arithmetic.mean(x, sums, counts.numpy(), node)
            case "global_avgpool":
                sums = x.centred().double().sum((2, 3), keepdim=True).float()
                return arithmetic.mean(x, sums, np.float32([np.prod(x.codes.shape[2:])]), node)
            case op:
                raise ValueError(f"{op} takes no codes")

    def sums(self, node: dict[str, Any], x: Value) -> Tensor:
        """Sums of products with a node's weights, before scale and bias."""
        weight = self.tensors[node["weight"]]
        match node["op"]:
            case "conv":
                out = slice(*node["out"]) if "out" in node else slice(None)
                inch = slice(*node["inch"]) if "inch" in node else slice(None)
                weight, groups = weight[out, :, :, inch].permute(0, 3, 1, 2), node.get("groups", 1)
            case "dwconv":
                channels = slice(*node["channels"]) if "channels" in node else slice(None)
                weight = weight[..., channels].permute(2, 0, 1)[:, None]
                groups = len(weight)

        def product(x: Tensor, weight: Tensor) -> Tensor:
            if node["op"] == "linear":
                return F.linear(x.flatten(1), weight)[:, :, None, None]
            return F.conv2d(self._pad(x, node), weight, stride=node["stride"],
                            dilation=node.get("dilation", 1), groups=groups)

        return arithmetic.exact_sums(x, weight, product) if isinstance(x, Quantized) \
            else product(x, weight)

    def scale_bias(self, node: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """The vectors [c] of a node on codes; a bias that is not there is 0."""
        scale = self.tensors[node["scale"]]
        return scale, self.tensors[node["bias"]] if "bias" in node else torch.zeros_like(scale)

    def _window_sums(self, x: Tensor, node: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Sums over a pool's windows, and how many positions each has, [1,1,H,W]."""
        return tuple(F.avg_pool2d(self._pad(part, node), node["kernel"], node["stride"],
                                  divisor_override=1)
                     for part in (x, torch.ones_like(x[:1, :1])))

    def _elements(self, node: dict[str, Any], inputs: list[Tensor]) -> Tensor:
        """Everything else, before its activation."""
        x = inputs[0]
        match node["op"]:
            case "affine":
                return self._scale_bias(x, node)
            case "maxpool":
                return F.max_pool2d(self._pad(x, node, -torch.inf), node["kernel"], node["stride"])
            case "avgpool":
                sums, counts = self._window_sums(x, node)
                return sums / counts
            case "layer_norm":
                return layer_norm(x, node["epsilon"])
            case "resize":
                return resized(x, node["size"], node.get("filter", "nearest"),
                               node.get("coordinates", "half_pixel"))
            case "depth_to_space":
                return depth_to_space(x, node["block"], node.get("order", "dcr"))
            case op if op in OPERATORS:
                return OPERATORS[op](*inputs)
            case op:
                raise ValueError(f"unknown op {op}")

    @staticmethod
    def _pad(x: Tensor, node: dict[str, Any], value: float = 0.0) -> Tensor:
        top, bottom, left, right = node["pad"]
        return F.pad(x, (left, right, top, bottom), value=value)

    def _scale_bias(self, x: Tensor, node: dict[str, Any]) -> Tensor:
        if "scale" in node:
            x = x * self.tensors[node["scale"]][:, None, None]
        if "bias" in node:
            x = x + self.tensors[node["bias"]][:, None, None]
        return x

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [N,h,w,3] -> float32, as the bundle's input says."""
        spec = self.bundle.document["input"]
        mean, scale = np.float32(spec["mean"]), np.float32(spec["scale"])
        return (pixels.astype(np.float32) - mean) / scale

    def quantise(self, prior: str, latent: np.ndarray) -> np.ndarray:
        """Symbols int32 [N,h,w,c]: rint(latent * gain)."""
        gain = self.bundle.tensors[self.bundle.document["priors"][prior]["gain"]]
        return np.rint(latent * gain).astype(np.int32)

    def dequantise(self, prior: str, symbols: np.ndarray) -> np.ndarray:
        """Symbols back to float32 latents."""
        gain = self.bundle.tensors[self.bundle.document["priors"][prior]["gain"]]
        return symbols.astype(np.float32) * (np.float32(1) / gain)

    def through_codec(self, point: dict[str, Any], latent: np.ndarray) -> np.ndarray:
        """What the server sees of a latent float32 [N,h,w,c]."""
        if point["codec"] == "rans":
            return self.dequantise(point["prior"], self.quantise(point["prior"], latent))
        return np.stack([u8_round_trip(one) for one in latent])

    @staticmethod
    def first_graph(point: dict[str, Any]) -> str:
        """The graph that a picture enters by this point."""
        return point["head"] if point["kind"] == "split" else point["graph"]

    def finish(self, point: dict[str, Any], first: np.ndarray) -> np.ndarray:
        """Probabilities [N,classes] from what the point's first graph gave."""
        if point["kind"] != "split":
            return first[:, 0, 0]
        answers = self.run(point["tail"], self.through_codec(point, first))[:, 0, 0]
        if "exit" in point:
            early, sure = self.exit(point, first)
            answers = np.where(sure[:, None], early, answers)
        return answers

    def exit(self, point: dict[str, Any], latent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(probabilities [N,classes] of a point's exit, [N] whether they are the answer)."""
        early = self.run(point["exit"]["graph"], latent)[:, 0, 0]
        return early, early.max(1).astype(float) >= point["exit"]["threshold"]

    def classify(self, point: dict[str, Any], pixels: np.ndarray) -> np.ndarray:
        """Probabilities [N,classes] of uint8 pictures [N,h,w,3] by one operating point."""
        return self.finish(point, self.run(self.first_graph(point), self.normalise(pixels)))

    def frame_bytes(self, point: dict[str, Any], latent: np.ndarray) -> np.ndarray:
        """Estimated frame sizes [N] of a rANS point: ideal code length, state and header."""
        tables = {key: self.bundle.tensors[name]
                  for key, name in self.bundle.document["priors"][point["prior"]].items()}
        return FRAME_HEADER + payload_bytes(self.quantise(point["prior"], latent), tables)


def u8_quantise(latent: np.ndarray) -> tuple[np.ndarray, np.float32, np.float32]:
    """One latent float32 [h,w,c] -> (uint8 symbols, lo, step)."""
    lo, hi = latent.min(), latent.max()
    step = (hi - lo) / np.float32(255) if hi > lo else np.float32(1)
    return np.clip(np.rint((latent - lo) / step), 0, 255).astype(np.uint8), lo, step


def u8_round_trip(latent: np.ndarray) -> np.ndarray:
    """One latent through uint8 affine quantisation."""
    q, lo, step = u8_quantise(latent)
    return lo + q.astype(np.float32) * step
