"""Operators on single elements: activations, sums, products, normalisations."""

from __future__ import annotations

import numpy as np

from ..operators import Clip, LeakyRelu
from .emit import Emitter, Operand, fixed, handles, per_channel, plain
from .layout import Unsupported, Value
from .read import Op

NAMED = {"Relu": "relu", "Sigmoid": "sigmoid", "HardSwish": "hard_swish", "Silu": "silu",
         "Swish": "silu", "Gelu": "gelu"}
LARGEST = float(np.finfo(np.float32).max)


@handles(*NAMED)
def _named(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    if op.attributes.get("approximate", "none") != "none":
        raise Unsupported("GELU by tanh; the engine has the one by erf")
    if op.kind == "Swish" and op.attributes.get("alpha", 1.0) != 1:
        raise Unsupported("a Swish that is no SiLU")
    return e.act(plain(inputs[0]), NAMED[op.kind])


@handles("Clip")
def _clip(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    bounds = [fixed(inputs, i) for i in (1, 2)]
    low, high = (other if bound is None else float(np.clip(bound, -LARGEST, LARGEST))
                 for bound, other in zip(bounds, (-LARGEST, LARGEST)))
    if (low, high) == (0, 6):
        return e.act(plain(inputs[0]), "relu6")
    if (low, high) == (0, LARGEST):
        return e.act(plain(inputs[0]), "relu")
    if low > high:
        raise Unsupported(f"clips to {low}..{high}")
    return e.act(plain(inputs[0]), Clip(low, high))


@handles("LeakyRelu", "PRelu")
def _leaky(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    slope = op.attributes.get("alpha", 0.01)
    if op.kind == "PRelu":
        slopes = fixed(inputs, 1)
        if slopes is None or np.unique(slopes).size != 1:
            raise Unsupported("slopes that differ between channels")
        slope = float(slopes.flat[0])
    return e.act(plain(inputs[0]), LeakyRelu(slope))


@handles("HardSigmoid")
def _hard_sigmoid(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = e.affine(plain(inputs[0]), op.attributes.get("alpha", 0.2),
                     op.attributes.get("beta", 0.5))
    return e.act(value, Clip(0.0, 1.0))


@handles("Softmax")
def _softmax(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = plain(inputs[0])
    axis = op.attributes.get("axis", -1 if e.source.opset >= 13 else 1)
    over = value.dims[axis:] if e.source.opset < 13 else (value.dims[axis],)
    if sum(over, ()) != ("c",):
        raise Unsupported("softmax over something else than the channels")
    return e.same(value, e.graph.softmax(value.id))


@handles("Identity", "Dropout", "Cast")
def _same(e: Emitter, op: Op, inputs: list[Operand]) -> Operand:
    return inputs[0]


def _aligned(a: Value, b: Value) -> tuple[Value, Value]:
    """Both with as many dimensions, new ones in front."""
    rank = max(len(a.dims), len(b.dims))
    return tuple(v.reshaped((1,) * (rank - len(v.dims)) + v.shape) for v in (a, b))


def _spreads(small: Value, large: Value) -> bool:
    """Is each dimension that of the other, or 1?"""
    return all(dim in ((), other) for dim, other in zip(small.dims, large.dims))


@handles("Add", "Sum", "Sub")
def _add(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    if len(inputs) != 2:
        raise Unsupported(f"a sum of {len(inputs)}")
    a, b = inputs
    minus = -1.0 if op.kind == "Sub" else 1.0
    if isinstance(b, np.ndarray):
        a = plain(a)
        return e.affine(a, 1.0, minus * per_channel(a, b))
    if isinstance(a, np.ndarray):
        b = plain(b)
        return e.affine(b, minus, per_channel(b, a))
    a, b = _aligned(plain(a), plain(b))
    if a.dims != b.dims:
        raise Unsupported(f"a sum of {list(a.shape)} and {list(b.shape)}")
    if minus < 0:
        b = e.affine(b, -1.0, 0.0)
    return e.same(a, e.graph.add(a.id, b.id))


@handles("Mul")
def _mul(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    a, b = inputs
    for value, constant in ((a, b), (b, a)):
        if isinstance(constant, np.ndarray):
            value = plain(value)
            return e.affine(value, per_channel(value, constant), 0.0)
    a, b = _aligned(plain(a), plain(b))
    if not _spreads(b, a):
        a, b = b, a
    if not _spreads(b, a):
        raise Unsupported(f"a product of {list(a.shape)} and {list(b.shape)}")
    return e.same(a, e.graph.mul(a.id, b.id))


@handles("Div")
def _div(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, divisor = plain(inputs[0]), fixed(inputs, 1)
    return e.affine(value, 1 / per_channel(value, divisor), 0.0)


@handles("BatchNormalization")
def _batch_norm(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    if op.attributes.get("training_mode", 0):
        raise Unsupported("a batch norm in training mode")
    value = plain(inputs[0])
    if value.dims[1] not in (("c",), ()) or (value.dims[1] == () and value.sides[2] != 1):
        raise Unsupported(f"its input {list(value.shape)} has no channels in second place")
    gain, shift, mean, variance = (fixed(inputs, i).astype(np.float64) for i in range(1, 5))
    scale = gain / np.sqrt(variance + op.attributes.get("epsilon", 1e-5))
    return e.affine(value, scale, shift - mean * scale)


@handles("LayerNormalization")
def _layer_norm(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = plain(inputs[0])
    rank = len(value.dims)
    axes = op.attributes.get("axes") or range(op.attributes.get("axis", -1) % rank, rank)
    if sum((value.dims[axis] for axis in axes), ()) != ("c",):
        raise Unsupported("a layer norm over something else than the channels")
    made = e.same(value, e.graph.layer_norm(value.id, op.attributes.get("epsilon", 1e-5)))
    gain, shift = fixed(inputs, 1), fixed(inputs, 2)
    if gain is None:
        return made
    return e.affine(made, gain.ravel(), 0.0 if shift is None else shift.ravel())
