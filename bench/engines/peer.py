"""One peer, one network, one process: prints the median time of a call as JSON.

python peer.py ENGINE FOLDER FILE THREADS BATCH SECONDS wall|cpu, by the Python of the bench.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARM_UP_SECONDS = 0.3
LEAST_RUNS = 7


def onnxruntime(path: Path, threads: int, picture: np.ndarray) -> Callable[[], object]:
    """ONNX Runtime's CPU provider, all optimisations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_free_dimension_override_by_name("N", len(picture))
    session = ort.InferenceSession(path.with_suffix(".onnx"), options,
                                   providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: picture}
    return lambda: session.run(None, feed)


def openvino(path: Path, threads: int, picture: np.ndarray) -> Callable[[], object]:
    """OpenVINO's CPU plugin. Its default on chips with bf16 is bf16, so f32 is forced."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(path.with_suffix(".onnx"))
    model.reshape(picture.shape)
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(picture))
    return request.infer


def litert(path: Path, threads: int, picture: np.ndarray) -> Callable[[], object]:
    """LiteRT with XNNPACK, which it takes by itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path.with_suffix(".tflite")), num_threads=threads)
    source = interpreter.get_input_details()[0]["index"]
    picture = picture.transpose(0, 2, 3, 1).copy()
    interpreter.resize_tensor_input(source, picture.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source, picture)
    return interpreter.invoke


def ncnn(path: Path, threads: int, picture: np.ndarray) -> Callable[[], object]:
    """ncnn, which has no batches: its pictures go in turn."""
    import ncnn as engine

    net = engine.Net()
    net.opt.num_threads = threads
    net.opt.use_bf16_storage = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(path.with_suffix(".ncnn.param")))
    net.load_model(str(path.with_suffix(".ncnn.bin")))

    def run() -> None:
        for one in picture:
            extractor = net.create_extractor()
            extractor.input("in0", engine.Mat(one))
            extractor.extract("out0")

    return run


def main() -> None:
    """Warm up, then take times until the seconds are over."""
    engine, folder, file, threads, batch, seconds, clock = sys.argv[1:]
    now = {"wall": time.perf_counter, "cpu": time.process_time}[clock]
    entry = next(entry for entry in json.loads((Path(folder) / "index.json").read_text())
                 if entry["file"] == file)
    height, width, channels = entry["shape"]
    picture = np.random.default_rng(1).standard_normal((int(batch), channels, height, width),
                                                       dtype=np.float32)
    prepare = {"onnxruntime": onnxruntime, "openvino": openvino, "litert": litert, "ncnn": ncnn}
    call = prepare[engine](Path(folder) / file, int(threads), picture)
    call()
    began = now()
    while now() - began < WARM_UP_SECONDS:
        call()
    times: list[float] = []
    began = now()
    while now() - began < float(seconds) or len(times) < LEAST_RUNS:
        start = now()
        call()
        times.append(now() - start)
    print(json.dumps({"median_ms": float(np.median(times)) * 1000, "runs": len(times)}))


if __name__ == "__main__":
    main()
