"""The default bundle's network and a tail of it as int8 ONNX files, and what to send to them.

python write_networks.py FOLDER POINT, by the Python of the bench with bench/engines and train on
its path. ONNX Runtime's own static quantiser makes them (QDQ, a scale for each channel), from the
bundle's weights and the sample photos. Writes full.onnx, tail.onnx, and the photos' latents.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from cleave_train.bundle import Bundle, load_bundle
from layers import layers_of
from network import to_input
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from write_onnx import write_onnx

ROOT = Path(__file__).resolve().parents[2]


def on_floats(bundle: Bundle) -> Bundle:
    """The same bundle with its graphs' int8 taken out, which is where a quantiser starts."""
    graphs = {}
    for name, graph in bundle.document["graphs"].items():
        value_of, nodes = {0: 0}, []
        for i, node in enumerate(graph["nodes"], 1):
            inputs = [value_of[value] for value in node["in"]]
            if node["op"] in ("quantize", "dequantize"):
                value_of[i] = inputs[0]
                continue
            nodes.append({key: value for key, value in node.items() if key != "quant"}
                         | {"in": inputs})
            value_of[i] = len(nodes)
        graphs[name] = graph | {"nodes": nodes}
    return Bundle(bundle.document | {"graphs": graphs}, bundle.tensors)


class Samples(CalibrationDataReader):
    """Inputs that the quantiser sees, each float32 [1,c,h,w]."""

    def __init__(self, inputs: list[np.ndarray]) -> None:
        self.turn: Iterator[np.ndarray] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next, as ONNX Runtime wants it."""
        value = next(self.turn, None)
        return None if value is None else {"v0": value}


def write_int8(bundle: Bundle, graph: str, inputs: list[np.ndarray], path: Path) -> None:
    """Quantise one graph; the softmax at its end stays on floats, as in the bundle."""
    with tempfile.TemporaryDirectory() as scratch:
        floats, prepared = Path(scratch) / "floats.onnx", Path(scratch) / "prepared.onnx"
        write_onnx(bundle.document["graphs"][graph]["input"], layers_of(bundle, graph), "N", floats)
        quant_pre_process(floats, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, path, Samples(inputs), quant_format=QuantFormat.QDQ,
                        per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8,
                        op_types_to_quantize=["Conv", "Add", "GlobalAveragePool", "Clip"])


def main() -> None:
    """Write everything into the folder that is named."""
    folder, point_id = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    bundle = on_floats(load_bundle(ROOT / "models" / "default.safetensors"))
    point = bundle.point(point_id)
    photos = sorted((ROOT / "models" / "samples").glob("*.jpg"))
    pictures = [to_input(photo.read_bytes()) for photo in photos]
    write_int8(bundle, "full", pictures, folder / "full.onnx")
    head = folder / "head.onnx"
    write_onnx(bundle.document["graphs"][point["head"]]["input"], layers_of(bundle, point["head"]),
               "N", head)
    session = onnxruntime.InferenceSession(head, providers=["CPUExecutionProvider"])
    latents = [session.run(None, {"v0": picture})[0] for picture in pictures]
    for photo, latent in zip(photos, latents):
        (folder / photo.with_suffix(".latent").name).write_bytes(latent.tobytes())
    write_int8(bundle, point["tail"], latents, folder / "tail.onnx")


if __name__ == "__main__":
    main()
