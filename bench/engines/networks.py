"""The networks to measure, written for every engine: ONNX, bundle, flatbuffer, ncnn.

Run by the virtual environment of the bench: python networks.py FOLDER writes index.json there.
Weights are random but repeatable; the heads are those of the default bundle. Each comes on floats
and in int8: ours by `cleave_train quantize`, the peers' by ONNX Runtime's quantiser.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from cleave_train.bundle import Bundle, load_bundle, save_bundle
from cleave_train.int8.quantize import chosen_graphs, quantize_bundle
from cleave_train.onnx_import.importer import Request, build_bundle
from cleave_train.photos import find_photos
from cleave_train.reference import Reference
from cleave_train.refit import usable_pixels
from int8 import on_floats, write_int8
from layers import layers_of
from onnx_models import Size, export_onnx, random_network
from write_onnx import write_onnx
from write_tflite import write_tflite

ROOT = Path(__file__).resolve().parents[2]
BATCH = "N"  # the symbolic batch of every ONNX file

# name: (network, pixels, most that ours ÷ fastest peer may be: fp32, int8)
CLASSIFIERS = {
    "resnet18_160": ("resnet18", 160, 0.90, 1.00),
    "resnet18_224": ("resnet18", 224, 0.90, 1.00),
    "resnet50_224": ("resnet50", 224, 0.95, 1.00),
    "mobilenet_v2_224": ("mobilenet_v2", 224, 0.90, 0.90),
    "efficientnet_lite0_224": ("efficientnet_lite0", 224, 0.90, 0.90),
}
HEAD_TARGETS = {"fp32": 0.70, "int8": 0.70}
AGREEMENT = 1e-3  # of the largest output


def free_batch(path: Path) -> None:
    """Give an ONNX file a symbolic batch instead of one picture."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del model.graph.value_info[:]
    onnx.save(model, path)


def onnx_output(path: Path, picture: np.ndarray) -> np.ndarray:
    """What ONNX Runtime makes of float32 [1,h,w,3]."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return session.run(None, {name: picture.transpose(0, 3, 1, 2)})[0]


def tflite_output(path: Path, picture: np.ndarray) -> np.ndarray:
    """What LiteRT makes of float32 [1,h,w,3], channels second as in ONNX."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    made = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return made.transpose(0, 3, 1, 2) if made.ndim == 4 else made


def write_floats(bundle: Bundle, graph: str, folder: Path, name: str) -> dict:
    """The LiteRT and ncnn files of a graph whose ONNX file exists, compared with it."""
    shape = bundle.document["graphs"][graph]["input"]
    layers = layers_of(bundle, graph)
    if layers[-1].op == "softmax":  # which the importer has put behind the logits
        layers.pop()
    write_tflite(shape, layers, folder / f"{name}.tflite")
    picture = np.random.default_rng(1).standard_normal((1, *shape), dtype=np.float32)
    wanted = onnx_output(folder / f"{name}.onnx", picture)
    got = tflite_output(folder / f"{name}.tflite", picture).reshape(wanted.shape)
    if np.abs(got - wanted).max() > AGREEMENT * np.abs(wanted).max():
        raise SystemExit(f"{name}: LiteRT's file says something else than ONNX Runtime's")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([Path(sys.executable).parent / "pnnx", f"{name}.onnx",
                    f"inputshape=[1,{shape[2]},{shape[0]},{shape[1]}]f32", "fp16=0"],
                   cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return {"precision": "fp32", "file": name}


def write_bytes(bundle: Bundle, graph: str, folder: Path, name: str) -> dict:
    """The int8 file of a graph of a bundle on floats."""
    pictures = Reference(bundle).normalise(sample_pixels(bundle)).transpose(0, 3, 1, 2)
    write_int8(bundle, graph, BATCH, list(pictures[:, np.newaxis]), folder / f"{name}.onnx")
    return {"precision": "int8", "file": name}


def sample_pixels(bundle: Bundle) -> np.ndarray:
    """uint8 [n,h,w,3]: the sample photos as a bundle's network looks at them."""
    photos = find_photos([ROOT / "models" / "samples"], [])
    return usable_pixels(photos, bundle.view, len(photos))


def main() -> None:
    """Write everything into the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    index = []

    def save(bundles: dict[str, Bundle], place: str) -> dict[str, str]:
        """Of each precision; their files."""
        files = {"fp32": f"{place}.safetensors", "int8": f"{place}-int8.safetensors"}
        for precision, file in files.items():
            save_bundle(bundles[precision], folder / file)
        return files

    def add(name: str, bundle: Bundle, graph: str, saved: dict[str, str], macs: int,
            targets: dict[str, float]) -> None:
        for files in (write_floats(bundle, graph, folder, name),
                      write_bytes(bundle, graph, folder, f"{name}-int8")):
            index.append(files | {
                "name": name, "graph": graph, "macs": macs,
                "bundle": saved[files["precision"]],
                "shape": bundle.document["graphs"][graph]["input"],
                "target": targets[files["precision"]]})

    for name, (network, pixels, fp32, int8) in CLASSIFIERS.items():
        print(f"making {name}", file=sys.stderr)
        path = export_onnx(random_network(network, Size(pixels=pixels)), pixels,
                           folder / f"{name}.onnx")
        bundle = build_bundle(Request(path))
        free_batch(path)
        quantised = copy.deepcopy(bundle)
        quantize_bundle(quantised, chosen_graphs(quantised, []), sample_pixels(bundle))
        saved = save({"fp32": bundle, "int8": quantised}, name)
        add(name, bundle, "full", saved, bundle.point("offload")["tail_macs"],
            {"fp32": fp32, "int8": int8})
    default = load_bundle(ROOT / "models" / "default.safetensors")
    bundle = on_floats(default)
    (folder / "heads").mkdir(exist_ok=True)  # apart, for they are no network of their own
    saved = save({"fp32": bundle, "int8": default}, "heads/default")
    heads = {point["head"]: point for point in bundle.document["points"] if "head" in point}
    for graph, point in heads.items():
        name = graph.replace("/", "_")
        print(f"making {name}", file=sys.stderr)
        write_onnx(bundle.document["graphs"][graph]["input"], layers_of(bundle, graph), BATCH,
                   folder / f"{name}.onnx")
        add(name, bundle, graph, saved, point["head_macs"], HEAD_TARGETS)
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
