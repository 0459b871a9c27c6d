"""Operators that rearrange: reshapes, transposes, concatenations, resizes."""

from __future__ import annotations

from dataclasses import replace
from math import floor, prod

import numpy as np

from ..operators import nearest, source_positions
from .emit import Emitter, Operand, fixed, handles, image, numbers, plain
from .layout import Unsupported, Value
from .read import Op

COORDINATES = ("half_pixel", "asymmetric", "align_corners")


@handles("Shape")
def _shape(e: Emitter, op: Op, inputs: list[Operand]) -> np.ndarray:
    shape = inputs[0].shape
    return np.array(shape[op.attributes.get("start", 0):op.attributes.get("end")], np.int64)


@handles("Reshape")
def _reshape(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, wanted = plain(inputs[0]), fixed(inputs, 1)
    keep = not op.attributes.get("allowzero", 0)
    shape = [value.shape[i] if size == 0 and keep else int(size)
             for i, size in enumerate(wanted)]
    if -1 in shape:
        rest = -prod(shape)
        if rest < 1:
            raise Unsupported(f"{list(wanted)} is no shape")
        shape[shape.index(-1)] = prod(value.shape) // rest
    return value.reshaped(shape)


@handles("Flatten")
def _flatten(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = plain(inputs[0])
    axis = op.attributes.get("axis", 1)
    return value.reshaped((prod(value.shape[:axis]), prod(value.shape[axis:])))


@handles("Squeeze")
def _squeeze(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, axes = plain(inputs[0]), numbers(op, inputs, 1, "axes")
    rank = len(value.shape)
    gone = {axis % rank for axis in axes} if axes else \
        {i for i, size in enumerate(value.shape) if size == 1}
    return replace(value, dims=tuple(dim for i, dim in enumerate(value.dims) if i not in gone))


@handles("Unsqueeze")
def _unsqueeze(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, axes = plain(inputs[0]), numbers(op, inputs, 1, "axes") or []
    dims, rank = list(value.dims), len(value.dims) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        dims.insert(axis, ())
    return replace(value, dims=tuple(dims))


@handles("Gather")
def _gather(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, indices = plain(inputs[0]), fixed(inputs, 1)
    if value.shape != (indices.size,) or (indices.ravel() != np.arange(indices.size)).any():
        raise Unsupported("it picks some of its input's elements, or in another order")
    return value.reshaped(indices.shape)  # as torch's exporter writes a change of strides


@handles("Transpose")
def _transpose(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = inputs[0]
    return value.transposed(op.attributes.get("perm", range(len(value.dims))[::-1]))


@handles("Pad")
def _pad(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value, fill = inputs[0], fixed(inputs, 2)
    if op.attributes.get("mode", "constant") != "constant" or (fill is not None and fill.any()):
        raise Unsupported("padding by something else than zeros")
    rank = len(value.dims)
    axes = [axis % rank for axis in numbers(op, inputs, 3, "axes") or range(rank)]
    listed = numbers(op, inputs, 1, "pads")
    more = dict.fromkeys("hw", (0, 0))
    for axis, before, after in zip(axes, listed, listed[len(axes):]):
        if (before, after) == (0, 0):
            continue
        letter = "".join(value.dims[axis])
        if letter not in ("h", "w"):
            raise Unsupported("padding of something else than height and width")
        more[letter] = (before, after)
    added = (*more["h"], *more["w"])
    return replace(value, pad=tuple(a + b for a, b in zip(value.pad, added)))


@handles("Concat")
def _concat(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    values = [plain(operand) for operand in inputs]
    axis = op.attributes["axis"] % len(values[0].dims)
    for value in values:
        rest = [dim for i, dim in enumerate(value.dims) if i != axis]
        if value.dims[axis] not in (("c",), ()) or "c" in sum(rest, ()) or \
                rest != [dim for i, dim in enumerate(values[0].dims) if i != axis]:
            raise Unsupported("it joins something else than channels")
    joined = values[0].id
    for value in values[1:]:  # what begins alike is joined once: all that a dense block needs
        pair = (joined, value.id)
        if pair not in e.joined:
            e.joined[pair] = e.graph.concat(*pair)
        joined = e.joined[pair]
    dims = tuple(("c",) if i == axis else dim for i, dim in enumerate(values[0].dims))
    return Value(joined, e.graph.shapes[joined], dims)


@handles("DepthToSpace")
def _depth_to_space(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    return e.image(e.graph.depth_to_space(image(inputs[0]).id, op.attributes["blocksize"],
                                          op.attributes.get("mode", "DCR").lower()))


def _positions(mode: str, count: int, size: int, scale: float) -> np.ndarray:
    """Where ONNX finds `count` pixels in a line of `size`."""
    i = np.arange(count, dtype=np.float64)
    match mode:
        case "half_pixel":
            return (i + 0.5) / scale - 0.5
        case "pytorch_half_pixel":
            return (i + 0.5) / scale - 0.5 if count > 1 else i
        case "asymmetric":
            return i / scale
        case "align_corners":
            return i * (size - 1) / max(count - 1, 1)
        case _:
            raise Unsupported(f"coordinates {mode}")


ROUNDED = {"round_prefer_floor": lambda x: np.ceil(x - 0.5), "floor": np.floor, "ceil": np.ceil,
           "round_prefer_ceil": lambda x: np.floor(x + 0.5)}


def _resized(op: Op, value: Value, inputs: list[Operand]) -> tuple[list[int], list[float]]:
    """Height and width that a Resize makes, and the scales that it computes with."""
    rank = len(value.dims)
    axes = [axis % rank for axis in op.attributes.get("axes", range(rank))]
    scales, sizes = fixed(inputs, 2), fixed(inputs, 3)
    if op.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("a resize that keeps the aspect ratio")
    by_size = sizes is not None and sizes.size > 0
    made, used = list(value.shape), [1.0] * rank
    for at, axis in enumerate(axes):
        size = value.shape[axis]
        made[axis] = int(sizes[at]) if by_size else floor(size * float(scales[at]))
        used[axis] = made[axis] / size if by_size else float(scales[at])
    if made[:2] != list(value.shape[:2]):
        raise Unsupported("a resize of something else than height and width")
    return made[2:], used[2:]


@handles("Resize")
def _resize(e: Emitter, op: Op, inputs: list[Operand]) -> Value:
    value = image(inputs[0])
    made, scales = _resized(op, value, inputs)
    mode = op.attributes.get("mode", "nearest")
    if mode not in ("nearest", "linear") or op.attributes.get("antialias", 0):
        raise Unsupported(f"a resize by {mode} or with antialiasing")
    rounded = ROUNDED[op.attributes.get("nearest_mode", "round_prefer_floor")]
    lines = [_positions(op.attributes.get("coordinate_transformation_mode", "half_pixel"),
                        count, size, scale)
             for count, size, scale in zip(made, value.sides, scales)]
    for coordinates in COORDINATES:  # the one of the engine's that finds the same pixels
        ours = [source_positions(count, size, coordinates)
                for count, size in zip(made, value.sides)]
        if mode == "nearest":
            pairs = [(rounded(a), nearest(b, coordinates)) for a, b in zip(lines, ours)]
        else:
            pairs = list(zip(lines, ours))
        if all(np.allclose(a.clip(0, size - 1), b.clip(0, size - 1), atol=1e-4)
               for (a, b), size in zip(pairs, value.sides)):
            kind = "nearest" if mode == "nearest" else "bilinear"
            return e.image(e.graph.resize(value.id, tuple(made), kind, coordinates))
    raise Unsupported("a resize whose pixels lie where the engine's do not")
