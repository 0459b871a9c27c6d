"""Takes a bundle's graphs to int8 with a few hundred pictures, without training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
from torch import Tensor

from ..bundle import Bundle, unmeasured
from ..known_answer import seal
from ..reference import Reference
from .arithmetic import Quant
from .ranges import affine
from .rewrite import Rewriter

BATCH = 16
Row = dict[str, Any]


def graphs_of(point: Row) -> list[str]:
    """The graphs that a point runs."""
    return [point[key] for key in ("head", "tail", "graph") if key in point]


def chosen_graphs(bundle: Bundle, names: list[str]) -> list[str]:
    """The points' graphs of these names, `head` being every `head/...`; no name: all.

    What pictures enter comes first.
    """
    points = bundle.document["points"]
    entered = [Reference.first_graph(point) for point in points]
    used = dict.fromkeys(entered + [graph for point in points for graph in graphs_of(point)])
    unknown = [name for name in names
               if not any(name in (graph, graph.split("/")[0]) for graph in used)]
    if unknown:
        raise SystemExit(f"no point runs a graph {unknown[0]!r}; there are {', '.join(used)}")
    chosen = [graph for graph in used
              if not names or graph in names or graph.split("/")[0] in names]
    done = [graph for graph in chosen
            if any("quant" in node for node in bundle.document["graphs"][graph]["nodes"])]
    if done:
        raise SystemExit(f"{done[0]} is in int8 already")
    return chosen


def _inputs(reference: Reference, graph: str, pixels: np.ndarray) -> Iterator[np.ndarray]:
    """What enters a graph: pictures, or their latents as frames restore them, float32 [n,h,w,c].

    The points that share a tail take turns.
    """
    senders = [p for p in reference.bundle.document["points"] if p.get("tail") == graph]
    for k, start in enumerate(range(0, len(pixels), BATCH)):
        x = reference.normalise(pixels[start:start + BATCH])
        if senders:
            point = senders[k % len(senders)]
            x = reference.through_codec(point, reference.run(point["head"], x))
        yield x


def picture_quant(reference: Reference) -> Quant:
    """Codes for all that a normalised picture can hold."""
    ends = [reference.normalise(np.full(3, level, np.uint8)) for level in (0, 255)]
    return affine(float(np.min(ends)), float(np.max(ends)))


def _agreement(exact: list[Tensor], rounded: list[Tensor]) -> float:
    """How often two graphs name the same class."""
    same = [(a.argmax(1) == b.argmax(1)).double().mean().item() for a, b in zip(exact, rounded)]
    return float(np.average(same, weights=[len(batch) for batch in exact]))


def _error(exact: list[Tensor], rounded: list[Tensor]) -> float:
    """Root mean square of the difference, relative to that of the values."""
    squares = [(((b - a) ** 2).sum().item(), (a ** 2).sum().item())
               for a, b in zip(exact, rounded)]
    wrong, all_ = np.sum(squares, 0)
    return float((wrong / all_) ** 0.5)


def _report(rewriter: Rewriter) -> str:
    """A line on what became of a graph."""
    exact, rounded = rewriter.results()
    found = f"same class on {100 * _agreement(exact, rounded):.1f} % of the pictures" \
        if rewriter.old[-1]["op"] == "softmax" else \
        f"error {100 * _error(exact, rounded):.1f} % of the values"
    return (f"{rewriter.graph}: {len(rewriter.chosen)} of {len(rewriter.old)} nodes in int8, "
            f"{found}")


def quantize_bundle(bundle: Bundle, graphs: list[str], pixels: np.ndarray) -> None:
    """Replaces graphs by such as compute in int8; pixels uint8 [N,h,w,3] to calibrate with.

    Points stay what they are but for their measured figures, which no longer hold. Priors stay:
    latents differ by less than what frames round them by.
    """
    reference, document = Reference(bundle), bundle.document
    origin = document["fingerprint"]
    tails = {point["tail"] for point in document["points"] if "tail" in point}
    for graph in graphs:
        quant = None if graph in tails else picture_quant(reference)
        rewriter = Rewriter(reference, graph, list(_inputs(reference, graph, pixels)), quant)
        nodes = rewriter.run()
        print(_report(rewriter), flush=True)
        document["graphs"][graph]["nodes"] = nodes
    document["points"] = [unmeasured(point) if set(graphs) & set(graphs_of(point)) else point
                          for point in document["points"]]
    bundle.tensors = {name: bundle.tensors[name] for name in sorted(bundle.used_tensors())}
    document["provenance"]["int8"] = {
        "graphs": graphs, "of": origin, "pictures": len(pixels), "date": date.today().isoformat()}
    seal(bundle)
