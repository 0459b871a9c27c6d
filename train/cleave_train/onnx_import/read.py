"""Reads an ONNX file: checked, its input pinned to one picture, its operators as plain records."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, inliner, numpy_helper

OLDEST_OPSET = 11  # since then pads, clips and resizes have meant the same


@dataclass
class Op:
    """One operator: what it is called, what it reads and makes (names of tensors)."""

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]

    @property
    def output(self) -> str:
        """The first output; most have no other."""
        return self.outputs[0]


@dataclass
class Source:
    """A network as the file has it."""

    ops: list[Op]
    constants: dict[str, np.ndarray]
    input: str
    shape: tuple[int, ...]  # of the input, with a batch of one
    output: str
    opset: int
    origin: dict[str, Any]  # what is known of where it is from

    @property
    def picture(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.shape[2:] if self.channels_first else self.shape[1:3]

    @property
    def channels_first(self) -> bool:
        """[N,C,H,W] rather than [N,H,W,C]?"""
        return self.shape[1] == 3


def _pinned_shape(value: onnx.ValueInfoProto, size: tuple[int, int] | None) -> tuple[int, ...]:
    """The picture's shape: a batch of one, three channels first or last, sides by the file."""
    dims = [d.dim_value if d.HasField("dim_value") else 0
            for d in value.type.tensor_type.shape.dim]
    if len(dims) != 4 or 3 not in (dims[1], dims[3]) or dims[0] > 1:
        raise SystemExit(f"the input {value.name} is {dims}; a picture is [N,3,H,W] or [N,H,W,3]")
    first = dims[1] == 3
    sides = [fixed or wanted for fixed, wanted in
             zip(dims[2:] if first else dims[1:3], size or (224, 224))]
    if size and tuple(sides) != size:
        raise SystemExit(f"the file's input is {sides[1]}x{sides[0]} and cannot be resized")
    return (1, 3, *sides) if first else (1, *sides, 3)


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """By name, as numbers, strings, lists and arrays."""
    found = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        found[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return found


def _constant(node: onnx.NodeProto) -> np.ndarray:
    """What a Constant stands for."""
    (kind, value), = _attributes(node).items()
    if kind not in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        raise SystemExit(f"{node.name or node.output[0]}: a constant by {kind}")
    return np.asarray(value, np.float32 if "float" in kind else None)


def read_onnx(path: Path, size: tuple[int, int] | None = None) -> Source:
    """The network in a file; `size` (height, width) is for those that leave it open."""
    try:
        onnx.checker.check_model(str(path))
        model = inliner.inline_local_functions(onnx.load(path))
    except (onnx.checker.ValidationError, DecodeError, OSError, ValueError) as error:
        raise SystemExit(f"{path} is no valid ONNX file: {error}") from None
    graph = model.graph
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise SystemExit(f"{path} has opset {opset}; onnx.version_converter can raise it to "
                         f"{OLDEST_OPSET} or later")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise SystemExit(f"{path} has {len(inputs)} inputs and {len(graph.output)} outputs; a "
                         "classifier has one of each")
    constants |= {node.output[0]: _constant(node) for node in graph.node
                  if node.op_type == "Constant"}
    ops = [Op(node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}",
              node.name or node.output[0], list(node.input), list(node.output), _attributes(node))
           for node in graph.node if node.op_type != "Constant"]
    producer = f"{model.producer_name} {model.producer_version}".strip()
    origin = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
              "producer": producer, "opset": opset}
    return Source(ops, constants, inputs[0].name, _pinned_shape(inputs[0], size),
                  graph.output[0].name, opset, origin)
