"""Evaluation: figures, early exits, codecs, and what an engine's answers end up as."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleave_train.baselines import Codec, parse_codecs, round_trips
from cleave_train.bundle import fingerprint, load_bundle, save_bundle
from cleave_train.engine import Answers, engine_answers, write_ppm
from cleave_train.evaluate import THRESHOLDS, Request, evaluate, parameters, table
from cleave_train.figures import combine_exit, figures, pair_figures
from cleave_train.picture import InputSpec, load_pixels
from cleave_train.qualities import add_qualities
from cleave_train.tiny import tiny_bundle

ROOT = Path(__file__).parents[2]
ENGINE = """#!{python}
import json, sys
for line in sys.stdin:
    for point in sys.argv[2:]:
        print(json.dumps({{"file": line.strip(), "point": point, "frame_bytes": 100,
                           "top": [0, 1, 2, 3, 4], "probability": [0.2] * 5}}))
"""


def answers(classes: list[int], sizes: list[int], confidence: list[float]) -> Answers:
    """Answers whose other four classes are wrong."""
    rest = np.full((len(classes), 4), 99)
    return Answers(np.column_stack([classes, rest]), np.array(sizes), np.array(confidence))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One picture of each of two classes."""
    folder = tmp_path / "val" / "even"
    for label in ("class 0", "class 1"):
        (folder / label).mkdir(parents=True)
        pixels = np.random.default_rng(8).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / label / "a.jpg")
    return tmp_path / "val"


@pytest.fixture
def engine(tmp_path: Path) -> str:
    """An engine that always gives the same answer."""
    program = tmp_path / "engine"
    program.write_text(ENGINE.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def test_figures() -> None:
    expected, sets = np.arange(4), np.array(["a", "a", "b", "b"])
    right = answers([0, 1, 2, 3], [0] * 4, [1.0] * 4)
    once = answers([0, 1, 9, 3], [10, 20, 30, 40], [1.0] * 4)
    twice = answers([9, 9, 2, 3], [0] * 4, [1.0] * 4)
    row = figures(once, right, twice, expected, sets)
    assert (row["top1"], row["difference"], row["difference_se"]) == (0.75, -0.25, 0.25)
    assert (row["against_jpeg"], row["against_jpeg_se"]) == (0.25, 0.4787)
    assert (row["bytes_mean"], row["bytes_p95"], row["pictures"]) == (25, 38.5, 4)
    assert row["top1_by_set"] == {"a": 1.0, "b": 0.5}


def test_a_point_beside_its_original() -> None:
    expected = np.arange(4)
    before, after = (answers(classes, [0] * 4, [1.0] * 4)
                     for classes in ([0, 1, 2, 9], [0, 1, 8, 7]))
    assert pair_figures(after, before, expected) == {
        "against_original": -0.25, "against_original_se": 0.25, "same_class": 0.5}


def test_confident_pictures_leave_early() -> None:
    early = answers([1, 2, 3, 4], [0] * 4, [0.9, 0.7, 0.2, 0.5])
    split = answers([5, 6, 7, 8], [100, 200, 300, 400], [0.6] * 4)
    both, left = combine_exit(early, split, 0.7)
    assert both.top[:, 0].tolist() == [1, 2, 7, 8]
    assert both.frame_bytes.tolist() == [0, 0, 300, 400]
    assert both.confidence.tolist() == [0.9, 0.7, 0.6, 0.6]
    assert left == 0.5


def test_codecs_make_real_files() -> None:
    spec = InputSpec(64, 64, 64)
    sample = (ROOT / "models" / "samples" / "cat.jpg").read_bytes()
    pixels = load_pixels(sample, spec)[None]
    sizes = {}
    for codec in parse_codecs(["jpeg:75,10", "webp:50"]):
        back, size = round_trips(codec, pixels)
        assert back.shape == pixels.shape and back.dtype == np.uint8
        assert size[0] == len(codec.encode(pixels[0]))
        assert np.abs(back.astype(int) - pixels).mean() < 20
        sizes[codec.point] = int(size[0])
    assert sizes["jpeg-q75"] > sizes["jpeg-q10"] > 0
    with pytest.raises(SystemExit):
        parse_codecs(["png:3"])


def test_figures_are_written(tmp_path: Path, photos: Path, engine: str) -> None:
    path, results = tmp_path / "tiny.safetensors", tmp_path / "results.json"
    bundle = tiny_bundle()
    save_bundle(bundle, path)

    evaluate(Request([path], [photos], engine, sets=("even",), codecs=(Codec("webp", 20),)),
             results, write=True)

    again = load_bundle(path)
    assert again.document["fingerprint"] == bundle.document["fingerprint"]
    for point in again.document["points"]:
        assert (point["top1"], point["top5"], point["pictures"]) == (0.5, 1.0, 2)
        assert point["bytes_mean"] == 100
    rows = {row["point"]: row for row in json.loads(results.read_text())["rows"]}
    assert set(rows) == {p["id"] for p in bundle.document["points"]} | {"webp-q20"}
    assert rows["webp-q20"]["series"] == "webp"
    assert 0 < rows["webp-q20"]["bytes_mean"] != 100
    local = rows["local"]
    assert local["series"] == "local" and local["params_head"] == parameters(bundle, "full")
    assert all(row["difference"] == row["against_jpeg"] == 0 for row in rows.values())


def test_points_are_compared_with_an_original(tmp_path: Path, photos: Path, engine: str) -> None:
    path, original = tmp_path / "int8.safetensors", tmp_path / "fp32.safetensors"
    bundle = tiny_bundle()
    save_bundle(bundle, path)
    bundle.document["points"] = [p for p in bundle.document["points"] if p["id"] != "w100-u8"]
    save_bundle(bundle, original)
    rows = evaluate(Request([path], [photos], engine, original=original))
    compared = {row["point"]: row.get("same_class") for row in rows}
    assert compared.pop("w100-u8") is None
    assert set(compared.values()) == {1.0}
    assert "| against original | same class |" in table(rows)
    assert "against original" not in table([row for row in rows if row["point"] == "w100-u8"])


def test_exit_stands_in_front_of_the_points_of_its_head(tmp_path: Path, photos: Path,
                                                        engine: str) -> None:
    bundle, path = tiny_bundle(), tmp_path / "tiny.safetensors"
    point = next(p for p in bundle.document["points"] if p["kind"] == "split")
    same = [p["id"] for p in bundle.document["points"] if p.get("head") == point["head"]]
    bundle.document["graphs"]["exit"] = bundle.document["graphs"][point["head"]]
    bundle.document["points"].append({"id": "exit", "kind": "local", "graph": "exit",
                                      "head_macs": 123, "tail_macs": 0})
    save_bundle(bundle, path)
    rows = [row for row in evaluate(Request([path], [photos], engine, exits=("exit",)))
            if row["kind"] == "exit"]
    assert len(rows) == len(THRESHOLDS) * len(same)
    assert {row["point"].split(" ")[0] for row in rows} == set(same)
    for row in rows:  # the fake engine is never sure
        assert (row["left"], row["head_macs"], row["bytes_mean"]) == (0, 123, 100)
        assert row["tail_macs"] == point["tail_macs"]


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
def test_a_points_exit_is_measured_by_the_engine(tmp_path: Path, photos: Path) -> None:
    """The tail serves for the exit, at a threshold between the two pictures' confidences."""
    bundle, path = tiny_bundle(), tmp_path / "tiny.safetensors"
    early, plain = (bundle.point(f"w50-{rate}") for rate in ("low", "high"))
    files = sorted(photos.glob("*/*/*.jpg"))
    Image.open(ROOT / "models" / "samples" / "cat.jpg").save(files[0])
    early["exit"] = {"graph": early["tail"], "threshold": 1e-6}
    save_bundle(bundle, path)
    engine = os.environ["CLEAVE_EVAL"]
    sure = engine_answers(engine, path, [early["id"]], files)[early["id"]]
    assert sure.frame_bytes.tolist() == [0, 0]
    early["exit"]["threshold"] = float(sure.confidence.mean())
    early["prior"] = plain["prior"]  # the same frames
    save_bundle(bundle, path)

    rows = {row["point"]: row for row in evaluate(Request([path], [photos], engine), write=True)}
    measured = load_bundle(path).point(early["id"])
    given = engine_answers(engine, path, [early["id"], plain["id"]], files)
    assert sorted(given[early["id"]].frame_bytes > 0) == [False, True]
    kept = given[early["id"]].frame_bytes > 0
    np.testing.assert_array_equal(given[early["id"]].frame_bytes[kept],
                                  given[plain["id"]].frame_bytes[kept])
    assert measured["exit"]["share"] == rows[early["id"]]["left"] == 0.5
    assert measured["bytes_mean"] == given[early["id"]].frame_bytes.mean()
    assert measured["pictures"] == 2
    assert "left" not in rows[plain["id"]]
    assert rows[early["id"]]["params_head"] == \
        rows[plain["id"]]["params_head"] + parameters(bundle, early["tail"])


def test_engine_that_fails_is_reported(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(SystemExit, match="exit 1"):
        engine_answers("false", tmp_path / "none", ["local"], [photos])


def test_qualities_become_points() -> None:
    bundle = tiny_bundle()
    before = [dict(point) for point in bundle.document["points"]]
    old = bundle.document["fingerprint"]
    add_qualities(bundle, [75, 30])
    points = bundle.document["points"]
    assert points[:-2] == before  # nobody's number changes
    assert [(p["id"], p["quality"]) for p in points[-2:]] == \
        [("offload-q75", 75), ("offload-q30", 30)]
    assert all(p["graph"] == before[0]["graph"] and "top1" not in p for p in points[-2:])
    assert bundle.document["fingerprint"] == fingerprint(bundle) != old
    for wrong in (75, 0, 101):
        with pytest.raises(SystemExit):
            add_qualities(bundle, [wrong])


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
def test_the_engine_encodes_again(tmp_path: Path) -> None:
    """A point of some quality is measured on real files, which shrink and blur with it."""
    path = tmp_path / "tiny.safetensors"
    bundle = tiny_bundle()
    add_qualities(bundle, [95, 10])
    save_bundle(bundle, path)
    photos = [ROOT / "models" / "samples" / name for name in ("cat.jpg", "coffee.jpg")]
    points = ["offload", "offload-q95", "offload-q10"]
    given = engine_answers(os.environ["CLEAVE_EVAL"], path, points, photos)
    whole, fine, coarse = (given[point] for point in points)
    assert whole.frame_bytes.tolist() == [photo.stat().st_size for photo in photos]
    assert (coarse.frame_bytes < fine.frame_bytes).all()
    assert (fine.frame_bytes < whole.frame_bytes).all()
    assert (np.abs(fine.confidence - whole.confidence)
            < np.abs(coarse.confidence - whole.confidence) + 0.02).all()
    small = tmp_path / "small.jpg"  # encoded again it would grow: sent as it is
    Image.open(photos[0]).resize((36, 36)).save(small, quality=5, optimize=True)
    given = engine_answers(os.environ["CLEAVE_EVAL"], path, points, [small])
    assert given["offload-q95"].frame_bytes[0] == small.stat().st_size
    assert given["offload-q95"].confidence[0] == given["offload"].confidence[0]


@pytest.mark.skipif("CLEAVE_EVAL" not in os.environ, reason="CLEAVE_EVAL names no cleave-eval")
def test_ppm_is_the_picture_that_a_jpeg_becomes(tmp_path: Path) -> None:
    """The prepared pixels as PPM give the very answers of the JPEG; broken PPMs none."""
    program, bundle = os.environ["CLEAVE_EVAL"], ROOT / "models" / "default.safetensors"
    spec = load_bundle(bundle).document["input"]
    view = InputSpec(spec["width"], spec["height"], spec["resize_shorter"], spec["filter"])
    jpeg, ppm = ROOT / "models" / "samples" / "cat.jpg", tmp_path / "cat.ppm"
    write_ppm(ppm, load_pixels(jpeg.read_bytes(), view))
    given = engine_answers(program, bundle, ["local"], [jpeg, ppm])["local"]
    np.testing.assert_array_equal(given.top[0], given.top[1])
    assert given.confidence[0] == given.confidence[1]

    whole = ppm.read_bytes()
    header = b"P6\n224 224\n255\n"
    assert whole.startswith(header)
    for broken in (whole[:-1], whole + b"x", b"P6", b"P6 # no\n" + whole[3:],
                   b"P6\n224 223\n255\n" + whole[len(header):], whole.replace(b"255", b"127", 1),
                   b"P6 99999999999 224 255\n" + whole[len(header):]):
        ppm.write_bytes(broken)
        with pytest.raises(SystemExit, match="PPM"):
            engine_answers(program, bundle, ["local"], [ppm])
