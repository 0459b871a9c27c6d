"""The bundle file: safetensors with the model's graphs and points as JSON in its metadata."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from .picture import InputSpec, by_channel

DTYPES = {"F16": np.float16, "BF16": bfloat16, "F32": np.float32, "I32": np.int32,
          "U8": np.uint8, "I8": np.int8}
DTYPE_NAMES = {np.dtype(kind): name for name, kind in DTYPES.items()}
MEASURED = ("bytes_mean", "bytes_p95", "top1", "top5", "pictures")


@dataclass
class Bundle:
    """A model: its JSON document and its tensors by name."""

    document: dict[str, Any]
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def point(self, point_id: str) -> dict[str, Any]:
        """The operating point of this id."""
        return next(p for p in self.document["points"] if p["id"] == point_id)

    @property
    def view(self) -> InputSpec:
        """How pictures are cut for it; its mean and scale are the reference executor's."""
        spec = self.document["input"]
        return InputSpec(spec["width"], spec["height"], spec["resize_shorter"], spec["filter"])

    def used_tensors(self) -> set[str]:
        """Names that graphs and priors refer to."""
        names = {value for prior in self.document["priors"].values() for value in prior.values()}
        for graph in self.document["graphs"].values():
            for node in graph["nodes"]:
                names |= {node[key] for key in ("weight", "scale", "bias") if key in node}
        return names


def input_document(spec: InputSpec) -> dict[str, Any]:
    """A bundle's `input`."""
    return {**asdict(spec), "mean": by_channel(spec.mean), "scale": by_channel(spec.scale)}


def unmeasured(point: dict[str, Any]) -> dict[str, Any]:
    """A point as it is before anything was measured."""
    bare = {key: value for key, value in point.items() if key not in MEASURED}
    if "exit" in bare:
        bare["exit"] = {key: value for key, value in bare["exit"].items() if key != "share"}
    return bare


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def fingerprint(bundle: Bundle) -> str:
    """16 hexadecimal digits of what the model computes; what is known of it does not count."""
    digest = hashlib.sha256()
    for name in sorted(bundle.tensors):
        array = bundle.tensors[name]
        digest.update(canonical([name, DTYPE_NAMES[array.dtype], list(array.shape)]))
        digest.update(np.ascontiguousarray(array).tobytes())
    points = [unmeasured(point) for point in bundle.document["points"]]
    graphs = {name: {k: v for k, v in graph.items() if k != "known_answer"}
              for name, graph in bundle.document["graphs"].items()}
    parts = {key: bundle.document[key] for key in ("priors", "input")}
    digest.update(canonical({**parts, "graphs": graphs, "points": points}))
    return digest.hexdigest()[:16]


def _layout_key(item: tuple[str, np.ndarray]) -> tuple[bool, int, str]:
    """Tensors of a multiple of 8 bytes come first, so that each of them is 8-byte aligned."""
    name, array = item
    return array.nbytes % 8 != 0, -array.itemsize, name


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Writes the file; the same bundle gives the same bytes."""
    header: dict[str, Any] = {
        "__metadata__": {"format": "cleave", "cleave": json.dumps(bundle.document, indent=None)}}
    offset, chunks = 0, []
    for name, array in sorted(bundle.tensors.items(), key=_layout_key):
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": DTYPE_NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))
    temporary.replace(path)


def load_bundle(path: Path) -> Bundle:
    """Reads a bundle through the safetensors library."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.offset_keys()}
    if metadata.get("format") != "cleave":
        raise ValueError(f"{path} is not a Cleave bundle")
    return Bundle(json.loads(metadata["cleave"]), tensors)
