"""A bundle's graph as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from layers import Layer
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
LIMITS = {"relu": (0.0, None), "relu6": (0.0, 6.0)}


def write_onnx(shape: list[int], layers: list[Layer], batch: str, path: Path) -> None:
    """Channels second, as ONNX has them; `shape` is that of the input, [h,w,c]."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    for i, layer in enumerate(layers):
        made, names = f"v{i + 1}", [f"v{value}" for value in layer.inputs]
        top, bottom, left, right = layer.pad
        window = {"kernel_shape": layer.kernel, "strides": layer.stride,
                  "pads": [top, left, bottom, right]}
        inner = made + "_sum" if layer.act else made
        if layer.weight is not None:
            depthwise = layer.op == "dwconv"
            weight = layer.weight.transpose(2, 0, 1)[:, None] if depthwise else \
                layer.weight.transpose(0, 3, 1, 2)
            names += [constant(f"w{i}", weight), constant(f"b{i}", layer.bias)]
            nodes.append(helper.make_node("Conv", names, [inner], **window,
                                          group=len(layer.bias) if depthwise else 1))
        elif layer.op == "maxpool":
            nodes.append(helper.make_node("MaxPool", names, [inner], **window))
        else:
            name = {"add": "Add", "global_avgpool": "GlobalAveragePool",
                    "softmax": "Softmax"}[layer.op]
            options = {"axis": 1} if layer.op == "softmax" else {}
            nodes.append(helper.make_node(name, names, [inner], **options))
        if layer.act:
            low, high = LIMITS[layer.act]
            limits = [constant(f"{side}{i}", np.float32(value)) if value is not None else ""
                      for side, value in (("low", low), ("high", high))]
            nodes.append(helper.make_node("Clip", [inner, *limits], [made]))
    def described(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
        height, width, channels = shape
        return helper.make_tensor_value_info(name, TensorProto.FLOAT,
                                             [batch, channels, height, width])

    graph = helper.make_graph(nodes, path.stem, [described("v0", tuple(shape))],
                              [described(f"v{len(layers)}", layers[-1].shape)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
