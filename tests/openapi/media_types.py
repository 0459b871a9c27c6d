"""Hook for schemathesis: valid bodies of the media types that it cannot make."""

import json
import struct
from pathlib import Path

import schemathesis
from hypothesis import strategies

ROOT = Path(__file__).parents[2]


def tiny_model() -> dict:
    """The metadata inside the bundle that is served (docs/WIRE.md, "Bundle")."""
    with (ROOT / "tests" / "data" / "tiny.safetensors").open("rb") as bundle:
        (header_bytes,) = struct.unpack("<Q", bundle.read(8))
        header = json.loads(bundle.read(header_bytes))
    return json.loads(header["__metadata__"]["cleave"])


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def zstd_repeated(value: int, count: int) -> bytes:
    """A zstd frame of one run-length block (RFC 8878, section 3.1.1)."""
    block = struct.pack("<I", count << 3 | 1 << 1 | 1)[:3] + bytes([value])
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, count) + block


def frames() -> list[bytes]:
    """Frames of uniform latents for every uint8 point of the model."""
    model = tiny_model()
    made = []
    for number, point in enumerate(model["points"]):
        if point.get("codec") != "u8zstd":
            continue
        height, width, channels = point["latent"]
        for value in (0, 128, 255):
            payload = struct.pack("<ff", -2.0, 4.0 / 255)
            payload += zstd_repeated(value, height * width * channels)
            head = bytes([0xC5, 0x4C, 1, 2])
            head += struct.pack("<HHHH", number, channels, height, width)
            head += struct.pack("<Q", int(model["fingerprint"], 16))
            head += struct.pack("<I", len(payload))
            made.append(head + struct.pack("<I", crc32c(head + payload)) + payload)
    return made


PHOTOS = [path.read_bytes() for path in sorted((ROOT / "models" / "samples").glob("*.jpg"))]
FRAMES = frames()

schemathesis.openapi.media_type("image/jpeg", strategies.sampled_from(PHOTOS))
schemathesis.openapi.media_type(
    "application/vnd.cleave.frame",
    strategies.sampled_from(FRAMES),
    aliases=["application/octet-stream"],
)
