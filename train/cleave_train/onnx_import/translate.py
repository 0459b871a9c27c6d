"""From an ONNX file to one graph of the engine: read, recognise, emit, simplify."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..graph import Graph
from . import elements, shapes, windows  # noqa: F401 (each declares what it handles)
from .emit import Emitter
from .layout import Value
from .patterns import recognise
from .read import Source
from .simplify import clean_cuts, fuse, part

LARGEST_LATENT = 1 << 20


@dataclass
class Network:
    """A classifier as the engine runs it."""

    graph: Graph  # from the picture to what the file's output is, and a softmax if that is none
    names: dict[str, int]  # of the file's operators -> value of the graph
    makers: dict[str, str]  # of the file's tensors -> operator
    appended: bool  # was a softmax appended?

    def cuts(self) -> list[int]:
        """The values behind which it can be split."""
        return [value for value in clean_cuts(self.graph)
                if prod(self.graph.shapes[value]) <= LARGEST_LATENT
                and self.graph.nodes[value - 1]["op"] != "softmax"]

    def cut(self, name: str) -> int:
        """The value behind which the operator or tensor of this name is to be split."""
        value, possible = self.names.get(self.makers.get(name, name)), self.cuts()
        if value in possible:
            return value
        listed = "\n".join("  " + ", ".join(key for key, at in self.names.items() if at == cut)
                           + f": {'x'.join(map(str, self.graph.shapes[cut]))}" for cut in possible)
        reason = "there is no such node" if value is None else "later nodes reach around it"
        raise SystemExit(f"cannot split behind {name!r}: {reason}; possible are\n{listed}")


def translate(source: Source) -> Network:
    """The whole network; a list of everything that cannot be expressed ends the program."""
    source = recognise(source)
    emitter = Emitter(source)
    emitter.run()
    if emitter.problems:
        listed = "\n".join(f"  {problem}" for problem in emitter.problems)
        raise SystemExit(f"{source.origin['file']} cannot be imported:\n{listed}")
    output = emitter.known.get(source.output)
    if not isinstance(output, Value) or output.sides[:2] != (1, 1):
        raise SystemExit(f"the output {source.output} is not one number for each class")
    graph = emitter.graph
    appended = graph.nodes[output.id - 1]["op"] != "softmax"
    last = graph.softmax(output.id) if appended else output.id
    graph, kept = part(graph, 0, last)
    graph, fused = fuse(graph)
    graph, kept_again = part(graph, 0, len(graph.nodes))
    names = {name: kept_again.get(fused.get(kept.get(value))) for name, value in
             emitter.names.items()}
    return Network(graph, {name: value for name, value in names.items() if value},
                   {op.output: op.name for op in source.ops}, appended)
