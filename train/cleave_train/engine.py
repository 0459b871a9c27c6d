"""Asks the C engine's cleave-eval what it makes of pictures."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm


@dataclass
class Answers:
    """What one point said: classes [N,5], bytes sent [N], probability of the best class [N]."""

    top: np.ndarray
    frame_bytes: np.ndarray
    confidence: np.ndarray


def write_ppm(path: Path, pixels: np.ndarray) -> None:
    """uint8 [h,w,3] as the binary PPM that cleave-eval takes as it is."""
    height, width, _ = pixels.shape
    path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + np.ascontiguousarray(pixels).tobytes())


def _collect(lines: list[dict], points: list[str], files: list[Path]) -> dict[str, Answers]:
    """Answers by point, in the order of the files."""
    by_key = {(line["point"], line["file"]): line for line in lines if "top" in line}
    collected = {}
    for point in points:
        ordered = [by_key[point, str(file)] for file in files]
        collected[point] = Answers(np.array([line["top"] for line in ordered]),
                                   np.array([line["frame_bytes"] for line in ordered]),
                                   np.array([line["probability"][0] for line in ordered]))
    return collected


def engine_answers(program: str, bundle: Path, points: list[str],
                   files: list[Path]) -> dict[str, Answers]:
    """These points of a bundle over picture files, JPEG or PPM."""
    with tempfile.TemporaryFile("w+") as names, tempfile.TemporaryFile("w+") as errors:
        names.write("".join(f"{file}\n" for file in files))
        names.seek(0)
        with subprocess.Popen([program, str(bundle), *points], stdin=names, stderr=errors,
                              stdout=subprocess.PIPE, text=True) as run:
            lines = [json.loads(line) for line in tqdm(run.stdout, total=len(files) * len(points),
                                                       desc="engine", unit="answer", leave=False)]
        errors.seek(0)
        message = errors.read()[-2000:]
    failed = [line for line in lines if "error" in line]
    if run.returncode != 0 or failed or len(lines) != len(files) * len(points):
        raise SystemExit(f"{program} {bundle}: exit {run.returncode}, {len(lines)} answers for "
                         f"{len(files)} pictures by {len(points)} points\n"
                         f"{failed[0] if failed else message}")
    return _collect(lines, points, files)
