"""The picture pipeline does what the golden files say, and refuses what it must."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleave_train.golden import SPECS
from cleave_train.photos import find_photos
from cleave_train.picture import (
    InputSpec,
    PictureError,
    dct_scale,
    load_pixels,
    random_pixels,
    resized_size,
)

PICTURES = Path(__file__).parents[2] / "tests" / "data" / "pictures"
SPEC = InputSpec()


def jpeg(size: tuple[int, int], mode: str = "RGB") -> bytes:
    """A smooth picture of this size (width, height)."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    rgb = np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(rgb).convert(mode).save(out, "JPEG")
    return out.getvalue()


def test_golden_pictures() -> None:
    expected = json.loads((PICTURES / "pictures.json").read_text())["pictures"]
    for name, sums in expected.items():
        for key, digest in sums.items():
            pixels = load_pixels((PICTURES / name).read_bytes(), SPECS[key])
            assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest, (name, key)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (1, 1), (3000, 2100), (225, 224)])
def test_shape(size: tuple[int, int]) -> None:
    assert load_pixels(jpeg(size), SPEC).shape == (224, 224, 3)
    view = random_pixels(jpeg(size), SPEC, np.random.default_rng(0))
    assert view.shape == (224, 224, 3)


def test_sizes() -> None:
    assert resized_size(300, 200, 256) == (384, 256)
    assert resized_size(3, 2, 1) == (2, 1)  # 1.5 rounds up
    assert [dct_scale(s, 256) for s in (511, 1022, 1023, 2045, 4089)] == [1, 1, 2, 4, 8]


def test_refusals() -> None:
    with pytest.raises(PictureError):
        load_pixels(jpeg((64, 64), "CMYK"), SPEC)
    with pytest.raises(OSError):
        load_pixels(jpeg((640, 640))[:2000], SPEC)
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    with pytest.raises(PictureError):
        load_pixels(png.getvalue(), SPEC)


def test_folder_and_tar_agree(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for i, name in enumerate(("a/1.jpg", "a/skip_2.jpg", "b/3.JPEG")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg((20 + i, 10)))
    (folder / "a" / "note.txt").write_text("no picture")
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for path in sorted(folder.rglob("*.*")):
            tar.add(path, path.relative_to(folder).as_posix())
    plain = find_photos([folder], ["*/skip_*"])
    packed = find_photos([tmp_path / "set.tar"], ["*/skip_*"])
    assert [p.name for p in plain] == [p.name for p in packed] == ["set/a/1.jpg", "set/b/3.JPEG"]
    assert [p.read() for p in plain] == [p.read() for p in packed]
    assert [p.folder for p in plain] == ["a", "b"]
