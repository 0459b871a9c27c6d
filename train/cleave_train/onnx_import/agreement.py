"""Holds an imported network against ONNX Runtime on a random picture, before it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from ..bundle import Bundle
from ..reference import Reference
from .read import Source
from .translate import Network

TOLERANCE = 1e-3  # of the output's largest number
HALF_TOLERANCE = 2e-2  # with fp16 weights


def run_onnx(path: Path, source: Source, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime makes of a normalised picture [1,h,w,3]: its output, flat."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = x.transpose(0, 3, 1, 2) if source.channels_first else x
    return session.run([source.output], {source.input: np.ascontiguousarray(given)})[0].ravel()


def check_answers(path: Path, source: Source, answers: Callable[[np.ndarray], np.ndarray],
                  tolerance: float) -> None:
    """Ends the program if a normalised picture [1,h,w,3] is answered otherwise than by the file."""
    x = np.random.default_rng(1).normal(0, 1, (1, *source.picture, 3)).astype(np.float32)
    ours, theirs = answers(x).ravel(), run_onnx(path, source, x)
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    if not difference <= tolerance:
        raise SystemExit(f"{path.name}: the translation differs from ONNX Runtime by "
                         f"{difference:.2g} of the largest output")


def check_agreement(path: Path, source: Source, network: Network, bundle: Bundle) -> None:
    """Ends the program if the bundle's whole network computes something else than the file."""
    nodes = bundle.document["graphs"]["full"]["nodes"]
    shown = nodes[:-1] if network.appended else nodes  # the file's output is before our softmax
    only = {"document": {"graphs": {"shown": {"nodes": shown}}}, "tensors": bundle.tensors}
    check_answers(path, source, lambda x: Reference(Bundle(**only)).run("shown", x), TOLERANCE)
