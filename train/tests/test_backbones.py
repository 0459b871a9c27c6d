"""Torch models become networks of the same answers, or are refused with all reasons."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch_models import (
    MobileNet,
    ResNet,
    TimmNet,
    Unsupported,
    randomise,
    tiny_resnet,
)

from cleave_train.backbones import identity, load_backbone
from cleave_train.backbones.state import write_state
from cleave_train.backbones.traced import trace_network
from cleave_train.bundle import Bundle, fingerprint, save_bundle
from cleave_train.classifier import train_classifier
from cleave_train.engine import engine_answers
from cleave_train.graph_writer import GraphWriter, layer_names
from cleave_train.labels import imagenet_labels, truth_index
from cleave_train.picture import InputSpec, by_channel, load_pixels
from cleave_train.recipe import BackboneSpec, Coder, Photos, Recipe
from cleave_train.reference import Reference
from cleave_train.views import normalise

VIEW = InputSpec(48, 40, 52, "bilinear", (124.0, 116.0, 104.0), (58.0, 57.0, 57.5))
TINY = "torch_models:tiny_resnet"


def pictures(count: int = 2, height: int = 40, width: int = 48) -> Tensor:
    """Random pictures [N,3,height,width]."""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(("model", "marks"), [
    (ResNet, ["relu", "maxpool", "layer1.0", "layer1", "layer2.0", "layer2", "layer3"]),
    (MobileNet, ["features.0", "features.1", "features.2", "features.3", "features"]),
    (TimmNet, ["bn1", "blocks.0", "blocks.1", "blocks", "bn2"]),
])
@torch.no_grad()
def test_traced_network_equals_model_and_can_be_cut(model: type[nn.Module],
                                                    marks: list[str]) -> None:
    net = trace_network(original := randomise(model()), 40, 48)
    x = pictures()
    expected = original(x)
    assert torch.allclose(net(x), expected, atol=1e-4, rtol=1e-4)
    assert set(marks) <= set(net.marks)
    for path, cut in net.marks.items():
        features, _ = net.between(x, 0, cut)
        seen: list[Tensor] = []
        handle = original.get_submodule(path).register_forward_hook(
            lambda _m, _i, output, seen=seen: seen.append(output.clone()))
        original(x)
        handle.remove()
        assert torch.allclose(features, seen[-1], atol=1e-4, rtol=1e-4), path
        assert torch.allclose(net.between(features, cut)[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("model", [ResNet, MobileNet, TimmNet])
@torch.no_grad()
def test_a_bundle_answers_as_the_model(model: type[nn.Module], tmp_path: Path) -> None:
    original = randomise(model())
    net = trace_network(original, VIEW.height, VIEW.width)
    tensors: dict[str, np.ndarray] = {}
    writer = GraphWriter(tensors, layer_names(net, "net"), (VIEW.height, VIEW.width, 3))
    writer.graph.softmax(writer.nodes(net, 0, 0, net.end))
    macs = writer.graph.macs
    bundle = Bundle({
        "format": 1, "name": "traced", "version": "1", "fingerprint": "",
        "input": asdict(VIEW), "labels": [str(i) for i in range(writer.graph.shapes[-1][2])],
        "graphs": {"full": writer.graph.document()}, "priors": {}, "provenance": {},
        "points": [{"id": "local", "kind": "local", "graph": "full", "head_macs": macs,
                    "tail_macs": 0}]}, tensors)
    bundle.document["fingerprint"] = fingerprint(bundle)
    photo = tmp_path / "photo.jpg"
    noise = np.random.default_rng(3).integers(0, 256, (8, 9, 3), np.uint8)
    Image.fromarray(noise).resize((90, 70)).save(photo)
    pixels = load_pixels(photo.read_bytes(), VIEW)[None]
    expected = original(normalise(pixels, VIEW, torch.device("cpu"))).softmax(1).numpy()
    reference = Reference(bundle)
    given = reference.run("full", reference.normalise(pixels))
    np.testing.assert_allclose(given.reshape(1, -1), expected, atol=1e-4)
    if "CLEAVE_EVAL" in os.environ:
        save_bundle(bundle, tmp_path / "traced.safetensors")
        answers = engine_answers(os.environ["CLEAVE_EVAL"], tmp_path / "traced.safetensors",
                                 ["local"], [photo])
        assert list(answers["local"].top[0][:5]) == list(np.argsort(-expected[0])[:5])


def test_activations_and_norms_are_folded() -> None:
    net = trace_network(tiny_resnet(), 32, 32)
    assert [node.op for node in net.nodes] == [
        "conv", "maxpool", *["conv", "conv", "add"] * 2, "conv", "conv", "conv", "add",
        "conv", "conv", "add", "global_avgpool", "linear"]
    assert {node.act for node in net.nodes if node.op == "add"} == {"relu"}
    assert "conv1" not in net.marks  # its value is not kept, only what relu makes of it
    assert "layer1.0.bn2" not in net.marks  # the sum after it reads what is before


def test_all_refusals_are_listed_at_once() -> None:
    with pytest.raises(SystemExit) as caught:
        trace_network(Unsupported(), 32, 32)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("Unsupported has 6 operations")
    for line, part in zip(lines[1:], ["swish (SiLU)", "squeeze (Conv2d): convolution behind",
                                      "sigmoid", "mul", "grouped (Conv2d): convolution in 2 groups",
                                      "alone (BatchNorm2d): batch norm"]):
        assert part in line


class Calling(nn.Module):
    """A stem, one function, and a classifier."""

    def __init__(self, function) -> None:
        super().__init__()
        self.stem, self.fc, self.function = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.function(self.stem(x)).mean((2, 3)))


@pytest.mark.parametrize("function", [
    F.relu, torch.relu, F.relu6, lambda x: x.relu(), lambda x: F.hardtanh(x, 0, 6),
    lambda x: F.relu(x) if x is not None else x, lambda x: F.max_pool2d(x, 3, 2, 1),
    lambda x: F.avg_pool2d(x, 2), lambda x: torch.add(x, x), lambda x: x.add(x).relu(),
    lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), nn.Hardtanh(0, 6),
])
@torch.no_grad()
def test_functions(function) -> None:
    original = randomise(Calling(function))
    x = pictures()
    assert torch.allclose(trace_network(original, 40, 48)(x), original(x), atol=1e-4)


@pytest.mark.parametrize(("function", "reason"), [
    (F.silu, "not supported"), (lambda x: x * 2, "not supported"),
    (lambda x: F.hardtanh(x), "hardtanh between -1.0 and 1.0"),
    (lambda x: x + 1, "sum of anything but two values"),
    (lambda x: x + torch.ones(8, 1, 1), "sum of anything but two values"),
    (lambda x: x + F.relu(torch.ones(8, 1, 1)), "sum of anything but two values"),
    (lambda x: torch.add(x, x, alpha=2), "sum of anything but two values"),
    (lambda x: x + x.mean((2, 3), keepdim=True), "sum of shapes"),
    (lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), "pool whose size is rounded up"),
    (lambda x: F.avg_pool2d(x, 3, 2, 1), "average that counts its padding"),
    (lambda x: x + F.relu(x), "activation that is not the only user"),
    (lambda x: F.relu(F.max_pool2d(x, 2)), "activation that is not the only user"),
    (lambda x: F.adaptive_avg_pool2d(x, 7), "adaptive pool to 7x7"),
    (lambda x: x if x.sum() > 0 else -x, "cannot be traced"),
])
def test_refusals(function, reason: str) -> None:
    with pytest.raises(SystemExit, match=reason):
        trace_network(Calling(function), 40, 48)


def test_what_tracing_does_not_see_is_noticed() -> None:
    def changes_in_place(x: Tensor) -> Tensor:
        kept = x + x
        kept.relu_()
        return kept

    with pytest.raises(SystemExit, match="does something that tracing does not see"):
        trace_network(randomise(Calling(changes_in_place)), 40, 48)


def test_recipe_names_a_callable_and_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    model = randomise(ResNet(6), seed=3)
    torch.save(model.state_dict(), path)
    plain = BackboneSpec("torch_models:ResNet", "layer2", kwargs={"classes": 6})
    loaded = BackboneSpec(plain.name, "layer2", str(path), kwargs=plain.kwargs)
    assert plain.label == "ResNet"
    net = load_backbone(loaded, VIEW)
    assert torch.allclose(net(pictures()), model(pictures()), atol=1e-4) and net.labels is None
    assert identity(BackboneSpec("lite0", "block7")) == "lite0"  # caches of old runs stay valid
    assert identity(plain) != identity(loaded)
    with pytest.raises(SystemExit, match="no backbone 'resnet'"):
        load_backbone(BackboneSpec("resnet", "layer2"), VIEW)
    with pytest.raises(SystemExit, match="no backbone 'torch_models:Nothing'"):
        load_backbone(BackboneSpec("torch_models:Nothing", ""), VIEW)


def test_own_classifier_takes_the_last_layers_place(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    weight, bias = torch.randn(3, 16).half().float(), torch.randn(3)
    write_state(path, {"weight": weight, "bias": bias}, ["cat", "dog", "owl"])
    net = load_backbone(BackboneSpec(TINY, "layer2", classifier=str(path)), VIEW)
    features, _ = net.between(pictures(), 0, net.end - 1)
    assert torch.allclose(net(pictures()), features.flatten(1) @ weight.T + bias, atol=1e-5)
    assert net.labels == ["cat", "dog", "owl"]
    write_state(path, {"weight": weight[:, :4], "bias": bias}, net.labels)
    with pytest.raises(SystemExit, match="takes 4 features, the backbone makes 16"):
        load_backbone(BackboneSpec(TINY, "layer2", classifier=str(path)), VIEW)


def test_classifier_learns_folders(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(5)
    colours = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200)}
    for name, colour in colours.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(10):
            noise = rng.normal(0, 30, (60, 70, 3)) + np.array(colour)
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(
                tmp_path / "photos" / name / f"{i}.jpg")
    (tmp_path / "photos" / "red" / "broken.jpg").write_bytes(b"not a picture")
    recipe = Recipe("own", "1", 1, "slimmable", VIEW, Photos(2, 2),
                    (BackboneSpec(TINY, "layer2", classifier="not yet there"),),
                    Coder((), (), 0, 0, 0), (), ())
    own = tmp_path / "own.pt"
    train_classifier(recipe, "", [tmp_path / "photos"], own, torch.device("cpu"))
    assert "held out: 100.0 % ± 0.0 of 3 pictures" in capsys.readouterr().out
    net = load_backbone(BackboneSpec(TINY, "layer2", classifier=str(own)), VIEW)
    assert net.labels == ["blue", "green", "red"]


def test_folders_are_labels_or_synsets() -> None:
    assert truth_index(["ant", "bass"], "bass") == 1
    assert truth_index(imagenet_labels(), "n01443537") == 1
    with pytest.raises(SystemExit, match="'bass' is none of the bundle's 1000 classes"):
        truth_index(imagenet_labels(), "bass")


def test_levels_by_channel() -> None:
    assert by_channel(127.0) == [127.0] * 3 and by_channel((1.0, 2.0, 3.0)) == [1.0, 2.0, 3.0]
    assert repr(InputSpec()).endswith("mean=127.0, scale=128.0)")  # part of caches' identity
    pixels = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3), np.uint8)
    x = normalise(pixels, VIEW, torch.device("cpu"))
    expected = (pixels - np.float32(VIEW.mean)) / np.float32(VIEW.scale)
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), expected)
    assert x.is_contiguous(memory_format=torch.channels_last)
