"""Measures operating points and codec baselines through the C engine, on labelled pictures."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .agreement import reference_answers
from .baselines import Codec, round_trips
from .bundle import MEASURED, Bundle, load_bundle, save_bundle
from .coder import Family
from .engine import Answers, engine_answers, write_ppm
from .figures import combine_exit, figures, pair_figures
from .known_answer import add_known_answers
from .labels import truth_index
from .photos import Photo, find_photos
from .picture import load_pixels

YARDSTICK = Codec("jpeg", 75)  # what the client would otherwise send
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of an early exit's confidence
Row = dict[str, Any]


@dataclass
class Request:
    """What to measure; the base's undivided network is what all is compared with."""

    bundles: list[Path]
    photos: list[Path]
    engine: str
    sets: tuple[str, ...] = ()
    points: tuple[str, ...] = ()      # of the bundles; none: all
    codecs: tuple[Codec, ...] = ()
    codec_network: Path | None = None  # a bundle whose network was tuned on codecs' pictures
    exits: tuple[str, ...] = ()       # points whose answers may end a picture's way
    original: Path | None = None      # a bundle whose points of the same ids are compared with
    agreement: bool = False           # compare with PyTorch too

    @property
    def base(self) -> Path:
        """The original if there is one, else the first bundle."""
        return self.original or self.bundles[0]


def picture_set(photo: Photo) -> str:
    """The folder above the class folder: the set that a picture belongs to."""
    return photo.name.split("/")[-3]


def point_of_kind(bundle: Bundle, kind: str) -> str:
    """Id of the bundle's first point of a kind."""
    return next(p["id"] for p in bundle.document["points"] if p["kind"] == kind)


def parameters(bundle: Bundle, graph: str) -> int:
    """Weights, scales and biases that a graph uses; of a slice, the slice alone."""
    total = 0
    for node in bundle.document["graphs"][graph]["nodes"]:
        if "weight" not in node:
            continue
        shape = list(bundle.tensors[node["weight"]].shape)
        if "channels" in node:
            shape[-1] = node["channels"][1] - node["channels"][0]
        if "out" in node:
            shape[0] = node["out"][1] - node["out"][0]
        if "inch" in node:
            shape[-1] = node["inch"][1] - node["inch"][0]
        outputs = shape[-1] if node["op"] == "dwconv" else shape[0]
        total += int(np.prod(shape)) + outputs * sum(key in node for key in ("scale", "bias"))
    return total


def made_of(bundle: Bundle) -> Row:
    """Which bundle it is, and how long it was trained on how many views."""
    document, origin = bundle.document, bundle.document["provenance"]
    return {"name": document["name"], "bundle": document["fingerprint"],
            "training_steps": origin.get("training_steps", 0),
            "training_views": origin.get("training_views", 0)}


class Pictures:
    """Labelled pictures, laid out as files that the engine can open."""

    def __init__(self, request: Request, bundle: Bundle, folder: Path) -> None:
        self.folder = folder
        self.photos = [p for p in find_photos(request.photos)
                       if not request.sets or picture_set(p) in request.sets]
        if not self.photos:
            raise SystemExit("no validation pictures found")
        labels, self.view = bundle.document["labels"], bundle.view
        self.expected = np.array([truth_index(labels, photo.folder) for photo in self.photos])
        self.sets = np.array([picture_set(photo) for photo in self.photos])
        self.files = [self._file(i, photo) for i, photo in enumerate(self.photos)]

    def _file(self, number: int, photo: Photo) -> Path:
        if photo.size < 0:
            return photo.path
        path = self.folder / f"{number:06d}.jpg"
        path.write_bytes(photo.read())
        return path

    def pixels(self) -> np.ndarray:
        """What the network sees of them: uint8 [N,h,w,3]."""
        return np.stack([load_pixels(photo.read(), self.view) for photo in self.photos])


def codec_answers(engine: str, network: Path, point: str, codec: Codec, pixels: np.ndarray,
                  folder: Path) -> Answers:
    """What an undivided network makes of pictures that went through a codec."""
    back, sizes = round_trips(codec, pixels)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        files = [Path(place) / f"{i:06d}.ppm" for i in range(len(back))]
        for file, picture in zip(files, back):
            write_ppm(file, picture)
        answers = engine_answers(engine, network, [point], files)[point]
    answers.frame_bytes = sizes
    return answers


def stands_on(bundle: Bundle, early: Row, split: Row) -> bool:
    """Whether an exit's graph goes on from the head of a split point."""
    graphs = bundle.document["graphs"]
    head = graphs[split["head"]]["nodes"]
    return graphs[early["graph"]]["nodes"][:len(head)] == head


class Evaluation:
    """One run of measurements: rows of figures, all against the same base."""

    def __init__(self, request: Request, pictures: Pictures) -> None:
        self.request, self.pictures = request, pictures
        base = load_bundle(request.base)
        whole = point_of_kind(base, "local")
        self.known = {request.base: engine_answers(
            request.engine, request.base,
            list(dict.fromkeys([*(p["id"] for p in self._wanted(base)), whole])), pictures.files)}
        self.local = self.known[request.base][whole]
        self.pixels = pictures.pixels()
        self.yardstick = self._codec(YARDSTICK, request.base)

    def _wanted(self, bundle: Bundle) -> list[Row]:
        """The bundle's points that were asked for."""
        return [p for p in bundle.document["points"]
                if not self.request.points or p["id"] in self.request.points]

    def _codec(self, codec: Codec, network: Path) -> Answers:
        return codec_answers(self.request.engine, network,
                             point_of_kind(load_bundle(network), "local"), codec, self.pixels,
                             self.pictures.folder)

    def _figures(self, answers: Answers) -> Row:
        return figures(answers, self.local, self.yardstick, self.pictures.expected,
                       self.pictures.sets)

    def bundle_rows(self, path: Path) -> list[Row]:
        """All wanted points of a bundle, and its early exits."""
        bundle = load_bundle(path)
        points = self._wanted(bundle)
        answers = self.known.get(path) or engine_answers(
            self.request.engine, path, [p["id"] for p in points], self.pictures.files)
        reference = reference_answers(bundle, self.pictures.photos) \
            if self.request.agreement else {}
        original = self._original(points)
        rows = []
        for point in points:
            given = answers[point["id"]]
            row = self._row(bundle, point) | self._figures(given)
            if "exit" in point:
                row["left"] = round(float((given.frame_bytes == 0).mean()), 4)
            if point["id"] in original:
                row |= pair_figures(given, original[point["id"]], self.pictures.expected)
            if point["id"] in reference:
                same = given.top[:, 0] == reference[point["id"]].top[:, 0]
                row["agreement"] = round(float(same.mean()), 4)
            rows.append(row)
        return rows + self._exit_rows(bundle, points, answers)

    def _original(self, points: list[Row]) -> dict[str, Answers]:
        """What the original's points of the same ids say."""
        if self.request.original is None:
            return {}
        known = self.known[self.request.base]
        return {point["id"]: known[point["id"]] for point in points if point["id"] in known}

    def _row(self, bundle: Bundle, point: Row) -> Row:
        """What is known of a point without running it."""
        recipe = bundle.document["provenance"].get("recipe", {})
        graph = point.get("head", point.get("graph"))
        on_device = [graph] + ([point["exit"]["graph"]] if "exit" in point else [])
        full = bundle.point(point_of_kind(bundle, "local"))["graph"]
        name = bundle.document["name"]
        method = recipe.get("method", name)
        kind = Family.kind(graph.removeprefix("head/"))
        if kind != Family.SLIM:
            method = kind
        elif name.startswith(method):
            method = name  # a recipe that says how it differs, like bottlefit-qat
        return {"series": point["kind"] if graph == full else method,
                **made_of(bundle), "point": point["id"], "kind": point["kind"],
                **{key: point[key] for key in ("width", "rate", "ensemble", "quality")
                   if key in point},
                "head_macs": point["head_macs"], "tail_macs": point["tail_macs"],
                "params_head": 0 if point["kind"] == "offload"
                else sum(parameters(bundle, graph) for graph in on_device)}

    def _exit_rows(self, bundle: Bundle, points: list[Row], answers: dict[str, Answers]
                   ) -> list[Row]:
        """Each exit in front of each split point of its head, at several thresholds.

        The device runs head and exit for every picture, the server its tail for those that are
        not sure.
        """
        exits = self.request.exits
        pairs = [(early, split) for early in points if early["id"] in exits for split in points
                 if split["kind"] == "split" and "exit" not in split
                 and stands_on(bundle, early, split)]
        rows = []
        for (early, split), threshold in product(pairs, THRESHOLDS):
            combined, left = combine_exit(answers[early["id"]], answers[split["id"]], threshold)
            rows.append(self._row(bundle, split) | {
                "kind": "exit", "point": f"{split['id']} behind {early['id']}@{threshold:g}",
                "left": round(left, 4), "head_macs": early["head_macs"],
                "params_head": parameters(bundle, early["graph"]),
                "tail_macs": round((1 - left) * split["tail_macs"]),
            } | self._figures(combined))
        return rows

    def codec_rows(self) -> list[Row]:
        """The codecs, in front of the base's network or of one that was tuned on them."""
        path = self.request.codec_network or self.request.base
        network, rows = load_bundle(path), []
        tuned = self.request.codec_network is not None
        for codec in tqdm(self.request.codecs, desc="codecs", unit="quality"):
            known = codec == YARDSTICK and not tuned
            answers = self.yardstick if known else self._codec(codec, path)
            whole = network.point(point_of_kind(network, "local"))
            rows.append({
                "series": f"{codec.name}-tuned" if tuned else codec.name, **made_of(network),
                "point": codec.point, "kind": "codec", "codec": codec.name,
                "quality": codec.quality, "head_macs": 0, "params_head": 0,
                "tail_macs": whole["head_macs"],
                **({} if tuned else {"training_steps": 0, "training_views": 0}),
            } | self._figures(answers))
        return rows


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _points(row: Row, key: str) -> str:
    """A difference and its standard error in percentage points, if it was measured."""
    return f"{100 * row[key]:+.1f} ± {100 * row[f'{key}_se']:.1f}" if key in row else ""


def table(rows: list[Row]) -> str:
    """The rows in Markdown; the columns at the end only where something has them."""
    columns = {
        "series": lambda row: row["series"],
        "point": lambda row: row["point"],
        "head MMAC": lambda row: f"{row['head_macs'] / 1e6:.1f}",
        "bytes mean / p95": lambda row: f"{row['bytes_mean']:,.0f} / {row['bytes_p95']:,.0f}",
        "top-1": lambda row: _percent(row["top1"]),
        "top-5": lambda row: _percent(row["top5"]),
        "against local": lambda row: _points(row, "difference"),
        "against JPEG q75": lambda row: _points(row, "against_jpeg"),
        "agreement": lambda row: _percent(row.get("agreement")),
    }
    if any("left" in row for row in rows):
        columns |= {"left early": lambda row: _percent(row.get("left"))}
    if any("against_original" in row for row in rows):
        columns |= {"against original": lambda row: _points(row, "against_original"),
                    "same class": lambda row: _percent(row.get("same_class"))}
    lines = [list(columns), ["---"] * len(columns)]
    lines += [[text(row) for text in columns.values()] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_measured(path: Path, rows: list[Row]) -> None:
    """Puts measured figures and known answers into a bundle; its fingerprint stays."""
    bundle = load_bundle(path)
    measured = {row["point"]: row for row in rows}
    for point in bundle.document["points"]:
        if point["id"] in measured:
            point |= {key: measured[point["id"]][key] for key in MEASURED}
            if "exit" in point:
                point["exit"]["share"] = measured[point["id"]]["left"]
    add_known_answers(bundle)
    save_bundle(bundle, path)


def evaluate(request: Request, results: Path | None = None, write: bool = False) -> list[Row]:
    """Measures, prints the table, and writes what was asked for."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = Pictures(request, load_bundle(request.bundles[0]), Path(folder))
        run = Evaluation(request, pictures)
        rows = []
        for path in request.bundles:
            mine = run.bundle_rows(path)
            if write:
                write_measured(path, mine)
            rows += mine
        rows += run.codec_rows()
    print(table(rows))
    if results:
        results.write_text(json.dumps({"engine": Path(request.engine).name, "rows": rows},
                                      indent=1) + "\n")
    return rows
