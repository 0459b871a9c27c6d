"""Where the engine's axes lie in an ONNX tensor.

The engine keeps every value as [height, width, channels]. Each dimension of the ONNX tensor is the
product of some of these axes, in order: of [1,C,H,W] () (c) (h) (w), of its transpose for a layer
norm () (h) (w) (c), of its flattening () (c,h,w). Transposing and reshaping change this record
alone and cost nothing. Axes of length 1 are left out, so that they fit anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

Dims = tuple[tuple[str, ...], ...]
NO_PAD = (0, 0, 0, 0)


class Unsupported(Exception):
    """An operator cannot be expressed; the message says why."""


@dataclass(frozen=True)
class Value:
    """An ONNX tensor that is a value of the engine's graph."""

    id: int
    sides: tuple[int, int, int]  # height, width, channels
    dims: Dims
    pad: tuple[int, int, int, int] = NO_PAD  # zeros around it, not yet added

    def length(self, axis: str) -> int:
        """Of the engine's axis h, w or c."""
        return self.sides["hwc".index(axis)]

    @property
    def shape(self) -> tuple[int, ...]:
        """As ONNX sees it."""
        sizes = [prod(self.length(axis) for axis in dim) for dim in self.dims]
        if self.pad != NO_PAD:
            for axis, more in (("h", self.pad[0] + self.pad[1]), ("w", self.pad[2] + self.pad[3])):
                sizes[self.position(axis)] += more
        return tuple(sizes)

    def position(self, axis: str) -> int:
        """The dimension that is this axis alone."""
        if (axis,) not in self.dims:
            raise Unsupported(f"its input {list(self.shape)} has no dimension for {axis} alone")
        return self.dims.index((axis,))

    @property
    def axes(self) -> tuple[str, ...]:
        """All axes longer than 1, in the tensor's order."""
        return tuple(axis for dim in self.dims for axis in dim)

    def is_image(self) -> bool:
        """[N,C,H,W]?"""
        return self.dims == image_dims(self.sides)

    def transposed(self, order: Sequence[int]) -> Value:
        """Dimensions in another order."""
        return replace(self, dims=tuple(self.dims[i] for i in order))

    def reshaped(self, shape: Sequence[int]) -> Value:
        """The same numbers in other dimensions."""
        axes, dims = list(self.axes), []
        for size in shape:
            dim: list[str] = []
            while prod(self.length(axis) for axis in dim) < size and axes:
                dim.append(axes.pop(0))
            if prod(self.length(axis) for axis in dim) != size:
                raise Unsupported(f"{list(self.shape)} as {list(shape)} would split an axis of "
                                  "the picture or its channels")
            dims.append(tuple(dim))
        if axes:
            raise Unsupported(f"{list(self.shape)} does not have the size of {list(shape)}")
        return replace(self, dims=tuple(dims))


def image_dims(sides: tuple[int, int, int], order: str = "nchw") -> Dims:
    """Of a picture in this order."""
    return tuple((axis,) if axis != "n" and sides["hwc".index(axis)] > 1 else ()
                 for axis in order)
