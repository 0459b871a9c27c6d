"""Writes a graph anew in int8 while pictures run through the old and the new one side by side.

Node by node: weights are rounded, biases take up what the rounding shifted each channel's mean by,
and the codes of the result are chosen. Every node sees the inputs that the nodes before it, already
rounded, really give.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..operators import act_of, activation
from ..reference import WEIGHTED, Reference, Value
from . import arithmetic
from .arithmetic import Node, Quant
from .placement import int8_nodes, makes_codes
from .ranges import best_range
from .weights import quantize_weights

Batches = list[Value]  # one value over all pictures
ACTIVATION = ("act", "limits", "slope")


def _without(node: Node, *keys: str) -> Node:
    return {key: value for key, value in node.items() if key not in keys}


def _channel_mean(batches: list[Tensor]) -> Tensor:
    """Over pictures and positions, float64 [c]."""
    return torch.cat([batch.mean((2, 3)) for batch in batches]).double().mean(0)


class Rewriter:
    """One graph; its new tensors go into the bundle beside the old ones."""

    def __init__(self, reference: Reference, graph: str, inputs: list[np.ndarray],
                 input_quant: Quant | None = None) -> None:
        """inputs: float32 [n,h,w,c] each; input_quant: their codes where these are known."""
        self.reference, self.bundle, self.graph = reference, reference.bundle, graph
        self.old: list[Node] = self.bundle.document["graphs"][graph]["nodes"]
        self.chosen = int8_nodes(self.bundle, graph)
        self.wanted = {v for i in self.chosen for v in self.old[i]["in"]}
        self.input_quant = input_quant
        self.new: list[Node] = []
        batches: Batches = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in inputs]
        self.exact: dict[int, Batches] = {0: batches}
        # An old value in codes or not -> what the new graph calls it, and what it then is.
        self.names: dict[tuple[int, bool], int] = {(0, False): 0}
        self.rounded: dict[tuple[int, bool], Batches] = {(0, False): batches}
        self.last_use = {v: i for i, node in enumerate(self.old) for v in node["in"]}

    def run(self) -> list[Node]:
        """The new nodes."""
        for i, node in enumerate(tqdm(self.old, desc=self.graph, unit="node", leave=False)):
            if i not in self.chosen:
                self._plain(i, node)
            elif node["op"] in WEIGHTED:
                self._weighted(i, node)
            else:
                self._elements(i, node)
            for value in [v for v, last in self.last_use.items() if last == i]:
                del self.exact[value]
                for codes in (False, True):
                    self.rounded.pop((value, codes), None)
        last = self._form(len(self.old), False)
        if last != len(self.new):
            raise ValueError(f"{self.graph}: the last node is not its result")
        return self.new

    def results(self) -> tuple[Batches, Batches]:
        """What the old and the new graph made of the pictures."""
        return self.exact[len(self.old)], self.rounded[len(self.old), False]

    def _emit(self, node: Node) -> int:
        self.new.append(node)
        return len(self.new)

    def _made(self, i: int, codes: bool, name: int, batches: Batches) -> None:
        """Notes that old node i's result is this value of the new graph, in codes or not."""
        self.names[i + 1, codes], self.rounded[i + 1, codes] = name, batches

    def _form(self, value: int, codes: bool) -> int:
        """An old value's name in the new graph, in codes or not; converted where it must be."""
        if (value, codes) not in self.names:
            node = {"op": "quantize" if codes else "dequantize",
                    "in": [self.names[value, not codes]]}
            if codes:
                node["quant"] = self._quant(value)
            self._made(value - 1, codes, self._emit(node), self._run(node, [value], not codes))
        return self.names[value, codes]

    def _quant(self, value: int) -> list[float | int]:
        """The codes for an old value."""
        if value == 0 and self.input_quant is not None:
            return list(self.input_quant)
        return list(best_range(self.exact[value]))

    def _run(self, node: Node, values: list[int], codes: bool) -> Batches:
        """A new node over all pictures, on the new forms of these old values."""
        sources = [self.rounded[v, codes] for v in values]
        return [self.reference.node(node, list(inputs)) for inputs in zip(*sources)]

    def _run_old(self, node: Node) -> Batches:
        """An old node over all pictures, on old values."""
        sources = [self.exact[v] for v in node["in"]]
        return [self.reference.node(node, list(inputs)) for inputs in zip(*sources)]

    def _store(self, name: str, array: np.ndarray) -> str:
        """Stores a tensor; graphs with the same weights share it."""
        if not np.array_equal(self.bundle.tensors.setdefault(name, array), array):
            return self._store(f"{name}.{self.graph}", array)
        self.reference.load(name)
        return name

    def _plain(self, i: int, node: Node) -> None:
        """A node that stays in fp32."""
        self.exact[i + 1] = self._run_old(node)
        inputs = [self._form(v, False) for v in node["in"]]
        self._made(i, False, self._emit(node | {"in": inputs}),
                   self._run(node, node["in"], False))

    def _weighted(self, i: int, node: Node) -> None:
        """A convolution or linear layer."""
        source, = node["in"]
        new = _without(node, "bias") | {"in": [self._form(source, True)]}
        new |= self._int8_weight(i, node)
        inputs, scale = self.rounded[source, True], self.reference.tensors[new["scale"]]
        exact = self._run_old(_without(node, *ACTIVATION))
        sums = [self.reference.sums(new, x) for x in inputs]
        mean = _channel_mean(sums) * inputs[0].scale * scale.double()
        bias = (_channel_mean(exact) - mean).float()
        new["bias"] = self._store(f"{self.graph}.{i}.bias", bias.numpy())
        for k, x in enumerate(exact):  # one by one, for their memory's sake
            exact[k] = activation(x, act_of(node))
        self.exact[i + 1] = exact
        codes = makes_codes(node) and i + 1 in self.wanted
        if codes:
            new["quant"] = self._quant(i + 1)
        for k, x in enumerate(inputs):
            sums[k] = arithmetic.rounded_sums(sums[k], x, scale, bias, new) if codes else \
                activation(arithmetic.scaled_sums(sums[k], x, scale, bias), act_of(new))
        self._made(i, codes, self._emit(new), sums)

    def _int8_weight(self, i: int, node: Node) -> Node:
        """Members `weight`, of all channels so that every range shares it, and `scale`."""
        weight = self.reference.tensors[node["weight"]].numpy()
        depthwise = node["op"] == "dwconv"
        codes, scale = quantize_weights(np.moveaxis(weight, -1, 0) if depthwise else weight)
        codes = np.ascontiguousarray(np.moveaxis(codes, 0, -1)) if depthwise else codes
        chosen = node.get("channels" if depthwise else "out")
        scale = scale[slice(*chosen)] if chosen else scale
        if "scale" in node:
            scale = scale * self.bundle.tensors[node["scale"]]
        return {"weight": self._store(f"{node['weight']}.int8", codes),
                "scale": self._store(f"{self.graph}.{i}.scale", scale)}

    def _elements(self, i: int, node: Node) -> None:
        """A sum, concatenation or pool of codes."""
        self.exact[i + 1] = self._run_old(node)
        codes = i + 1 in self.wanted
        new = node | {"in": [self._form(v, True) for v in node["in"]]}
        if codes and node["op"] != "maxpool":  # whose results have their inputs' scale and zero
            new["quant"] = self._quant(i + 1)
        self._made(i, codes, self._emit(new), self._run(new, node["in"], True))
