"""Recognises what exporters wrote out in small operators, and puts one operator in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .read import Op, Source

# A pattern is an operator (kind, inputs…), its last element perhaps attributes that it must have;
# "?x" is any tensor and "#epsilon" any single number, the same one wherever it is named; a number
# is a constant of that value. Inputs that a pattern does not tell must be constant.
Pattern = Any

_SQUASHED = ("Clip", ("Add", "?x", 3.0), 0.0, 6.0)
_ERF = tuple(("Add", ("Erf", scaled), 1.0)
             for scaled in (("Div", "?x", 2 ** 0.5), ("Mul", "?x", 0.5 ** 0.5)))
_CENTRED = ("Sub", "?x", ("ReduceMean", "?x"))
_DEVIATION = tuple(("Sqrt", ("Add", ("ReduceMean", square), "#epsilon"))
                   for square in (("Pow", _CENTRED, 2.0), ("Mul", _CENTRED, _CENTRED)))

PATTERNS: tuple[tuple[str, Pattern], ...] = (
    ("Silu", ("Mul", "?x", ("Sigmoid", "?x"))),
    ("HardSwish", ("Mul", "?x", ("HardSigmoid", "?x", {"alpha": 1 / 6, "beta": 0.5}))),
    ("HardSwish", ("Div", ("Mul", "?x", _SQUASHED), 6.0)),
    ("HardSwish", ("Mul", "?x", ("Div", _SQUASHED, 6.0))),
    *(("Gelu", shape) for erf in _ERF for shape in (
        ("Mul", ("Mul", "?x", erf), 0.5), ("Mul", ("Mul", "?x", 0.5), erf),
        ("Mul", "?x", ("Mul", erf, 0.5)))),
    *(("LayerNormalization", ("Div", _CENTRED, deviation)) for deviation in _DEVIATION),
)
COMMUTATIVE = ("Add", "Mul")
HARD_SIGMOID = {"alpha": 0.2, "beta": 0.5}  # where the file does not say


@dataclass(frozen=True)
class _Match:
    """What names stand for so far, and the operators seen."""

    bound: dict[str, Any] = field(default_factory=dict)
    ops: tuple[Op, ...] = ()

    def bind(self, name: str, value: Any) -> Iterator[_Match]:
        """With one more name, unless it stands for something else already."""
        if self.bound.get(name, value) == value:
            yield replace(self, bound={**self.bound, name: value})


class _Matcher:
    """Finds patterns that end in a given tensor."""

    def __init__(self, source: Source) -> None:
        self.constants = source.constants
        self.producers = {name: op for op in source.ops for name in op.outputs}

    def match(self, pattern: Pattern, tensor: str, so_far: _Match) -> Iterator[_Match]:
        """Every way to read the tensor as the pattern."""
        number = self.constants.get(tensor)
        number = float(number.flat[0]) if number is not None and number.size == 1 else None
        if isinstance(pattern, float):
            if number is not None and np.isclose(number, pattern, rtol=1e-5):
                yield so_far
        elif isinstance(pattern, str):
            found = tensor if pattern[0] == "?" else number
            if found is not None:
                yield from so_far.bind(pattern[1:], found)
        elif tensor in self.producers:
            yield from self._operator(pattern, self.producers[tensor], so_far)

    def _operator(self, pattern: tuple, op: Op, so_far: _Match) -> Iterator[_Match]:
        kind, *inputs = pattern
        attributes = inputs.pop() if isinstance(inputs[-1], dict) else {}
        given = HARD_SIGMOID | op.attributes
        if op.kind != kind or len(op.inputs) < len(inputs) or \
                any(name not in self.constants for name in op.inputs[len(inputs):]) or \
                any(not np.isclose(given[key], value) for key, value in attributes.items()):
            return
        so_far = replace(so_far, ops=(*so_far.ops, op))
        yield from self._all(inputs, op.inputs, so_far)
        if kind in COMMUTATIVE:
            yield from self._all(inputs[::-1], op.inputs, so_far)

    def _all(self, patterns: list, tensors: list[str], so_far: _Match) -> Iterator[_Match]:
        if not patterns:
            yield so_far
            return
        for found in self.match(patterns[0], tensors[0], so_far):
            yield from self._all(patterns[1:], tensors[1:], found)


def _mean_axes(ops: tuple[Op, ...], constants: dict[str, np.ndarray]) -> list[int] | None:
    """The axes of all the means in a match, None where they differ or do not stay."""
    found = set()
    for op in ops:
        if op.kind == "ReduceMean":
            axes = constants[op.inputs[1]] if len(op.inputs) > 1 else op.attributes.get("axes", ())
            found.add((op.attributes.get("keepdims", 1), *(int(axis) for axis in axes)))
    (keep, *axes), *others = found
    return axes if keep and axes and not others else None


def recognise(source: Source) -> Source:
    """The same network with larger operators, and without those that nothing needs any more."""
    matcher, ops = _Matcher(source), []
    for op in source.ops:
        for kind, pattern in PATTERNS:
            match = next(matcher.match(pattern, op.output, _Match()), None)
            if match is None:
                continue
            attributes = {key: value for key, value in match.bound.items() if key != "x"}
            if kind == "LayerNormalization":
                axes = _mean_axes(match.ops, source.constants)
                if axes is None:
                    continue
                attributes["axes"] = axes
            op = Op(kind, op.name, [match.bound["x"]], op.outputs, attributes)
            break
        ops.append(op)
    needed, kept = {source.output}, []
    for op in reversed(ops):
        if needed & set(op.outputs):
            needed |= set(op.inputs)
            kept.append(op)
    return replace(source, ops=kept[::-1])
