"""A bundle's graph as a LiteRT flatbuffer: both are NHWC, so that weights go over as they are."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from layers import Layer

ACTS = {None: schema.ActivationFunctionType.NONE, "relu": schema.ActivationFunctionType.RELU,
        "relu6": schema.ActivationFunctionType.RELU6}
OP = schema.BuiltinOperator
OPTIONS = schema.BuiltinOptions


class Writer:
    """Collects tensors and operators of one subgraph."""

    def __init__(self) -> None:
        self.buffers = [schema.BufferT()]
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.codes: list[int] = []

    def tensor(self, shape: tuple[int, ...], value: np.ndarray | None = None) -> int:
        """A tensor of float32, or of what a constant holds."""
        made = schema.TensorT()
        made.name = f"t{len(self.tensors)}".encode()
        made.shape = list(shape)
        made.type = schema.TensorType.FLOAT32
        made.buffer = 0
        if value is not None:
            if value.dtype == np.int32:
                made.type = schema.TensorType.INT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, value: np.ndarray) -> int:
        """A constant tensor of its own shape."""
        return self.tensor(value.shape, value)

    def operator(self, code: int, inputs: list[int], output: int, kind: int = OPTIONS.NONE,
                 options: object = None, **members: object) -> None:
        """One operator; members are set on its options."""
        made = schema.OperatorT()
        if code not in self.codes:
            self.codes.append(code)
        made.opcodeIndex = self.codes.index(code)
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType, made.builtinOptions = kind, options
        for name, value in members.items():
            setattr(options, name, value)
        self.operators.append(made)

    def model(self, first: int, last: int) -> bytes:
        """The flatbuffer."""
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [first], [last]
        model.version, model.buffers, model.subgraphs = 3, self.buffers, [graph]
        model.operatorCodes = []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode = entry.deprecatedBuiltinCode = code
            entry.version = 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _windowed(writer: Writer, layer: Layer, source: int, shape: tuple[int, int, int],
              made: int) -> None:
    """A convolution or a pool; padding that is not SAME becomes a layer before it."""
    members = {"strideH": layer.stride[0], "strideW": layer.stride[1],
               "fusedActivationFunction": ACTS[layer.act],
               "padding": schema.Padding.SAME if any(layer.pad) else schema.Padding.VALID}
    if any(layer.pad) and not layer.is_same_padding(shape):
        top, bottom, left, right = layer.pad
        padded = writer.tensor((1, shape[0] + top + bottom, shape[1] + left + right, shape[2]))
        pads = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        writer.operator(OP.PAD, [source, writer.constant(pads)], padded, OPTIONS.PadOptions,
                        schema.PadOptionsT())
        source, members["padding"] = padded, schema.Padding.VALID
    if layer.op == "maxpool":
        writer.operator(OP.MAX_POOL_2D, [source], made, OPTIONS.Pool2DOptions,
                        schema.Pool2DOptionsT(), filterHeight=layer.kernel[0],
                        filterWidth=layer.kernel[1], **members)
        return
    weight = layer.weight[None] if layer.op == "dwconv" else layer.weight
    inputs = [source, writer.constant(weight), writer.constant(layer.bias)]
    if layer.op == "dwconv":
        writer.operator(OP.DEPTHWISE_CONV_2D, inputs, made, OPTIONS.DepthwiseConv2DOptions,
                        schema.DepthwiseConv2DOptionsT(), depthMultiplier=1,
                        dilationHFactor=1, dilationWFactor=1, **members)
    else:
        writer.operator(OP.CONV_2D, inputs, made, OPTIONS.Conv2DOptions, schema.Conv2DOptionsT(),
                        dilationHFactor=1, dilationWFactor=1, **members)


def write_tflite(shape: list[int], layers: list[Layer], path: Path) -> None:
    """`shape` is that of the input, [h,w,c]. Max pools take zeros as padding: all follow a relu."""
    writer = Writer()
    shapes = [tuple(shape)]
    values = [writer.tensor((1, *shape))]
    for layer in layers:
        made = writer.tensor((1, *layer.shape))
        inputs = [values[value] for value in layer.inputs]
        if layer.op == "add":
            writer.operator(OP.ADD, inputs, made, OPTIONS.AddOptions, schema.AddOptionsT(),
                            fusedActivationFunction=ACTS[layer.act])
        elif layer.op == "softmax":
            writer.operator(OP.SOFTMAX, inputs, made, OPTIONS.SoftmaxOptions,
                            schema.SoftmaxOptionsT(), beta=1.0)
        elif layer.op == "global_avgpool":
            axes = writer.constant(np.array([1, 2], np.int32))
            writer.operator(OP.MEAN, [*inputs, axes], made, OPTIONS.ReducerOptions,
                            schema.ReducerOptionsT(), keepDims=True)
        else:
            _windowed(writer, layer, inputs[0], shapes[layer.inputs[0]], made)
        values.append(made)
        shapes.append(layer.shape)
    path.write_bytes(writer.model(values[0], values[-1]))
