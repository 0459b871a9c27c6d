"""Computes operators whose inputs are all known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from .read import Op


def evaluate(op: Op, inputs: Sequence[np.ndarray | None], opset: int) -> list[np.ndarray]:
    """What ONNX's own reference makes of one operator; None stands for an absent input."""
    names = [name if value is not None else "" for name, value in zip(op.inputs, inputs)]
    node = helper.make_node(op.kind, names, op.outputs, **op.attributes)
    given = {name: value for name, value in zip(names, inputs) if name}
    graph = helper.make_graph(
        [node], "constant",
        [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype),
                                       value.shape) for name, value in given.items()],
        [onnx.ValueInfoProto(name=name) for name in op.outputs if name])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model).run(None, given)
