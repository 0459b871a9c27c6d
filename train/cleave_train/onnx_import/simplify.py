"""Makes a graph smaller without changing what it computes: folds affines and activations."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..graph import Graph

Node = dict[str, Any]
Renamed = dict[int, int]  # a value -> the value that now stands for it

WEIGHTED = ("conv", "dwconv", "linear")
ACTING = (*WEIGHTED, "affine", "add", "mul")  # ops that can have an activation
ACT_MEMBERS = ("act", "limits", "slope")


def _vector(tensors: dict[str, np.ndarray], node: Node, key: str, channels: int,
            otherwise: float) -> np.ndarray:
    """A node's scale or bias in float64."""
    return tensors[node[key]].astype(np.float64) if key in node \
        else np.full(channels, otherwise)


def _store(tensors: dict[str, np.ndarray], node: Node, **vectors: np.ndarray) -> None:
    """Puts tensors under names of the node's own, which no other node has."""
    stem = node.get("weight", node.get("scale")).rsplit(".", 1)[0]
    for key, vector in vectors.items():
        node[key] = f"{stem}.{key}"
        tensors[node[key]] = vector.astype(np.float32)


def _fold_behind(tensors: dict[str, np.ndarray], node: Node, affine: Node) -> None:
    """Makes a node with weights, or an affine, do what the affine behind it does."""
    scale, bias = (tensors[affine[key]].astype(np.float64) for key in ("scale", "bias"))
    _store(tensors, node, scale=_vector(tensors, node, "scale", len(scale), 1) * scale,
           bias=_vector(tensors, node, "bias", len(scale), 0) * scale + bias)


def _fold_before(tensors: dict[str, np.ndarray], node: Node, affine: Node) -> None:
    """Makes a convolution without padding, or a linear, do what the affine before it does."""
    weight = tensors[node["weight"]].astype(np.float64)
    scale, bias = (tensors[affine[key]].astype(np.float64) for key in ("scale", "bias"))
    shift = (weight * bias).reshape(len(weight), -1).sum(1)
    shift *= _vector(tensors, node, "scale", len(weight), 1)
    _store(tensors, node, weight=weight * scale,
           bias=_vector(tensors, node, "bias", len(weight), 0) + shift)


def _takes_affine(node: Node) -> bool:
    """Can an affine in front of it be folded into its weights?"""
    return node["op"] == "linear" or (node["op"] == "conv" and "groups" not in node
                                      and not any(node["pad"]))


def _readers(graph: Graph) -> list[int]:
    """How many inputs each value feeds; the last one also feeds the caller."""
    counts = [0] * len(graph.shapes)
    counts[-1] = 1
    for node in graph.nodes:
        for value in node["in"]:
            counts[value] += 1
    return counts


def fuse(graph: Graph) -> tuple[Graph, Renamed]:
    """Affines and activations join the node before them, affines else the one behind them.

    Changes the graph's tensors; of the graph itself only what is returned is of use afterwards.
    """
    made, renamed, readers = Graph(graph.tensors, graph.shapes[0]), {0: 0}, _readers(graph)
    for i, node in enumerate(graph.nodes):
        node, first = dict(node), node["in"][0]
        node["in"] = [renamed[value] for value in node["in"]]
        before = made.nodes[node["in"][0] - 1] if node["in"][0] else {"op": "picture"}
        joins = readers[first] == 1 and "act" not in before
        if node["op"] == "act" and joins and before["op"] in ACTING:
            before |= {key: node[key] for key in ACT_MEMBERS if key in node}
            renamed[i + 1] = node["in"][0]
            continue
        if node["op"] == "affine" and joins and before["op"] in (*WEIGHTED, "affine"):
            _fold_behind(graph.tensors, before, node)
            before |= {key: node[key] for key in ACT_MEMBERS if key in node}
            renamed[i + 1] = node["in"][0]
            continue
        if _takes_affine(node) and joins and before["op"] == "affine":
            _fold_before(graph.tensors, node, before)
            node["in"] = before["in"]
        made.nodes.append(node)
        made.shapes.append(graph.shapes[i + 1])
        renamed[i + 1] = len(made.nodes)
    return made, renamed


def _macs(graph: Graph, node: Node, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of one node."""
    if node["op"] not in WEIGHTED:
        return 0
    weight = graph.tensors[node["weight"]].shape
    return prod(shape) * (prod(weight[:2]) if node["op"] == "dwconv" else prod(weight[1:]))


def part(graph: Graph, first: int, last: int) -> tuple[Graph, Renamed]:
    """What computes value `last` from value `first`, alone; no node behind may read before it."""
    needed = {last}
    for i in range(last, first, -1):
        if i in needed:
            needed |= set(graph.nodes[i - 1]["in"])
    made, renamed = Graph(graph.tensors, graph.shapes[first]), {first: 0}
    for i in range(first + 1, last + 1):
        if i in needed:
            node = graph.nodes[i - 1]
            made.nodes.append(node | {"in": [renamed[value] for value in node["in"]]})
            made.shapes.append(graph.shapes[i])
            made.macs += _macs(graph, node, graph.shapes[i])
            renamed[i] = len(made.nodes)
    return made, renamed


def clean_cuts(graph: Graph) -> list[int]:
    """Values that all that comes later is computed from."""
    cuts, lowest = [], len(graph.nodes)
    for value in range(len(graph.nodes) - 1, 0, -1):
        lowest = min(lowest, *graph.nodes[value]["in"])
        if lowest >= value:
            cuts.append(value)
    return cuts[::-1]
