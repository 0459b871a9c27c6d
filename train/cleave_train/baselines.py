"""JPEG and WebP as a client would otherwise send a picture: real files of the network's input."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

ENCODER = {"jpeg": {"optimize": True}, "webp": {"method": 6}}  # JPEG's chroma is 4:2:0


@dataclass(frozen=True)
class Codec:
    """An image codec at one quality of its own scale, 0 to 100."""

    name: str
    quality: int

    @property
    def point(self) -> str:
        """How figures call it: jpeg-q75."""
        return f"{self.name}-q{self.quality}"

    def encode(self, pixels: np.ndarray) -> bytes:
        """The file of one picture uint8 [h,w,3]."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, self.name.upper(), quality=self.quality,
                                     **ENCODER[self.name])
        return file.getvalue()

    def round_trip(self, pixels: np.ndarray) -> tuple[np.ndarray, int]:
        """(what comes back uint8 [h,w,3], bytes of the file)."""
        data = self.encode(pixels)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), len(data)


def parse_codecs(texts: list[str]) -> list[Codec]:
    """Codecs of arguments like `jpeg:75,30`."""
    codecs = []
    for text in texts:
        name, _, qualities = text.partition(":")
        if name not in ENCODER or not all(q.isdigit() for q in qualities.split(",")):
            raise SystemExit(f"{text!r} is not like jpeg:75,30 or webp:50,20")
        codecs += [Codec(name, int(quality)) for quality in qualities.split(",")]
    return codecs


def round_trips(codec: Codec, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N,h,w,3] -> (what comes back, file sizes [N])."""
    with ThreadPoolExecutor() as pool:
        pairs = list(pool.map(codec.round_trip, pixels))
    return np.stack([picture for picture, _ in pairs]), np.array([size for _, size in pairs])
