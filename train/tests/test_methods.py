"""Every method trains what it should and nothing else, and emits the graphs that it trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cleave_train.bundle import Bundle
from cleave_train.calibrate import round_weights
from cleave_train.coder import BackboneEncoder, ConvEncoder, EnsembleEncoder
from cleave_train.fit import Trainer
from cleave_train.graph_writer import GraphWriter, module_names
from cleave_train.layers import Conv, ResidualDown
from cleave_train.methods import METHODS, Batch, Method, build_method
from cleave_train.methods.base import RateControl, feature_error
from cleave_train.model import Backbone, SplitModel
from cleave_train.net import Folded, Network, NetworkBuilder
from cleave_train.picture import InputSpec
from cleave_train.pruned import start_from_compressor
from cleave_train.recipe import (
    BackboneSpec,
    Coder,
    ExitSpec,
    LayerSpec,
    Rate,
    Recipe,
    Stage,
    load_recipe,
)
from cleave_train.reference import Reference
from cleave_train.targets import Target

RECIPES = Path(__file__).parents[1] / "cleave_train" / "recipes"
CPU, SIZE, CLASSES = torch.device("cpu"), 32, 5
SAVED = load_recipe(RECIPES / "bottlefit.toml")
CONVS = (LayerSpec("conv", 3, 2, (6,)), LayerSpec("conv", 3, 2))
BEHIND = (LayerSpec("conv", 3, 1, (6,)), LayerSpec("conv", 3))
DISTILL = Stage("distill", 6, 16, 1e-2)
TAIL = Stage("tail", 2, 16, 1e-3, kl=1.0, distortion=0.0, train=("decoder", "tail"))
RATES = (Rate("low", 30, 0.8), Rate("high", 60, 2.0))


def network(channels: int = 10) -> Network:
    """A random backbone, cut at "cut" (8x8), with one mark more behind it."""
    def folded(*shape: int) -> Folded:
        fan = int(np.prod(shape[1:]))
        return Folded(torch.randn(shape) * (2 / fan) ** 0.5, torch.rand(shape[0]) + 0.5,
                      0.1 * torch.randn(shape[0]))

    b = NetworkBuilder((SIZE, SIZE, 3))
    b.marks["stem"] = x = b.same_conv(0, "stem", folded(8, 3, 3, 3), 2, "relu6")
    b.marks["cut"] = x = b.same_conv(x, "down", folded(channels, 8, 3, 3), 2)
    y = b.same_conv(x, "depthwise", folded(channels, 1, 3, 3), 1, "relu6")
    b.marks["late"] = x = b.sum(x, y, "sum")
    b.classify(x, "fc", folded(CLASSES, channels))
    return b.network()


class Stores:
    """Random pictures and two backbones' answers, in the place of the caches."""

    def __init__(self, count: int) -> None:
        torch.manual_seed(3)
        self.pictures = torch.randn(24, 3, SIZE, SIZE)
        self.backbones, self.answers = [], {}
        for name, channels in (("one", 10), ("two", 12))[:count]:
            net = network(channels)
            features = net.between(self.pictures, 0, net.marks["cut"])[0]
            saliency = torch.rand(24, *features.shape[2:])
            self.answers[name] = Target(features, net(self.pictures), saliency)
            self.backbones.append(Backbone(name, net, net.marks["cut"], tuple(features.shape[1:])))
        self.views = SimpleNamespace(training_rows=lambda: np.arange(4, 24),
                                     held_out_rows=lambda: np.arange(4))
        self.targets = {name: SimpleNamespace(read=lambda rows, _, name=name: self.read(name, rows))
                        for name in self.answers}

    def read(self, name: str, rows: np.ndarray) -> Target:
        """One backbone's answers of these rows."""
        whole, chosen = self.answers[name], torch.as_tensor(rows)
        return Target(whole.features[chosen], whole.logits[chosen], whole.saliency[chosen])

    def batch(self, rows: np.ndarray, _: torch.device = CPU) -> Batch:
        """Pictures and answers of these rows."""
        return Batch(self.pictures[torch.as_tensor(rows)],
                     {name: self.read(name, rows) for name in self.answers})


def recipe(method: str, tmp_path: Path) -> Recipe:
    """A tiny recipe of this method."""
    one = Coder(("w100",), CONVS, 4, 8, 1)
    taps = {"taps": {"distill": ["cut", "late"]}}
    exit_options = {"from_run": str(tmp_path / "of.pt"), "variant": "w100", "channels": 8,
                    "hidden": 16, "threshold": 0.3}
    slim = replace(one, variants=("w50", "w100"),
                   layers=(replace(CONVS[0], channels=(3, 6)), CONVS[1]))
    down = replace(one, layers=(LayerSpec("residual_down", 3, channels=(6,)), CONVS[1]))
    coder, rates, options, stages = {
        "autoencoder": (replace(one, layers=BEHIND), (), {"qat": True}, (DISTILL, TAIL)),
        "bottlefit": (one, (), taps, (DISTILL, TAIL)),
        "channel_reduction": (replace(one, layers=(LayerSpec("conv", 1),), decoder_channels=0),
                              (), {}, (DISTILL, TAIL)),
        "early_exit": (slim, RATES, exit_options,
                       (replace(DISTILL, name="exit", train=("exit",)),)),
        "ensemble": (replace(one, variants=("k1", "k2", "k3")), RATES, {}, (DISTILL, TAIL)),
        "frankensplit": (down, RATES, {}, (DISTILL, replace(DISTILL, steps=2, saliency=1.0))),
        "slimmable": (slim, RATES, {}, (DISTILL, TAIL)),
    }[method]
    return replace(SAVED, method=method, coder=coder, rates=rates, options=options, stages=stages,
                   backbones=(BackboneSpec("one", "cut"),), input=InputSpec(SIZE, SIZE))


def built(method: str, tmp_path: Path) -> tuple[Method, Stores]:
    """The method on its stores; an early exit stands on a saved slimmable model."""
    stores = Stores(2 if method == "frankensplit" else 1)
    if method == "early_exit":
        base = build_method(recipe("slimmable", tmp_path), stores.backbones)
        torch.save({"model": base.model.state_dict()}, tmp_path / "of.pt")
    return build_method(recipe(method, tmp_path), stores.backbones), stores


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same weights every time."""
    torch.manual_seed(1)


@pytest.mark.parametrize("name", METHODS)
def test_stages_train_their_parts_alone(name: str, tmp_path: Path) -> None:
    _, stores = built(name, tmp_path)
    trainer = Trainer(recipe(name, tmp_path), tmp_path, stores, CPU)
    parts = {"encoder": trainer.model.encoder, "decoder": trainer.model.decoders,
             "quantiser": trainer.model.quantiser, "exit": trainer.model.exits}
    for stage in trainer.recipe.stages:
        trainer._begin_stage(stage)  # gives the tails weights before they are compared
        parts["tail"] = trainer.model.tails
        before = {part: [p.detach().clone() for p in module.parameters()]
                  for part, module in parts.items()}
        trainer._train_stage(stage)
        learning = {*stage.train, *(["quantiser"] if "encoder" in stage.train else [])}
        for part, module in parts.items():
            changed = [not torch.equal(a, b) for a, b in zip(before[part], module.parameters())]
            assert any(changed) == (part in learning and bool(changed)), part
    assert all(np.isfinite(list(row.values())).all() for row in trainer.held_out().values())
    assert not any(".frozen." in key for key in torch.load(trainer.path)["model"])
    again = Trainer(trainer.recipe, tmp_path, stores, CPU)
    assert again.held_out() == trainer.held_out()


@pytest.mark.parametrize("name", METHODS)
def test_loss_falls(name: str, tmp_path: Path) -> None:
    method, stores = built(name, tmp_path)
    for backbone, target in stores.answers.items():
        method.model.set_statistics(backbone, target.features)
    stage, batch = method.recipe.stages[0], stores.batch(np.arange(4, 24))
    optimizer, losses = torch.optim.Adam(method.parameters(), 5e-3), []
    method.train()
    for _ in range(12):
        loss, log = method(batch, stage, 0)
        losses.append(sum(v for key, v in log.items() if key.endswith(("error", ".kl"))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    if name == "frankensplit":
        assert {"w100.one.error", "w100.two.error"} <= set(log)


@pytest.mark.parametrize("name", METHODS)
@torch.no_grad()
def test_emitted_graphs_compute_the_same(name: str, tmp_path: Path) -> None:
    method, stores = built(name, tmp_path)
    model, variants = method.model, method.recipe.coder.variants
    round_weights(model)
    model.train()
    for variant in variants:  # statistics that are not those of the start
        model.encoder(3 * stores.pictures, variant)
    method.eval()
    for variant in variants:
        latent = model.encoder(stores.pictures, variant)
        assert latent.shape == (24, 4, 8, 8)
        same(model, stores.pictures, lambda g, v=variant: model.encoder.emit(g, 0, v), latent)
        for backbone in stores.backbones:
            decoder = model.decoders[backbone.name]
            decoded = decoder(latent, variant)
            assert decoded.shape[1:] == backbone.shape
            same(model, latent, lambda g, v=variant, d=decoder: d.emit(g, 0, v), decoded)
    assert set(method.extra_graphs()) == ({"exit"} if name == "early_exit" else set())
    for emit in method.extra_graphs().values():
        latent = model.encoder(stores.pictures, "w100")
        wanted = model.exits["w100"](latent, "w100").softmax(1)[:, :, None, None]
        same(model, stores.pictures, lambda g, emit=emit: emit(g, 0), wanted)


def same(model: SplitModel, x: Tensor, emit: Callable[[GraphWriter], int],
         wanted: Tensor) -> None:
    """Asserts that what `emit` writes makes `wanted` [N,c,h,w] of x."""
    _, channels, height, width = x.shape
    writer = GraphWriter({}, module_names(model), (height, width, channels))
    emit(writer)
    reference = Reference(Bundle({"graphs": {"only": writer.graph.document()}}, writer.tensors))
    made = reference.run("only", x.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(made, wanted.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_width_is_a_prefix_of_the_weights() -> None:
    specs = (LayerSpec("conv", 3, 2, (3, 8)), LayerSpec("separable", 3), LayerSpec("conv", 3, 2))
    whole = ConvEncoder(specs, 4, ["w50", "w100"]).eval()
    sliced = ConvEncoder((replace(specs[0], channels=(3,)), *specs[1:]), 4, ["w50"]).eval()
    for source, taken in zip(_convs(whole), _convs(sliced)):
        out, inch = taken.weight.shape[:2]
        taken.weight.copy_(source.weight[:out, :inch])
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(whole(x, "w50"), sliced(x, "w50"), atol=1e-6)
    assert not torch.allclose(whole(x, "w50"), whole(x, "w100"))


def _convs(module: nn.Module) -> list[Conv]:
    return [m for m in module.modules() if isinstance(m, Conv)]


def test_residual_block_trains_in_mixed_precision() -> None:
    """PyTorch's own strided 1x1 convolution crashes at this size."""
    block = ResidualDown({"w100": 8}, {"w100": 20}).to(memory_format=torch.channels_last)
    x = torch.randn(8, 8, 112, 112).to(memory_format=torch.channels_last)
    gradients = []
    for enabled in (False, True):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = block(x, "w100")
        assert y.shape == (8, 20, 56, 56)
        y.float().square().mean().backward()
        gradients.append(block.skip.norm["w100"].weight.grad.clone())
    assert torch.allclose(*gradients, rtol=0.1, atol=0.01)


def test_ensemble_uses_the_first_members() -> None:
    encoder, x = EnsembleEncoder(CONVS, 4, ["k1", "k2", "k3"]).eval(), torch.randn(2, 3, 16, 16)
    alone = [member(x, encoder.MEMBER) for member in encoder.members]
    for k, variant in enumerate(("k1", "k2", "k3"), 1):
        latent = encoder(x, variant)
        assert torch.allclose(latent, torch.stack(alone[:k]).sum(0), atol=1e-6)
        encoder.zero_grad()
        latent.square().sum().backward()
        reached = [all(p.grad is not None for p in member.parameters())
                   for member in encoder.members]
        assert reached == [i < k for i in range(3)]


def test_backbone_encoder_may_read_the_cache(tmp_path: Path) -> None:
    method, stores = built("autoencoder", tmp_path)
    assert isinstance(method.model.encoder, BackboneEncoder)
    method.eval()
    batch = stores.batch(np.arange(6))
    from_cache = method.encode(batch, slice(2, 6), "w100")
    assert torch.allclose(from_cache, method.model.encoder(batch.pictures[2:6], "w100"), atol=1e-5)


def test_head_network_distillation_sums_over_its_taps(tmp_path: Path) -> None:
    method, stores = built("bottlefit", tmp_path)
    backbone, target, stage = stores.backbones[0], stores.answers["one"], method.recipe.stages[0]
    method.model.set_statistics("one", target.features)
    perfect = method.model.normalised("one", target.features)
    assert method.distortion(backbone, perfect, target, stage) < 1e-3
    method.taps["distill"] = [backbone.cut]
    nothing = torch.zeros_like(perfect)
    assert method.distortion(backbone, nothing, target, stage).item() == pytest.approx(1, abs=0.02)


def test_gradients_pass_through_a_frozen_tail(tmp_path: Path) -> None:
    method, stores = built("bottlefit", tmp_path)
    method.taps["distill"] = [stores.backbones[0].net.marks["late"]]
    method(stores.batch(np.arange(8)), method.recipe.stages[0], 0)[0].backward()
    assert all(p.grad.abs().sum() > 0 for p in method.model.encoder.parameters())
    assert not list(method.model.tails.parameters())


def test_early_exit_leaves_its_encoder_alone(tmp_path: Path) -> None:
    method, stores = built("early_exit", tmp_path)
    before = {key: value.clone() for key, value in method.model.state_dict().items()}
    saved = torch.load(tmp_path / "of.pt")["model"]
    optimizer = torch.optim.Adam(method.model.exits.parameters(), 1e-2)
    method.train()
    loss, log = method(stores.batch(np.arange(20)), method.recipe.stages[0], 0)
    loss.backward()
    optimizer.step()
    changed = {key for key, value in method.model.state_dict().items()
               if not torch.equal(value, before[key])}
    assert changed and all(key.startswith("exits.") for key in changed)
    assert all(torch.equal(before[key], value) for key, value in saved.items())
    assert 0 <= log["exit.sure"] <= 1


def test_salient_positions_weigh_more() -> None:
    wanted, saliency = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4)
    saliency[0, 1, 1] = 1
    salient, other = torch.zeros_like(wanted), torch.zeros_like(wanted)
    salient[..., 1, 1], other[..., 2, 2] = 1, 1
    there = feature_error(salient, wanted, saliency, 3)
    assert there == pytest.approx(4 * feature_error(other, wanted, saliency, 3))
    assert feature_error(salient, wanted, saliency, 0) == pytest.approx(1 / 16)


def test_rate_control_moves_towards_the_target() -> None:
    control = RateControl()
    start = control.weight("key", measured=1000, target=1000)
    assert control.weight("key", measured=2000, target=1000) > start
    above = control.weight("key", measured=1000, target=1000)
    assert start < above  # the integral remembers
    for _ in range(2):
        below = control.weight("key", measured=500, target=1000)
    assert below < control.weight("key", measured=1000, target=1000) < start


@pytest.mark.parametrize("name", ["slimmable", "ensemble"])
def test_sandwich_takes_all_pictures_once(name: str, tmp_path: Path) -> None:
    method, _ = built(name, tmp_path)
    variants = method.recipe.coder.variants
    for step in range(5):
        paths = method.paths(23, variants, step)
        assert sum(path.count for path in paths) == 23
        assert {variants[0], variants[-1]} <= {path.variant for path in paths}


def trunk_recipe(tmp_path: Path) -> Recipe:
    """A slimmable recipe with a trunk, all stages of the default bundle's kind."""
    slim = recipe("slimmable", tmp_path)
    layers = (LayerSpec("conv", 3, 2, (3, 6)), LayerSpec("conv", 3, 1, (3, 6)), CONVS[1])
    coder = replace(slim.coder, variants=("w50", "w100", "trunk"), layers=layers)
    widths = ("w50", "w100")
    return replace(slim, coder=coder, options={"trunk": {"cut": "stem", "channels": [6]}},
                   input=replace(slim.input, width=SIZE, height=SIZE), stages=(
        replace(DISTILL, variants=("trunk",)),
        replace(TAIL, variants=("trunk",), train=("encoder", "decoder", "tail")),
        replace(DISTILL, name="imitate", steps=200, distortion=0.0, imitation=1.0, variants=widths),
        replace(DISTILL, name="widths", steps=3, kl=1.0, imitation=0.5)))


def test_widths_inherit_from_the_trunk_and_imitate_it(tmp_path: Path) -> None:
    stores = Stores(1)
    trainer = Trainer(trunk_recipe(tmp_path), tmp_path, stores, CPU)
    model, stages = trainer.model, trainer.recipe.stages
    counts = {variant: sum(path.count for path in trainer.method.paths(40, variants, 0)
                           if path.variant == variant)
              for variants in (["trunk"], ["w50", "w100", "trunk"]) for variant in variants}
    assert counts == {"trunk": 6, "w100": 20, "w50": 14}
    for stage in stages[:2]:
        trainer._train_stage(stage)
    trainer.method.begin(stages[2])
    for mine, its in ((model.quantiser.log_gain["w50"], model.quantiser.log_gain["trunk"]),
                      (model.decoders["one"]["slim"].layers[0].norm["w50"].weight,
                       model.decoders["one"]["trunk"].layers[0].norm["trunk"].weight)):
        assert torch.equal(mine, its)
    assert trainer.method.control.log_weight["w50-low"] == \
        trainer.method.control.log_weight["trunk-low"]

    trained = {name: value.clone() for name, value in model.state_dict().items()
               if "trunk" in name or name.startswith("decoders")}
    trainer._train_stage(stages[2])
    errors = [json.loads(line)["w100.imitation"] for line
              in (tmp_path / "log.jsonl").read_text().splitlines() if "imitat" in line]
    assert errors[-1] < 0.7 * errors[0], errors
    for name, value in trained.items():
        assert torch.equal(value, model.state_dict()[name]), name
    inherited = model.quantiser.log_gain["w50"].clone()
    model.quantiser.log_gain["trunk"].data.add_(1)
    trainer.method.begin(stages[3])
    assert torch.equal(inherited, model.quantiser.log_gain["w50"])  # once is enough
    trainer._train_stage(stages[3])
    assert set(trainer.held_out()) == {f"{v}-{t}/one" for v in ("w50", "w100", "trunk")
                                       for t in ("low", "high")}


def test_a_light_variant_learns_with_a_decoder_of_its_own(tmp_path: Path) -> None:
    base = trunk_recipe(tmp_path)
    coder = replace(base.coder, variants=("light", *base.coder.variants))
    light = {"layers": [{"kind": "conv", "kernel": 4, "stride": 4, "channels": [5]},
                        {"kind": "conv", "kernel": 3}]}
    imitate, answers = (replace(stage, variants=("light",)) for stage in base.stages[2:])
    trainer = Trainer(replace(base, coder=coder, options=base.options | {"light": light},
                              stages=(*base.stages[:1], imitate, answers)),
                      tmp_path, Stores(1), CPU)
    model, stages = trainer.model, trainer.recipe.stages
    trainer._train_stage(stages[0])
    family = model.decoders["one"]
    assert not torch.equal(family["light"].layers[0].weight, family["trunk"].layers[0].weight)
    trainer.method.begin(stages[1])
    for mine, its in zip(family["light"].convolutions(), family["trunk"].convolutions(),
                         strict=True):
        assert torch.equal(mine.weight, its.weight)
        assert torch.equal(mine.norm["light"].weight, its.norm["trunk"].weight)

    others = {name: value.clone() for name, value in model.state_dict().items()
              if "light" not in name}
    for stage in stages[1:]:
        trainer._train_stage(stage)
    for name, value in others.items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert not torch.equal(family["light"].layers[0].weight, family["trunk"].layers[0].weight)
    assert "light-low/one" in trainer.held_out()


def test_a_width_starts_with_the_compressors_most_important_channels() -> None:
    compressor = ConvEncoder((LayerSpec("conv", 3, 1, (6,)), LayerSpec("conv", 3)), 4, ["trunk"], 5)
    first, last = compressor.layers
    with torch.no_grad():
        first.norm["trunk"].weight.copy_(torch.tensor([1.0, 0, 0, 3, 0, 2]))
        first.norm["trunk"].running_mean.copy_(torch.arange(6.0))
        last.weight.fill_(1)
    encoder = ConvEncoder((LayerSpec("conv", 3, 2, (3, 5)), LayerSpec("conv", 3, 1, (2, 3)),
                           LayerSpec("conv", 3)), 4, ["w50", "w100"])
    start_from_compressor(encoder, compressor)
    assert torch.equal(encoder.layers[1].weight, first.weight[[3, 5, 0]])
    assert encoder.layers[1].norm["w50"].running_mean.tolist() == [3, 5]
    assert torch.equal(encoder.layers[2].weight, last.weight[:, :3])


def test_refusals(tmp_path: Path) -> None:
    stores = Stores(2)
    imitating = (replace(DISTILL, imitation=1.0),)
    for name in ("slimmable", "ensemble", "autoencoder"):
        with pytest.raises(SystemExit, match="trunk"):
            build_method(replace(recipe(name, tmp_path), stages=imitating), stores.backbones)
    trunk = trunk_recipe(tmp_path)
    for options in ({}, trunk.options | {"light": {}}):
        with pytest.raises(SystemExit, match="need each other"):
            build_method(replace(trunk, options=options), stores.backbones)
    franken = recipe("frankensplit", tmp_path)
    with pytest.raises(SystemExit, match="tail"):
        build_method(replace(franken, stages=(TAIL,)), stores.backbones)
    other = replace(stores.backbones[1], shape=(12, 4, 4))
    with pytest.raises(SystemExit, match="size"):
        build_method(franken, [stores.backbones[0], other])
    with pytest.raises(SystemExit, match="taps"):
        build_method(replace(recipe("bottlefit", tmp_path), options={"taps": {}}),
                     stores.backbones[:1])
    with pytest.raises(SystemExit, match="1x1"):
        build_method(replace(recipe("channel_reduction", tmp_path),
                             coder=recipe("bottlefit", tmp_path).coder), stores.backbones)
    with pytest.raises(SystemExit, match="checkpoint"):
        build_method(recipe("early_exit", tmp_path), stores.backbones)
    with pytest.raises(SystemExit, match="no method"):
        build_method(replace(franken, method="magic"), stores.backbones)


def test_recipes_share_their_caches() -> None:
    default = load_recipe(RECIPES / "default.toml")
    for name in set(METHODS) - {"slimmable"}:
        mine = load_recipe(RECIPES / f"{name}.toml")
        assert mine.method == name
        assert (mine.input, mine.photos, mine.seed) == (default.input, default.photos, default.seed)
        assert mine.backbones[0] == default.backbones[0]
    early = load_recipe(RECIPES / "early_exit.toml")
    assert early.coder == default.coder
    assert all(early.options[kind] == default.options[kind] for kind in ("trunk", "light"))
    assert [p.id for p in early.points if p.exit == ExitSpec(0.8)] == ["w100-base-exit"]


@pytest.mark.parametrize(("name", "low", "high"), [
    ("bottlefit", 45, 50), ("frankensplit", 45, 50), ("ensemble", 9.5, 10.5)])
@torch.no_grad()
def test_recipes_encoders_fit_the_device(name: str, low: float, high: float) -> None:
    coder = load_recipe(RECIPES / f"{name}.toml").coder
    kind = EnsembleEncoder if name == "ensemble" else ConvEncoder
    encoder = kind(coder.layers, coder.latent, list(coder.variants)).eval()
    macs = []
    for conv in _convs(encoder):
        conv.register_forward_hook(
            lambda conv, _, y: macs.append(conv.weight[0].numel() * y[0].numel()))
    assert encoder(torch.zeros(1, 3, 224, 224), coder.variants[0]).shape[2:] == (14, 14)
    assert low <= sum(macs) / 1e6 <= high
