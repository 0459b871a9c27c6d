"""Holds an imported network against ONNX Runtime on a random picture, before it is written."""

from __future__ import annotations

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


def check_agreement(path: Path, source: Source, network: Network, bundle: Bundle) -> None:
    """Ends the program if the bundle's whole network computes something else than the file."""
    x = np.random.default_rng(1).normal(0, 1, (1, *source.picture, 3)).astype(np.float32)
    nodes = bundle.document["graphs"]["full"]["nodes"]
    shown = nodes[:-1] if network.appended else nodes  # the file's output is before our softmax
    only = {"document": {"graphs": {"shown": {"nodes": shown}}}, "tensors": bundle.tensors}
    ours = Reference(Bundle(**only)).run("shown", x).ravel()
    theirs = run_onnx(path, source, x)
    difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
    half = any(array.dtype == np.float16 for array in bundle.tensors.values())
    if not difference <= (HALF_TOLERANCE if half else TOLERANCE):
        raise SystemExit(f"{path.name}: the translation differs from ONNX Runtime by "
                         f"{difference:.2g} of the largest output; nothing was written")
