"""Which nodes of a graph run in int8."""

from __future__ import annotations

import numpy as np

from ..bundle import Bundle
from ..reference import WEIGHTED
from .arithmetic import Node, act_limits

JOINS = ("add", "concat", "maxpool")  # their results come in codes
MEANS = ("avgpool", "global_avgpool")
MOST_TERMS = 66_311  # of a sum, so that int32 holds it


def _terms(bundle: Bundle, node: Node) -> int:
    """Products in one sum."""
    shape = bundle.tensors[node["weight"]].shape
    return int(np.prod(shape[:2] if node["op"] == "dwconv" else shape[1:]))


def _has_kernel(bundle: Bundle, node: Node) -> bool:
    """Whether the engine runs this node with weights in int8."""
    return (node.get("groups", 1) == 1 and node.get("dilation", [1, 1]) == [1, 1]
            and _terms(bundle, node) <= MOST_TERMS)


def makes_codes(node: Node) -> bool:
    """Whether an int8 node can round its result to codes; else it leaves them as numbers."""
    return act_limits(node) is not None


def int8_nodes(bundle: Bundle, graph: str) -> set[int]:
    """Indices of the graph's nodes that run in int8.

    Those with weights do, unless grouped or dilated. Sums, concatenations and pools do where all
    that they read comes in codes anyway, and what they make is wanted in codes or is a mean:
    rounding numbers only for them would cost accuracy and time. Everything else computes in fp32.
    """
    nodes = bundle.document["graphs"][graph]["nodes"]
    able: set[int] = set()
    for i, node in enumerate(nodes):
        if node["op"] in WEIGHTED:
            fits = _has_kernel(bundle, node)
        else:
            fits = node["op"] in (*JOINS, *MEANS) and makes_codes(node) and all(
                v - 1 in able and makes_codes(nodes[v - 1]) for v in node["in"])
        if fits:
            able.add(i)
    chosen: set[int] = set()
    wanted: set[int] = set()  # values that an int8 node reads
    for i in reversed(range(len(nodes))):
        if i in able and (nodes[i]["op"] not in JOINS or i + 1 in wanted):
            chosen.add(i)
            wanted |= set(nodes[i]["in"])
    return chosen
