"""The default bundle's network and a tail of it as int8 ONNX files, and what to send to them.

python write_networks.py FOLDER POINT, by the Python of the bench with bench/engines and train on
its path. They come from the bundle's weights and the sample photos. Writes full.onnx, tail.onnx,
and the photos' latents.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime
from cleave_train.bundle import load_bundle
from int8 import on_floats, write_int8
from layers import layers_of
from network import to_input
from write_onnx import write_onnx

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write everything into the folder that is named."""
    folder, point_id = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    bundle = on_floats(load_bundle(ROOT / "models" / "default.safetensors"))
    point = bundle.point(point_id)
    photos = sorted((ROOT / "models" / "samples").glob("*.jpg"))
    pictures = [to_input(photo.read_bytes()) for photo in photos]
    write_int8(bundle, "full", "N", pictures, folder / "full.onnx")
    head = folder / "head.onnx"
    write_onnx(bundle.document["graphs"][point["head"]]["input"], layers_of(bundle, point["head"]),
               "N", head)
    session = onnxruntime.InferenceSession(head, providers=["CPUExecutionProvider"])
    latents = [session.run(None, {"v0": picture})[0] for picture in pictures]
    for photo, latent in zip(photos, latents):
        (folder / photo.with_suffix(".latent").name).write_bytes(latent.tobytes())
    write_int8(bundle, point["tail"], "N", latents, folder / "tail.onnx")


if __name__ == "__main__":
    main()
