"""A bundle's graph as an int8 ONNX file, and an int8 bundle back on floats.

ONNX Runtime's own static quantiser makes the file: QDQ, which OpenVINO reads too, a scale for each
channel. It begins with the bundle's weights on floats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cleave_train.bundle import Bundle
from layers import layers_of
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from write_onnx import write_onnx


def on_floats(bundle: Bundle) -> Bundle:
    """The same bundle with its graphs' int8 taken out, which is where a quantiser starts."""
    graphs = {}
    for name, graph in bundle.document["graphs"].items():
        value_of, nodes = {0: 0}, []
        for i, node in enumerate(graph["nodes"], 1):
            inputs = [value_of[value] for value in node["in"]]
            if node["op"] in ("quantize", "dequantize"):
                value_of[i] = inputs[0]
                continue
            nodes.append({key: value for key, value in node.items() if key != "quant"}
                         | {"in": inputs})
            value_of[i] = len(nodes)
        graphs[name] = graph | {"nodes": nodes}
    weights = {node["weight"] for graph in graphs.values() for node in graph["nodes"]
               if "weight" in node}
    tensors = {name: tensor.astype(np.float32) if name in weights else tensor
               for name, tensor in bundle.tensors.items()}
    return Bundle(bundle.document | {"graphs": graphs}, tensors)


class Samples(CalibrationDataReader):
    """Inputs that the quantiser sees, each float32 [1,c,h,w]."""

    def __init__(self, inputs: list[np.ndarray]) -> None:
        self.turn: Iterator[np.ndarray] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next, as ONNX Runtime wants it."""
        value = next(self.turn, None)
        return None if value is None else {"v0": value}


def write_int8(bundle: Bundle, graph: str, batch: str, inputs: list[np.ndarray],
               path: Path) -> None:
    """Quantise one graph of a bundle on floats; a softmax at its end stays on floats, as ours."""
    with tempfile.TemporaryDirectory() as scratch:
        floats, prepared = Path(scratch) / "floats.onnx", Path(scratch) / "prepared.onnx"
        write_onnx(bundle.document["graphs"][graph]["input"], layers_of(bundle, graph), batch,
                   floats)
        quant_pre_process(floats, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, path, Samples(inputs), quant_format=QuantFormat.QDQ,
                        per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8,
                        op_types_to_quantize=["Conv", "Add", "GlobalAveragePool", "Clip",
                                              "MaxPool"])
