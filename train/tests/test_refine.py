"""From an ONNX file to a trained bottleneck: import, fit, export, the C engine."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_models import (
    SMALL,
    SqueezeExcite,
    classifier,
    conv_bn,
    export_onnx,
    inverted,
    random_network,
)
from PIL import Image
from test_onnx_networks import engine_probabilities, needs_engine
from torch import nn
from torch.nn import functional as F

from cleave_train.__main__ import parser
from cleave_train.backbones import identity, load_backbone
from cleave_train.bundle import Bundle, load_bundle
from cleave_train.engine import engine_answers, write_ppm
from cleave_train.onnx_import.refinement import halvings
from cleave_train.picture import InputSpec
from cleave_train.recipe import BackboneSpec, load_recipe
from cleave_train.reference import Reference

PIXELS, SPLIT = 48, "/3/Add"
CLASSES = ("checks", "columns", "rows", "slopes")


def pattern(kind: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [PIXELS,PIXELS,3]: two random colours in one of four patterns, with noise."""
    y, x = np.mgrid[:PIXELS, :PIXELS] / rng.uniform(1.5, 3) + rng.uniform(0, 6, (2, 1, 1))
    wave = (np.sin(x) * np.sin(y), np.sin(x), np.sin(y), np.sin(x + y))[kind]
    colours = rng.uniform(0, 255, (2, 3))
    noisy = np.where(wave[..., None] > 0, *colours) + rng.normal(0, 12, (*wave.shape, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def trained_network(steps: int = 80) -> nn.Module:
    """A small network with squeeze and excite, SiLU and hard swish that tells patterns apart."""
    torch.manual_seed(1)
    squeeze = SqueezeExcite(32, 8, nn.ReLU(), nn.Sigmoid())
    model = nn.Sequential(
        conv_bn(3, 16, 3, 2, act=nn.Hardswish()), inverted(16, 32, 16, 3, 2, nn.SiLU, squeeze),
        inverted(16, 32, 24, 3, 2, nn.Hardswish), inverted(24, 48, 24, 3, 1, nn.SiLU),
        conv_bn(24, 48, 1, act=nn.Hardswish()), classifier(48, len(CLASSES)))
    rng, optimizer = np.random.default_rng(4), torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(steps):
        kinds = rng.integers(0, len(CLASSES), 32)
        x = torch.from_numpy(np.stack([pattern(kind, rng) for kind in kinds])).permute(0, 3, 1, 2)
        loss = F.cross_entropy(model((x - 127.5) / 127.5), torch.from_numpy(kinds))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def command(*words: object) -> None:
    """Runs a subcommand."""
    args = parser().parse_args([str(word) for word in words])
    args.call(args)


@dataclass
class Place:
    """A folder with a network, photos of four kinds, a plain split and its recipe."""

    folder: Path
    recipe: str

    def train(self, name: str, text: str) -> Bundle:
        """Fits and exports by a recipe of this text: the bundle, also at `name`.safetensors."""
        recipe, bundle = self.folder / f"{name}.toml", self.folder / f"{name}.safetensors"
        recipe.write_text(text)
        words = ("--recipe", recipe, "--photos", self.folder / "photos", "--threads", 1, "--run",
                 self.folder / name, "--cache", self.folder / "cache")
        command("fit", *words)
        command("export", *words, "--output", bundle)
        return load_bundle(bundle)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Imported and split once for all tests."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("refine")
    path = export_onnx(trained_network(), PIXELS, folder / "own.net.onnx")
    rng = np.random.default_rng(9)
    for i in range(160):
        photo = folder / "photos" / CLASSES[i % 4] / f"{i}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pattern(i % 4, rng)).resize((2 * PIXELS, 2 * PIXELS)).save(photo)
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    (folder / "recipes").mkdir()
    recipe = folder / "recipes" / "own.toml"
    command("import", path, "--output", folder / "plain.safetensors", "--convention", "inception",
            "--labels", folder / "classes.txt", "--split", SPLIT, "--recipe", recipe)
    spec, = load_recipe(recipe).backbones
    assert [Path(file).resolve() for file in (spec.onnx, spec.labels)] == \
        [path, folder / "classes.txt"]
    return Place(folder, recipe.read_text().replace('"../', '"'))


def replaced(text: str, pairs: dict[str, str]) -> str:
    """A text with other parts, all of which it must have."""
    for old, new in pairs.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


SHORTER = {"steps = 600": "steps = 120", "rate_ramp = 300": "rate_ramp = 60",
           "steps = 400": "steps = 60", "views = 2": "views = 3"}


def check_engine(bundle: Bundle, point: str, folder: Path) -> None:
    """The engine's probabilities by a point must be PyTorch's."""
    rng = np.random.default_rng(8)
    seen = np.stack([pattern(kind, rng) for kind in range(4)])
    wanted = Reference(bundle).classify(bundle.point(point), seen)
    for row, (top, probabilities) in zip(wanted, engine_probabilities(bundle, folder, point, seen)):
        np.testing.assert_allclose(probabilities, row[top], rtol=1e-3, atol=1e-6)


@needs_engine
def test_walk_through(place: Place, tmp_path: Path) -> None:
    """What `import` writes leads to a bundle that nearly always says the same, in fewer bytes."""
    refined = place.train("refined", replaced(place.recipe, SHORTER))
    for point in ("w50-base", "w100-base", "local"):
        check_engine(refined, point, tmp_path)
    log = [json.loads(line) for line in (place.folder / "refined/log.jsonl").open()]
    errors = [row["w100.own_net.error"] for row in log]
    assert errors[-1] < 0.4 * errors[0]

    rng, files = np.random.default_rng(21), [tmp_path / f"{i}.ppm" for i in range(100)]
    for i, file in enumerate(files):
        write_ppm(file, pattern(i % 4, rng))
    plain, fine = (engine_answers(os.environ["CLEAVE_EVAL"], place.folder / name, points, files)
                   for name, points in (("plain.safetensors", ["split-u8", "local"]),
                                        ("refined.safetensors", ["w100-base", "local"])))
    uncut, split = plain["local"].top[:, 0], fine["w100-base"]
    assert (uncut == np.arange(100) % 4).mean() > 0.9, "a network that knows nothing tests nothing"
    assert (fine["local"].top[:, 0] == uncut).mean() > 0.98  # fp16 weights
    assert split.frame_bytes.mean() < 0.4 * plain["split-u8"].frame_bytes.mean()
    assert (split.top[:, 0] == uncut).mean() > 0.8


FEW = {old: re.sub(r"\d+$", "3", new) for old, new in SHORTER.items()}


@needs_engine
def test_what_is_known_goes_from_the_file_to_the_bundle(place: Place) -> None:
    """Input, classes and origin; `evaluate` adds what the engine makes of photos."""
    bundle = place.train("few", replaced(place.recipe, FEW))
    plain = load_bundle(place.folder / "plain.safetensors").document
    for key in ("input", "labels", "version"):
        assert bundle.document[key] == plain[key]
    spec, = bundle.document["provenance"]["recipe"]["backbones"]
    assert (spec["onnx"], spec["labels"], spec["cut"]) == ("own.net.onnx", "classes.txt", SPLIT)
    origin, = bundle.document["provenance"]["backbones"]
    assert origin == f"own.net.onnx, sha256 {plain['provenance']['imported']['sha256']}"
    command("evaluate", "--bundle", place.folder / "few.safetensors", "--photos-val",
            place.folder / "photos", "--engine", os.environ["CLEAVE_EVAL"], "--write")
    measured = load_bundle(place.folder / "few.safetensors")
    assert measured.point("local")["top1"] > 0.9 and measured.point("w100-base")["pictures"] == 160


def with_method(recipe: str, method: str) -> str:
    """The recipe for one of the methods that send 8 bits a value."""
    options = f"""[options.taps]
features = ["{SPLIT}"]
answers = ["{SPLIT}", "/4/4.0/Conv"]
"""
    recipe = replaced(recipe, FEW | {
        "slimmable": method, "latent = 32": "latent = 6",
        "distortion = 0.5": 'distortion = 0.5\ntrain = ["decoder", "tail"]'})
    recipe = re.sub(r"\[options\].*?(?=\[\[stage)", options, recipe, count=1, flags=re.DOTALL)
    if method == "bottlefit":
        return recipe
    recipe = re.sub(r"layers = \[.*?\n\]", 'layers = [{ kind = "conv", kernel = 1 }]', recipe,
                    flags=re.DOTALL)
    return replaced(recipe, {'["w50", "w100"]': '["w100"]'})


@needs_engine
@pytest.mark.parametrize("method", ["bottlefit", "autoencoder"])
def test_other_methods(method: str, place: Place, tmp_path: Path) -> None:
    """Through a tail that learns along."""
    bundle = place.train(method, with_method(place.recipe, method))
    assert any(name.startswith("tail.own_net.") for name in bundle.tensors)
    check_engine(bundle, "w100-u8", tmp_path)
    macs = bundle.point("w100-u8")["head_macs"]
    plain = load_bundle(place.folder / "plain.safetensors").point("split-u8")["head_macs"]
    assert (macs > plain) == (method == "autoencoder")  # behind the early layers, or in their place


@pytest.mark.parametrize("name", ["convnext_tiny", "densenet121", "efficientnet_b0",
                                  "regnet_y_400mf"])
def test_gradients_are_those_of_the_original(name: str, tmp_path: Path) -> None:
    """Through layer norms, concatenations, groups, products."""
    original = random_network(name, SMALL)
    path = export_onnx(original, SMALL.pixels, tmp_path / "m.onnx")
    spec, view = BackboneSpec(name, "nowhere", onnx=str(path)), InputSpec(64, 64)
    with pytest.raises(SystemExit, match="there is no such node; possible are") as stop:
        load_backbone(spec, view)
    first = str(stop.value).splitlines()[1].strip().split(", ")[0].split(":")[0]
    net = load_backbone(replace(spec, cut=first), view)
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    wanted, = torch.autograd.grad(original(x).square().sum(), x)
    given, = torch.autograd.grad(net(x).square().sum(), x)
    assert (given - wanted).norm() < 0.2 * wanted.norm()  # fp16 weights turn some ReLUs

    tail = net.thawed(net.marks[first])
    with torch.autocast("cpu", torch.bfloat16):
        tail(x).float().square().sum().backward()
    grads = [part.grad for part in tail.parameters()]
    assert all(grad.isfinite().all() for grad in grads) and sum(grad.norm() for grad in grads) > 0


def test_refusals(place: Place, tmp_path: Path) -> None:
    """Before training or writing anything, with what would do."""
    path, view = place.folder / "own.net.onnx", InputSpec(PIXELS, PIXELS)
    spec = BackboneSpec("own", SPLIT, onnx=str(path))
    with pytest.raises(SystemExit, match="the weights are those of"):
        load_backbone(replace(spec, weights="own.pt"), view)
    with pytest.raises(SystemExit, match="48x48 and cannot be resized"):
        load_backbone(spec, InputSpec(64, 64))
    assert identity(spec) != identity(replace(spec, onnx=str(place.folder / "classes.txt")))

    words = ("import", path, "--output", tmp_path / "b.safetensors", "--recipe",
             tmp_path / "r.toml")
    with pytest.raises(SystemExit, match="--split names the node"):
        command(*words)
    assert not list(tmp_path.iterdir())

    odd = export_onnx(random_network("squeezenet1_1", SMALL), SMALL.pixels, tmp_path / "odd.onnx")
    with pytest.raises(SystemExit, match="no recipe for a split at 31x31: halving 64x64 does not"):
        command("import", odd, *words[2:], "--split", "/0/Conv")
    assert list(tmp_path.iterdir()) == [odd]

    with pytest.raises(SystemExit, match="bottlefit: no mark '/nowhere'; there are /0/"):
        place.train("lost", replaced(with_method(place.recipe, "bottlefit"),
                                     {"/4/4.0/Conv": "/nowhere"}))
    with pytest.raises(SystemExit, match="only from an EfficientNet-Lite can the encoder start"):
        place.train("start", replaced(place.recipe, FEW | {"shares": "pretrained = true\nshares"}))
    uneven = replaced(place.recipe, {'kernel = 3, stride = 2 },': 'kernel = 3 },'})
    with pytest.raises(SystemExit, match="strides lead to 12x12, but at its cut own_net has 6x6"):
        place.train("uneven", replaced(uneven, FEW))


def test_weights_beyond_fp16_are_listed(tmp_path: Path) -> None:
    model = random_network("resnet18", SMALL)
    model[0][0].weight.data *= 1e6
    model[0][1].running_var *= 1e12
    path = export_onnx(model, SMALL.pixels, tmp_path / "m.onnx",
                       do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)
    spec = BackboneSpec("m", "/3/act/Relu", onnx=str(path))
    with pytest.raises(SystemExit) as stop:
        load_backbone(spec, InputSpec(SMALL.pixels, SMALL.pixels))
    assert str(stop.value).splitlines()[0] == "m.onnx cannot be trained:"
    assert str(stop.value).splitlines()[1:] == ["  /0/0.0/Conv: weights beyond what fp16 holds"]


@pytest.mark.parametrize(("picture", "size", "count"), [
    ((224, 224), (14, 14), 4), ((225, 97), (29, 13), 3), ((64, 64), (32, 32), 1),
    ((224, 224), (13, 13), None), ((64, 64), (64, 64), None), ((64, 32), (8, 8), None)])
def test_halvings(picture: tuple[int, int], size: tuple[int, int], count: int | None) -> None:
    assert halvings(picture, size) == count
