"""Operators with windows or weights: convolutions, pools, fully connected layers."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np

from ..net import Pad, same_pad
from .emit import Emitter, Operand, fixed, handles, image, numbers, plain
from .layout import NO_PAD, Unsupported, Value, image_dims
from .read import Op

LARGEST_SIDE = 255  # of a kernel or a stride; padding is smaller


def _pads(op: Op, sides: tuple[int, int], kernel: list[int], strides: list[int],
          dilations: list[int]) -> Pad:
    """(top, bottom, left, right) of a window over height and width."""
    mode = op.attributes.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        both = [same_pad(size, (k - 1) * d + 1, s)
                for size, k, s, d in zip(sides, kernel, strides, dilations)]
        return tuple(i for pair in both for i in (pair if mode == "SAME_UPPER" else pair[::-1]))
    if mode == "VALID":
        return NO_PAD
    top, left, bottom, right = op.attributes.get("pads", NO_PAD)
    return top, bottom, left, right


def _checked(kernel: list[int], strides: list[int], pad: Pad) -> None:
    """Refuses what the bundle's format cannot hold."""
    if max(*kernel, *strides) > LARGEST_SIDE:
        raise Unsupported(f"a window of {kernel} by steps of {strides}; at most {LARGEST_SIDE}")
    if min(pad) < 0 or max(pad) >= LARGEST_SIDE:
        raise Unsupported(f"padding {list(pad)} outside 0 to {LARGEST_SIDE - 1}")


def _spread(weight: np.ndarray, dilations: list[int]) -> np.ndarray:
    """[kh,kw,c] with zeros between its taps."""
    kh, kw, channels = weight.shape
    down, right = dilations
    wide = np.zeros(((kh - 1) * down + 1, (kw - 1) * right + 1, channels), weight.dtype)
    wide[::down, ::right] = weight
    return wide


@handles("Conv")
def _conv(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, weight, bias = inputs[0], fixed(inputs, 1), fixed(inputs, 2)
    if weight.ndim != 4:
        raise Unsupported(f"a convolution in {weight.ndim - 2} dimensions")
    image(replace(value, pad=NO_PAD))
    outputs, per_group, *kernel = weight.shape
    groups = op.attributes.get("group", 1)
    strides = list(op.attributes.get("strides", (1, 1)))
    dilations = list(op.attributes.get("dilations", (1, 1)))
    more = value.pad
    sides = (value.sides[0] + more[0] + more[1], value.sides[1] + more[2] + more[3])
    pad = tuple(a + b for a, b in zip(_pads(op, sides, kernel, strides, dilations), more))
    members = {"stride": tuple(strides), "pad": pad}
    if bias is not None:
        members["bias"] = e.put(bias, "bias")
    if per_group == 1 and groups == outputs == value.sides[2]:
        taps = _spread(weight[:, 0].transpose(1, 2, 0), dilations)
        _checked(list(taps.shape[:2]), strides, pad)
        return e.image(e.graph.dwconv(value.id, e.put(taps, "weight"), **members))
    _checked(kernel + dilations, strides, pad)
    return e.image(e.graph.conv(value.id, e.put(weight.transpose(0, 2, 3, 1), "weight"),
                                dilation=tuple(dilations), groups=groups, **members))


def _dense(e: Emitter, value: Value, weight: np.ndarray, bias: np.ndarray | None) -> Value:
    """The last dimension by [out,in]: of each position, or of everything at once."""
    axes, outputs = value.dims[-1], len(weight)
    members = {} if bias is None else {"bias": e.put(np.broadcast_to(bias.ravel(), outputs),
                                                     "bias")}
    if value.axes == axes and value.sides[:2] == (1, 1):
        made = e.graph.linear(value.id, e.put(weight, "weight"), **members)
    elif value.axes == axes or axes in (("c",), ()):
        if value.axes != axes and value.length("c") != weight.shape[1]:
            raise Unsupported("it mixes something else than channels")
        if value.axes == axes:  # a window of the whole picture
            shape = [value.length(axis) for axis in axes]
            order = [axes.index(axis) + 1 for axis in "hwc" if axis in axes]
            taps = weight.reshape(outputs, *shape).transpose(0, *order)
            taps = taps.reshape(outputs, *value.sides)
        else:
            taps = weight.reshape(outputs, 1, 1, -1)
        _checked(list(taps.shape[1:3]), [1], NO_PAD)
        made = e.graph.conv(value.id, e.put(taps, "weight"), pad=NO_PAD, **members)
    else:
        raise Unsupported(f"its input {list(value.shape)} has a mixture of axes in last place")
    last = ("c",) if outputs > 1 else ()
    return Value(made, e.graph.shapes[made], (*value.dims[:-1], last))


@handles("Gemm")
def _gemm(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, weight, bias = plain(inputs[0]), fixed(inputs, 1), fixed(inputs, 2)
    if op.attributes.get("transA", 0):
        raise Unsupported("its first input is to be transposed")
    weight = weight if op.attributes.get("transB", 0) else weight.T
    if bias is not None:
        bias = bias * np.float32(op.attributes.get("beta", 1.0))
    return _dense(e, value, weight * np.float32(op.attributes.get("alpha", 1.0)), bias)


@handles("MatMul")
def _matmul(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, weight = plain(inputs[0]), fixed(inputs, 1)
    if weight.ndim != 2:
        raise Unsupported(f"a product with {weight.ndim} dimensions")
    return _dense(e, value, weight.T, None)


def _last_reach(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Padding behind that a pool needs when its output is rounded up."""
    count = ceil((size + before + after - kernel) / stride) + 1
    if (count - 1) * stride >= size + before:  # a window may not begin in the padding behind
        count -= 1
    return max((count - 1) * stride + kernel - size - before, after)


@handles("MaxPool", "AveragePool")
def _pool(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = image(inputs[0])
    kernel = list(op.attributes["kernel_shape"])
    strides = list(op.attributes.get("strides", (1, 1)))
    dilations = list(op.attributes.get("dilations", (1, 1)))
    if dilations != [1, 1] or len(kernel) != 2:
        raise Unsupported("a pool with dilation, or not in two dimensions")
    pad = given = _pads(op, value.sides[:2], kernel, strides, dilations)
    if op.attributes.get("ceil_mode", 0):
        pad = tuple(i for axis in (0, 1) for i in (given[2 * axis], _last_reach(
            value.sides[axis], kernel[axis], strides[axis], *given[2 * axis:2 * axis + 2])))
    _checked(kernel, strides, pad)
    counted = op.kind == "AveragePool" and op.attributes.get("count_include_pad", 0)
    if counted and given != NO_PAD:
        if pad != given:
            raise Unsupported("a mean that counts padding and rounds its output up")
        taps = np.full((*kernel, value.sides[2]), 1 / (kernel[0] * kernel[1]))
        return e.image(e.graph.dwconv(value.id, e.put(taps, "weight"), tuple(strides), pad=pad))
    if any(pad[i] >= kernel[i // 2] for i in range(4)):
        raise Unsupported(f"a pool of {kernel} that pads by {list(pad)}")
    kind = "maxpool" if op.kind == "MaxPool" else "avgpool"
    return e.image(e.graph.pool(value.id, kind, tuple(kernel), tuple(strides), pad))


@handles("GlobalAveragePool")
def _global_average(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    return e.image(e.graph.global_avgpool(image(inputs[0]).id))


@handles("GlobalMaxPool")
def _global_max(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = image(inputs[0])
    _checked(list(value.sides[:2]), [1], NO_PAD)
    return e.image(e.graph.pool(value.id, "maxpool", value.sides[:2], 1, NO_PAD))


@handles("ReduceMean")
def _mean(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = plain(inputs[0])
    rank = len(value.dims)
    axes = {axis % rank for axis in numbers(op, inputs, 1, "axes") or range(rank)}
    wanted = {axis for axis in "hw" if value.length(axis) > 1}
    if {axis for i in axes for axis in value.dims[i]} != wanted:
        raise Unsupported("a mean over something else than height and width")
    made = Value(e.graph.global_avgpool(value.id), (1, 1, value.sides[2]),
                 image_dims((1, 1, value.sides[2])))
    dims = [() if i in axes else dim for i, dim in enumerate(value.dims)]
    if not op.attributes.get("keepdims", 1):
        dims = [dim for i, dim in enumerate(dims) if i not in axes]
    return replace(made, dims=tuple(dims))
