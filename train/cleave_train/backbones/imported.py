"""A classifier of an ONNX file as a Network, by the importer's own operators.

Whatever can be imported can be trained with a bottleneck; its weights become fp16, as a bundle that
was trained holds them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..net import Affine, Folded, Network, Node
from ..onnx_import.agreement import HALF_TOLERANCE, check_answers
from ..onnx_import.importer import read_labels
from ..onnx_import.read import Source, read_onnx
from ..onnx_import.translate import Network as Translated
from ..onnx_import.translate import translate
from ..operators import act_of
from ..picture import InputSpec
from ..recipe import BackboneSpec

TORCH_ORDER = {"conv": (0, 3, 1, 2), "dwconv": (2, 0, 1), "linear": (0, 1)}  # out, in, kh, kw


def _settings(node: dict[str, Any]) -> dict[str, Any]:
    """What a bundle's node says beside its inputs, as the members of a Node."""
    match node["op"]:
        case "conv" | "dwconv":
            return {"stride": tuple(node["stride"]), "pad": tuple(node["pad"]),
                    "dilation": tuple(node.get("dilation", (1, 1))),
                    "groups": node.get("groups", 1)}
        case "maxpool" | "avgpool":
            return {key: tuple(node[key]) for key in ("kernel", "stride", "pad")}
        case "layer_norm":
            return {"settings": {"epsilon": node["epsilon"]}}
        case "resize":
            return {"settings": {"size": tuple(node["size"]), "kind": node["filter"],
                                 "coordinates": node["coordinates"]}}
        case "depth_to_space":
            return {"settings": {"block": node["block"], "order": node["order"]}}
        case _:
            return {}


def _weights(node: dict[str, Any], tensors: dict[str, np.ndarray]) -> Folded | Affine | None:
    """What a bundle's node has of weights."""
    def held(key: str) -> Tensor | None:
        return torch.from_numpy(tensors[node[key]].copy()) if key in node else None

    if node["op"] == "affine":
        return Affine(held("scale"), held("bias"))
    if node["op"] not in TORCH_ORDER:
        return None
    weight = held("weight").permute(TORCH_ORDER[node["op"]])
    if node["op"] == "dwconv":
        weight = weight[:, None]
    bias = held("bias")
    return Folded(weight.contiguous(), held("scale"),
                  torch.zeros(len(weight)) if bias is None else bias)


def _check_weights(path: Path, translated: Translated, weights: dict[int, Folded | Affine]) -> None:
    """Ends the program with a list of the nodes whose weights fp16 cannot hold."""
    bad = [value for value, part in weights.items()
           if isinstance(part, Folded) and not part.weight.isfinite().all()]
    if bad:
        by_value = {value: name for name, value in reversed(translated.names.items())}
        listed = "".join(f"\n  {by_value.get(value, f'node {value}')}: weights beyond what fp16 "
                         "holds" for value in bad)
        raise SystemExit(f"{path.name} cannot be trained:{listed}")


def build_network(path: Path, source: Source, translated: Translated) -> Network:
    """The network of an ONNX file that was read and translated; held against ONNX Runtime.

    Marks are the names of the file's operators and tensors that it can be split behind.
    """
    graph = translated.graph
    nodes, weights = [], {}
    for value, node in enumerate(graph.nodes[:-1], 1):  # the softmax is left to the loss
        nodes.append(Node(node["op"], f"node{value}", tuple(node["in"]), act_of(node),
                          **_settings(node)))
        if (part := _weights(node, graph.tensors)) is not None:
            weights[value] = part
    _check_weights(path, translated, weights)
    possible = set(translated.cuts()) - {len(nodes)}
    marks = {name: value for name, value in translated.names.items() if value in possible}
    marks |= {tensor: marks[name] for tensor, name in translated.makers.items() if name in marks}
    named = {f"node{value}": part for value, part in weights.items()}
    network = Network(nodes, named, marks).eval()

    @torch.no_grad()
    def answers(x: np.ndarray) -> np.ndarray:
        logits = network(torch.from_numpy(x).permute(0, 3, 1, 2))
        return (logits if translated.appended else logits.softmax(1)).numpy()

    check_answers(path, source, answers, HALF_TOLERANCE)
    return network


def load_imported(spec: BackboneSpec, view: InputSpec) -> Network:
    """The network of a recipe's ONNX file for pictures of this size."""
    path, labels = Path(spec.onnx), Path(spec.labels) if spec.labels else None
    source = read_onnx(path, (view.height, view.width))
    translated = translate(source)
    translated.cut(spec.cut)
    network = build_network(path, source, translated)
    network.labels = read_labels(labels, translated.graph.shapes[-1][2])
    return network
