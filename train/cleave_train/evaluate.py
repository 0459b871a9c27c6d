"""Accuracy, bytes and agreement of every operating point, by the C engine and by PyTorch."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .bundle import Bundle, load_bundle, save_bundle
from .export import synsets
from .photos import Photo, find_photos
from .picture import InputSpec, load_pixels
from .reference import Reference

BATCH = 50


@dataclass
class Answers:
    """What one engine said by one point: classes [N,5], frame sizes [N] or None if unknown."""

    top: np.ndarray
    frame_bytes: np.ndarray | None


def picture_set(photo: Photo) -> str:
    """The folder above the class folder: the set that a picture belongs to."""
    return photo.name.split("/")[-3]


def truth(photos: list[Photo]) -> np.ndarray:
    """Class index [N]: the rank of the folder's synset id."""
    rank = {synset: i for i, synset in enumerate(synsets())}
    return np.array([rank[photo.folder] for photo in photos])


def reference_answers(bundle: Bundle, photos: list[Photo]) -> dict[str, Answers]:
    """Every point through the reference executor; rANS frame sizes are ideal code lengths."""
    reference, spec = Reference(bundle), bundle.document["input"]
    view = InputSpec(spec["width"], spec["height"], spec["resize_shorter"], spec["filter"])
    points = bundle.document["points"]
    top: dict[str, list] = {p["id"]: [] for p in points}
    size: dict[str, list] = {p["id"]: [] for p in points}
    for start in tqdm(range(0, len(photos), BATCH), desc="reference", unit="batch"):
        jpegs = [photo.read() for photo in photos[start:start + BATCH]]
        pixels = np.stack([load_pixels(jpeg, view) for jpeg in jpegs])
        x, ran = reference.normalise(pixels), {}
        for point in points:
            graph = reference.first_graph(point)
            if graph not in ran:
                ran[graph] = reference.run(graph, x)
            probabilities = reference.finish(point, ran[graph])
            top[point["id"]].append(np.argsort(-probabilities, axis=1, kind="stable")[:, :5])
            if point["kind"] == "offload":
                size[point["id"]].append([len(jpeg) for jpeg in jpegs])
            elif point["kind"] == "local":
                size[point["id"]].append([0] * len(jpegs))
            elif point["codec"] == "rans":
                size[point["id"]].append(reference.frame_bytes(point, ran[graph]))
    return {p["id"]: Answers(np.concatenate(top[p["id"]]),
                             np.concatenate(size[p["id"]]) if size[p["id"]] else None)
            for p in points}


def engine_answers(program: str, bundle: Path, point: str, paths: list[Path]) -> Answers:
    """One point through the C engine's cleave-eval."""
    run = subprocess.run([program, str(bundle), point], input="\n".join(map(str, paths)) + "\n",
                         capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    if run.returncode != 0 or len(lines) != len(paths):
        raise SystemExit(f"{program} {point}: exit {run.returncode}, {len(lines)} answers for "
                         f"{len(paths)} pictures\n{run.stderr[-2000:]}")
    by_file = {line["file"]: line for line in lines}
    ordered = [by_file[str(path)] for path in paths]
    return Answers(np.array([line["top"] for line in ordered]),
                   np.array([line["frame_bytes"] for line in ordered]))


def figures(answers: Answers, local: Answers, expected: np.ndarray) -> dict[str, Any]:
    """Accuracies, bytes and the paired difference to `local`, of one point."""
    hit, base = (a.top[:, 0] == expected for a in (answers, local))
    difference = hit.astype(float) - base
    result: dict[str, Any] = {
        "pictures": len(expected),
        "top1": round(float(hit.mean()), 4),
        "top5": round(float((answers.top == expected[:, None]).any(1).mean()), 4),
        "difference": round(float(difference.mean()), 4),
        "difference_se": round(float(difference.std(ddof=1) / len(expected) ** 0.5), 4),
    }
    if answers.frame_bytes is not None:
        result["bytes_mean"] = round(float(answers.frame_bytes.mean()), 1)
        result["bytes_p95"] = round(float(np.quantile(answers.frame_bytes, 0.95)), 1)
    return result


def report_of(answers: dict[str, Answers], reference: dict[str, Answers],
              photos: list[Photo]) -> dict[str, dict[str, Any]]:
    """All figures by point: over all pictures, and top-1 of each set."""
    expected, sets = truth(photos), np.array([picture_set(photo) for photo in photos])
    report = {}
    for point, given in answers.items():
        report[point] = figures(given, answers["local"], expected)
        report[point]["agreement"] = round(
            float((given.top[:, 0] == reference[point].top[:, 0]).mean()), 4)
        report[point]["top1_by_set"] = {
            name: round(float((given.top[:, 0] == expected)[sets == name].mean()), 4)
            for name in sorted(set(sets))}
    return report


def table(report: dict[str, dict[str, Any]], bundle: Bundle) -> str:
    """The report in Markdown."""
    lines = ["| point | head MMAC | bytes mean / p95 | top-1 | top-5 | against local | agreement |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for point, row in report.items():
        size = "not known"
        if "bytes_mean" in row:
            size = f"{row['bytes_mean']:,.0f} / {row['bytes_p95']:,.0f}"
        lines.append(
            f"| {point} | {bundle.point(point)['head_macs'] / 1e6:.1f} | {size} "
            f"| {100 * row['top1']:.1f} % | {100 * row['top5']:.1f} % "
            f"| {100 * row['difference']:+.1f} ± {100 * row['difference_se']:.1f} "
            f"| {100 * row['agreement']:.1f} % |")
    return "\n".join(lines)


def write_measured(bundle: Bundle, report: dict[str, dict[str, Any]], path: Path) -> None:
    """Puts the measured figures into the bundle's points; its fingerprint stays."""
    for point, row in report.items():
        for key in ("bytes_mean", "bytes_p95", "top1", "top5", "pictures"):
            bundle.point(point)[key] = row[key]
    save_bundle(bundle, path)


def evaluate(bundle_path: Path, paths: list[Path], sets: list[str], engine: str,
             report_path: Path | None, write: bool) -> None:
    """Measures, prints the table, and writes what was asked for."""
    bundle = load_bundle(bundle_path)
    photos = [p for p in find_photos(paths) if not sets or picture_set(p) in sets]
    if not photos:
        raise SystemExit("no validation pictures found")
    reference = reference_answers(bundle, photos)
    answers = reference
    if engine != "torch":
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / f"{i:06d}.jpg" for i in range(len(photos))]
            for file, photo in zip(files, photos):
                file.write_bytes(photo.read())
            answers = {point: engine_answers(engine, bundle_path, point, files)
                       for point in tqdm(reference, desc="engine", unit="point")}
    report = report_of(answers, reference, photos)
    print(table(report, bundle))
    if engine == "torch":
        print("Frame sizes are estimates: ideal code length, state and header.")
    if report_path:
        report_path.write_text(json.dumps({
            "bundle": bundle.document["fingerprint"], "engine": Path(engine).name,
            "points": report}, indent=1) + "\n")
    if write:
        if engine == "torch":
            raise SystemExit("--write needs the C engine: the reference only estimates frame sizes")
        write_measured(bundle, report, bundle_path)
