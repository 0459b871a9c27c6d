"""Triton's HTTP client, as it comes from PyPI, against a real cleaved."""

import base64
import json
import os
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

URL = os.environ["CLEAVE_URL"]
ROOT = Path(__file__).parents[2]
PHOTO = (ROOT / "tests" / "data" / "pictures" / "coffee.jpg").read_bytes()


@pytest.fixture(scope="module")
def client() -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(URL.removeprefix("http://")) as made:
        yield made


def post(path: str, body: bytes, media_type: str) -> Any:
    """What the native API, or a plain HTTP client, gets; decoded JSON."""
    request = urllib.request.Request(URL + path, body, {"Content-Type": media_type})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def jpeg_input(binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("jpeg", [1], "BYTES")
    data = PHOTO if binary else base64.b64encode(PHOTO)
    return tensor.set_data_from_numpy(np.array([data], dtype=np.object_), binary_data=binary)


def image_input(datatype: str, binary: bool = True, side: int = 32) -> triton.InferInput:
    pixels = np.random.default_rng(1).integers(0, 256, (1, side, side, 3))
    tensor = triton.InferInput("image", list(pixels.shape), datatype)
    dtype = np.float32 if datatype == "FP32" else np.uint8
    return tensor.set_data_from_numpy(pixels.astype(dtype), binary_data=binary)


def frame_input(binary: bool = True) -> triton.InferInput:
    """A uint8 frame of a uniform latent (docs/WIRE.md), for the point w100-u8."""
    metadata = json.load(urllib.request.urlopen(f"{URL}/v1/models/tiny"))
    number = next(i for i, p in enumerate(metadata["points"]) if p["id"] == "w100-u8")
    height, width, channels = metadata["points"][number]["latent"]
    count = height * width * channels
    block = struct.pack("<I", count << 3 | 1 << 1 | 1)[:3] + b"\x80"
    payload = struct.pack("<ff", -2.0, 4 / 255) + struct.pack("<IBI", 0xFD2FB528, 0xA0, count)
    payload += block
    head = bytes([0xC5, 0x4C, 1, 2]) + struct.pack("<HHHH", number, channels, height, width)
    head += struct.pack("<QI", int(metadata["fingerprint"], 16), len(payload))
    crc = 0xFFFFFFFF
    for byte in head + payload:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    frame = head + struct.pack("<I", crc ^ 0xFFFFFFFF) + payload
    tensor = triton.InferInput("frame", [len(frame)], "UINT8")
    return tensor.set_data_from_numpy(np.frombuffer(frame, np.uint8), binary_data=binary)


def test_health_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "0.1.0")
    assert not client.is_model_ready("tiny", "0.2.0")
    assert not client.is_model_ready("none")
    server = client.get_server_metadata()
    assert server["name"] == "cleaved"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("tiny")
    assert model["versions"] == ["0.1.0"]
    assert [tensor["name"] for tensor in model["inputs"]] == ["jpeg", "image", "frame"]
    assert model["inputs"][1]["shape"] == [1, 32, 32, 3]
    assert model["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [1, 10]}]


@pytest.mark.parametrize("version", ["", "0.1.0"])
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_a_jpeg_is_classified(
    client: triton.InferenceServerClient, binary_in: bool, binary_out: bool | None, version: str
) -> None:
    native = post("/v1/classify?top=10", PHOTO, "image/jpeg")
    outputs = None
    if binary_out is not None:
        outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary_out)]
    result = client.infer(
        "tiny", [jpeg_input(binary_in)], version, outputs=outputs, request_id="photo \"7\""
    )
    response = result.get_response()
    assert response["id"] == 'photo "7"'
    assert (response["model_name"], response["model_version"]) == ("tiny", "0.1.0")
    assert response["parameters"]["point"] == "offload"
    probabilities = result.as_numpy("probabilities")
    assert probabilities.shape == (1, 10)
    for item in native["top"]:
        assert probabilities[0, item["index"]] == pytest.approx(item["probability"], rel=1e-6)


@pytest.mark.parametrize("binary", [True, False])
def test_classes_come_best_first(client: triton.InferenceServerClient, binary: bool) -> None:
    native = post("/v1/classify?top=3", PHOTO, "image/jpeg")
    output = triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)
    classes = client.infer("tiny", [jpeg_input()], outputs=[output]).as_numpy("probabilities")
    assert classes.shape == (1, 3)
    for text, item in zip(classes[0], native["top"], strict=True):
        text = text.decode() if isinstance(text, bytes) else text
        value, index, label = text.split(":", 2)
        assert (int(index), label) == (item["index"], item["label"])
        assert float(value) == pytest.approx(item["probability"], abs=1e-6)


def test_images_agree_however_sent(client: triton.InferenceServerClient) -> None:
    answers = [
        client.infer("tiny", [image_input(datatype, binary)]).as_numpy("probabilities")
        for datatype in ("UINT8", "FP32")
        for binary in (True, False)
    ]
    assert answers[0].sum() == pytest.approx(1, abs=1e-3)
    for other in answers[1:]:
        np.testing.assert_array_equal(answers[0], other)


def test_a_frame_runs_its_tail(client: triton.InferenceServerClient) -> None:
    result = client.infer("tiny", [frame_input()])
    assert result.get_response()["parameters"]["point"] == "w100-u8"
    assert result.as_numpy("probabilities").sum() == pytest.approx(1, abs=1e-3)
    as_json = client.infer("tiny", [frame_input(binary=False)])
    np.testing.assert_array_equal(
        result.as_numpy("probabilities"), as_json.as_numpy("probabilities")
    )


def test_refusals_say_why(client: triton.InferenceServerClient) -> None:
    cases = [
        ("tiny", image_input("UINT8", side=31), "image is UINT8 or FP32 [1, 32, 32, 3]"),
        ("none", jpeg_input(), "no model of that name"),
        ("tiny", triton.InferInput("jpeg", [1], "INT64"), "datatype"),
    ]
    for model, tensor, reason in cases:
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, [tensor])
        assert reason in caught.value.message()
    wrong = triton.InferInput("picture", [4], "UINT8")
    wrong.set_data_from_numpy(np.zeros(4, np.uint8))
    with pytest.raises(InferenceServerException, match="jpeg, image or frame"):
        client.infer("tiny", [wrong])
    with pytest.raises(InferenceServerException, match="array of one tensor"):
        client.infer("tiny", [jpeg_input(), jpeg_input()])
    with pytest.raises(InferenceServerException, match="deadline"):
        client.infer("tiny", [jpeg_input()], timeout=1)


def test_models_are_unloaded_and_loaded(client: triton.InferenceServerClient) -> None:
    assert client.get_model_repository_index() == [
        {"name": "tiny", "version": "0.1.0", "state": "READY"}
    ]
    client.unload_model("tiny")
    assert not client.is_model_ready("tiny")
    assert client.get_model_repository_index() == [
        {
            "name": "tiny",
            "version": "0.1.0",
            "state": "UNAVAILABLE",
            "reason": "unloaded on request",
        }
    ]
    assert post("/v2/repository/index", b'{"ready": true}', "application/json") == []
    client.load_model("tiny")
    assert client.is_model_ready("tiny")
    client.infer("tiny", [jpeg_input()])
    with pytest.raises(InferenceServerException, match="no bundle of that name"):
        client.load_model("none")
    with pytest.raises(InferenceServerException, match="from the server's folder only"):
        client.load_model("tiny", config="{}", files={"file:1/model.safetensors": b"x"})
