"""Follows a network's operators from the picture on and writes the engine's graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Graph
from ..operators import Act
from .constants import evaluate
from .layout import NO_PAD, Unsupported, Value, image_dims
from .read import Op, Source

Operand = Value | np.ndarray | None  # None: absent
Handler = Callable[["Emitter", Op, list[Operand]], Operand]
HANDLERS: dict[str, Handler] = {}
ABSENT = ""  # the name of an input that is left out
EITHER_ORDER = ("Add", "Sum", "Sub", "Mul")  # these may have a constant first


def handles(*kinds: str) -> Callable[[Handler], Handler]:
    """Declares what writes operators of these kinds."""
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler
    return register


@dataclass(frozen=True)
class Problem:
    """An operator that cannot be written, and why."""

    op: Op
    reason: str

    def __str__(self) -> str:
        return f"{self.op.name} ({self.op.kind}): {self.reason}"


class Emitter:
    """A graph under construction; knows each ONNX tensor as a constant or a value of the graph."""

    def __init__(self, source: Source) -> None:
        height, width = source.picture
        self.source, self.tensors = source, {}
        self.graph = Graph(self.tensors, (height, width, 3))
        order = "nchw" if source.channels_first else "nhwc"
        self.known: dict[str, Operand] = {ABSENT: None, **source.constants}
        self.known[source.input] = Value(0, (height, width, 3),
                                         image_dims((height, width, 3), order))
        self.names: dict[str, int] = {}  # of operators -> value
        self.joined: dict[tuple[int, int], int] = {}  # concatenations made
        self.problems: list[Problem] = []

    def run(self) -> None:
        """All operators in order; what cannot be written is listed in `problems`."""
        for op in self.source.ops:
            if op.kind not in HANDLERS and not self._constant(op):
                self.problems.append(Problem(op, "the engine has no such operator"))
            elif all(name in self.known for name in op.inputs):
                try:
                    self._write(op)
                except Unsupported as reason:
                    self.problems.append(Problem(op, str(reason)))

    def _constant(self, op: Op) -> bool:
        """Are all inputs known numbers?"""
        return all(not isinstance(self.known.get(name), Value) and name in self.known
                   for name in op.inputs)

    def _write(self, op: Op) -> None:
        """One operator whose inputs are known."""
        inputs = [self.known[name] for name in op.inputs]
        if self._constant(op):
            try:
                results = evaluate(op, inputs, self.source.opset)
            except Exception as error:  # the reference raises what it likes
                raise Unsupported(f"ONNX's reference cannot compute it: {error}") from error
            self.known.update(zip(op.outputs, results))
            return
        if not isinstance(inputs[0], Value) and op.kind not in EITHER_ORDER:
            raise Unsupported("its first input is constant and another is not")
        result = HANDLERS[op.kind](self, op, inputs)
        self.known[op.output] = result
        if isinstance(result, Value):
            self.names[op.name] = result.id

    def put(self, array: np.ndarray, what: str) -> str:
        """Stores a tensor of the node to come."""
        name = f"{len(self.graph.nodes) + 1}.{what}"
        self.tensors[name] = np.ascontiguousarray(array, np.float32)
        return name

    def same(self, value: Value, made: int) -> Value:
        """A new value in the layout of another."""
        return replace(value, id=made)

    def image(self, made: int) -> Value:
        """A new value as [N,C,H,W]."""
        sides = self.graph.shapes[made]
        return Value(made, sides, image_dims(sides))

    def act(self, value: Value, act: Act) -> Value:
        """An activation of it."""
        return self.same(value, self.graph.act(value.id, act))

    def affine(self, value: Value, scale: np.ndarray | float, bias: np.ndarray | float) -> Value:
        """x * scale + bias, numbers or one of each for each channel."""
        channels = value.sides[2]
        return self.same(value, self.graph.affine(
            value.id, self.put(np.broadcast_to(scale, channels), "scale"),
            self.put(np.broadcast_to(bias, channels), "bias")))


def plain(operand: Operand) -> Value:
    """An operand that must be a value without zeros to be put around it."""
    if not isinstance(operand, Value):
        raise Unsupported("one of its inputs is a constant")
    if operand.pad != NO_PAD:
        raise Unsupported("zeros were put around its input, which only convolutions can take")
    return operand


def image(operand: Operand) -> Value:
    """An operand that must be laid out as [N,C,H,W]."""
    value = plain(operand)
    if not value.is_image():
        raise Unsupported(f"its input {list(value.shape)} is not laid out as [N,C,H,W]")
    return value


def fixed(inputs: Sequence[Operand], index: int) -> np.ndarray | None:
    """An operand that must be constant if it is there."""
    operand = inputs[index] if index < len(inputs) else None
    if isinstance(operand, Value):
        raise Unsupported(f"its input {index} is computed, not constant")
    return operand


def numbers(op: Op, inputs: Sequence[Operand], index: int, name: str) -> list[int] | None:
    """A list of integers that older opsets have as an attribute, newer ones as an input."""
    array = fixed(inputs, index)
    if array is not None:
        return [int(i) for i in array.ravel()]
    listed = op.attributes.get(name)
    return None if listed is None else list(listed)


def per_channel(value: Value, array: np.ndarray) -> np.ndarray:
    """A constant operand of a value as one number for each channel, float32 [c]."""
    if array.size and (array == array.flat[0]).all() and array.ndim <= len(value.shape):
        return np.full(value.sides[2], array.flat[0], np.float32)
    shape = (1,) * (len(value.shape) - array.ndim) + array.shape
    for size, dim in zip(shape, value.dims):
        if size != 1 and dim != ("c",):
            raise Unsupported(f"a constant {list(array.shape)} differs between positions of "
                              f"{list(value.shape)}")
    if len(shape) != len(value.shape):
        raise Unsupported(f"a constant {list(array.shape)} widens {list(value.shape)}")
    return array.ravel().astype(np.float32)
