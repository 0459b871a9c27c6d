"""ONNX operators one by one, what is refused, splitting, and the command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import SMALL, export_onnx, random_network, settled
from test_onnx_networks import engine_probabilities, needs_engine, pictures
from torch import Tensor, nn

from cleave_train.__main__ import parser
from cleave_train.backbones.imported import build_network
from cleave_train.bundle import DTYPES, load_bundle
from cleave_train.graph_writer import GraphWriter, layer_names
from cleave_train.onnx_import.importer import Request, build_bundle
from cleave_train.onnx_import.layout import Unsupported, Value, image_dims
from cleave_train.onnx_import.read import read_onnx
from cleave_train.onnx_import.translate import translate
from cleave_train.reference import Reference

H, W = 11, 14


class Builder:
    """An ONNX model written node by node; `x` is a picture [1,3,H,W]."""

    def __init__(self, shape: tuple = (1, 3, H, W), opset: int = 17) -> None:
        self.shape, self.opset = shape, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.rng = np.random.default_rng(4)

    def weight(self, *shape: int) -> str:
        """A random tensor."""
        return self.constant(self.rng.normal(0, 0.5, shape).astype(np.float32))

    def constant(self, array: Any) -> str:
        """A given tensor."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node; the name of what it makes."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def classify(self, value: str, channels: int) -> str:
        """Pooled, flattened, five classes."""
        pooled = self.add("Flatten", self.add("GlobalAveragePool", value))
        return self.add("Gemm", pooled, self.weight(channels, 5), self.weight(5))

    def write(self, path: Path, output: str) -> Path:
        """The file."""
        graph = helper.make_graph(
            self.nodes, "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", "k"])],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)],
                                  ir_version=8)
        onnx.save(model, path)
        return path


def ops_of(path: Path) -> list[str]:
    """Imports, for the engine and for training, which compares with ONNX Runtime; the graph's ops.

    What training writes into a bundle must be the same graph.
    """
    full = build_bundle(Request(path)).document["graphs"]["full"]
    source = read_onnx(path)
    net = build_network(path, source, translate(source))
    writer = GraphWriter({}, layer_names(net, "net"), (*source.picture, 3))
    writer.graph.softmax(writer.nodes(net, 0, 0, net.end))
    assert [without_weights(node) for node in writer.graph.document()["nodes"]] == \
        [without_weights(node) for node in full["nodes"]]
    return [node["op"] for node in full["nodes"]]


def without_weights(node: dict[str, Any]) -> dict[str, Any]:
    """All that a bundle's node says but for its tensors."""
    return {key: value for key, value in node.items() if key not in ("weight", "scale", "bias")}


CONVOLUTIONS = {
    "uneven padding": ((4, 3, 3, 2), {"pads": [2, 0, 1, 3], "strides": [2, 1]}),
    "same, more behind": ((4, 3, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "same, more in front": ((4, 3, 4, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "valid": ((4, 3, 3, 3), {"auto_pad": "VALID"}),
    "dilated": ((4, 3, 3, 3), {"dilations": [2, 3], "pads": [1, 2, 3, 4]}),
    "depthwise, dilated": ((3, 1, 3, 3), {"dilations": [3, 2], "group": 3, "strides": [1, 2]}),
    "in groups, more outputs": ((6, 1, 3, 3), {"group": 3, "dilations": [1, 2]}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("padded", [False, True])
def test_convolution(name: str, padded: bool, tmp_path: Path) -> None:
    shape, attributes = CONVOLUTIONS[name]
    b = Builder()
    value = "x"
    if padded:
        value = b.add("Pad", value, b.constant(np.array([0, 0, 1, 0, 0, 0, 2, 3], np.int64)))
    value = b.add("Conv", value, b.weight(*shape), b.weight(shape[0]), **attributes)
    ops = ops_of(b.write(tmp_path / "m.onnx", b.classify(value, shape[0])))
    first = "dwconv" if name.startswith("depthwise") else "conv"
    assert ops == [first, "global_avgpool", "linear", "softmax"]


POOLS = {
    "max, rounded up": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1}),
    "max, padded": ("MaxPool", {"kernel_shape": [3, 2], "pads": [2, 0, 1, 1]}),
    "mean, padded": ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 0, 0, 2]}),
    "mean, counting": ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 1, 2, 0],
                                       "count_include_pad": 1, "strides": [2, 2]}),
    "mean, rounded up": ("AveragePool", {"kernel_shape": [2, 4], "strides": [2, 3],
                                         "ceil_mode": 1}),
    "whole": ("GlobalMaxPool", {}),
}


@pytest.mark.parametrize("name", POOLS)
def test_pool(name: str, tmp_path: Path) -> None:
    kind, attributes = POOLS[name]
    b = Builder()
    ops = ops_of(b.write(tmp_path / "m.onnx", b.classify(b.add(kind, "x", **attributes), 3)))
    assert ops[0] == ("dwconv" if "counting" in name else
                      "avgpool" if "mean" in name else "maxpool")


RESIZES = {
    "as torch does": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                      "nearest_mode": "floor"},
    "as onnx does": {"mode": "nearest"},
    "corners, nearest": {"mode": "nearest", "coordinate_transformation_mode": "align_corners"},
    "bilinear": {"mode": "linear"},
    "bilinear of torch": {"mode": "linear",
                          "coordinate_transformation_mode": "pytorch_half_pixel"},
    "corners": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    "asymmetric": {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
}


@pytest.mark.parametrize("name", RESIZES)
@pytest.mark.parametrize("sizes", [(22, 28), (16, 5), (7, 29)])
def test_resize(name: str, sizes: tuple[int, int], tmp_path: Path) -> None:
    b = Builder()
    value = b.add("Resize", "x", "", "", b.constant(np.array([1, 3, *sizes], np.int64)),
                  **RESIZES[name])
    value = b.add("Conv", value, b.weight(4, 3, 3, 3), strides=[2, 2])  # shifts must be seen
    assert "resize" in ops_of(b.write(tmp_path / "m.onnx", b.classify(value, 4)))


def test_resize_by_scales(tmp_path: Path) -> None:
    b = Builder()
    value = b.add("Resize", "x", "", b.constant(np.array([1, 1, 2, 3], np.float32)))
    assert ops_of(b.write(tmp_path / "m.onnx", b.classify(value, 3)))[0] == "resize"


def test_elements(tmp_path: Path) -> None:
    """Activations and arithmetic, folded as far as can be."""
    b = Builder(opset=14)
    v = b.add("Conv", "x", b.weight(6, 3, 3, 3))
    v = b.add("LeakyRelu", v, alpha=0.2)
    v = b.add("Sub", b.constant(np.float32(0.5)), v)
    v = b.add("HardSigmoid", b.add("Div", v, b.weight(6, 1, 1)))
    v = b.add("Clip", b.add("Mul", v, b.weight(1, 6, 1, 1)), b.constant(np.float32(-0.25)))
    w = b.add("PRelu", b.add("Conv", v, b.weight(6, 6, 1, 1)), b.constant(np.float32([[[0.3]]])))
    v = b.add("Sub", b.add("Sigmoid", v), b.add("HardSwish", w))
    v = b.add("Mul", v, b.add("GlobalAveragePool", v))
    ops = ops_of(b.write(tmp_path / "m.onnx", b.classify(v, 6)))
    assert ops == ["conv", "affine", "affine", "conv", "act", "act", "affine", "add",
                   "global_avgpool", "mul", "global_avgpool", "linear", "softmax"]


def test_written_out_activations_are_recognised(tmp_path: Path) -> None:
    b = Builder()

    def number(value: float) -> str:
        return b.constant(np.float32(value))

    def conv(value: str, inputs: int) -> str:
        return b.add("Conv", value, b.weight(4, inputs, 1, 1))

    v = conv("x", 3)
    v = conv(b.add("Mul", b.add("Sigmoid", v), v), 4)
    squashed = b.add("Clip", b.add("Add", number(3), v), number(0), number(6))
    v = conv(b.add("Div", b.add("Mul", squashed, v), number(6)), 4)
    erf = b.add("Add", b.add("Erf", b.add("Div", v, number(2 ** 0.5))), number(1))
    v = conv(b.add("Mul", b.add("Mul", v, number(0.5)), erf), 4)
    off = b.add("Sub", v, b.add("ReduceMean", v, axes=[1]))
    spread = b.add("ReduceMean", b.add("Mul", off, off), axes=[1])
    v = b.add("Div", off, b.add("Sqrt", b.add("Add", spread, number(1e-4))))
    document = build_bundle(Request(b.write(tmp_path / "m.onnx", b.classify(v, 4)))).document
    nodes = document["graphs"]["full"]["nodes"]
    assert [node.get("act") for node in nodes[:3]] == ["silu", "hard_swish", "gelu"]
    assert [node["op"] for node in nodes[3:5]] == ["conv", "layer_norm"]
    assert nodes[4]["epsilon"] == pytest.approx(1e-4)


def test_channels_last_throughout(tmp_path: Path) -> None:
    """A file in the manner of TensorFlow: transposes cost nothing."""
    b = Builder((1, H, W, 3), opset=13)
    v = b.add("Conv", b.add("Transpose", "x", perm=[0, 3, 1, 2]), b.weight(4, 3, 3, 3),
              auto_pad="SAME_UPPER", strides=[2, 2])
    v = b.add("Transpose", b.add("Relu", v), perm=[0, 2, 3, 1])
    v = b.add("MatMul", b.add("Add", v, b.weight(4)), b.weight(4, 6))
    v = b.add("ReduceMean", v, axes=[1, 2], keepdims=0)
    v = b.add("Softmax", b.add("MatMul", v, b.weight(6, 5)))
    ops = ops_of(b.write(tmp_path / "m.onnx", v))
    assert ops == ["conv", "conv", "global_avgpool", "linear", "softmax"]


@pytest.mark.parametrize("last", [False, True])
def test_flattened_pictures(last: bool, tmp_path: Path) -> None:
    """A fully connected layer on a picture becomes a convolution of its size."""
    b = Builder()
    v = b.add("MaxPool", b.add("Conv", "x", b.weight(4, 3, 3, 3)), kernel_shape=[3, 3],
              strides=[3, 3])
    if last:
        v = b.add("Transpose", v, perm=[0, 2, 3, 1])
    v = b.add("Relu", b.add("Gemm", b.add("Flatten", v), b.weight(3 * 4 * 4, 7), alpha=0.5))
    v = b.add("MatMul", v, b.weight(7, 5))
    assert ops_of(b.write(tmp_path / "m.onnx", v)) == ["conv", "maxpool", "conv", "linear",
                                                       "softmax"]


def test_gathering_everything_is_reshaping(tmp_path: Path) -> None:
    b = Builder()
    v = b.add("GlobalAveragePool", b.add("Conv", "x", b.weight(4, 3, 1, 1)))
    v = b.add("Reshape", v, b.constant(np.array([-1], np.int64)))
    v = b.add("Gather", v, b.constant(np.arange(4).reshape(1, 4)))
    v = b.add("MatMul", v, b.weight(4, 5))
    assert ops_of(b.write(tmp_path / "m.onnx", v)) == ["conv", "global_avgpool", "linear",
                                                       "softmax"]


class ByShape(nn.Module):
    """Flattens by a shape that it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, 8), nn.Linear(4 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.fc(x.reshape(x.size(0), x.size(1) * x.size(2) * x.size(3)))


def test_open_batch_and_computed_shapes(tmp_path: Path) -> None:
    path = export_onnx(settled(ByShape(), 64), 64, tmp_path / "m.onnx", input_names=["x"],
                       dynamic_axes={"x": {0: "n"}})
    assert "Shape" in {node.op_type for node in onnx.load(path).graph.node}
    assert ops_of(path) == ["conv", "conv", "softmax"]


def test_open_size(tmp_path: Path) -> None:
    model = random_network("resnet18", SMALL)
    path = export_onnx(model, 64, tmp_path / "m.onnx", input_names=["x"],
                       dynamic_axes={"x": {2: "h", 3: "w"}})
    assert build_bundle(Request(path, size=(48, 80))).document["input"] | {"mean": 0, "scale": 0} \
        == {"width": 80, "height": 48, "resize_shorter": 91, "filter": "bilinear", "mean": 0,
            "scale": 0}
    fixed = export_onnx(model, 64, tmp_path / "f.onnx")
    with pytest.raises(SystemExit, match="64x64 and cannot be resized"):
        build_bundle(Request(fixed, size=(48, 80)))


def test_joined_prefixes_are_joined_once(tmp_path: Path) -> None:
    b = Builder()
    parts = ["x", *(b.add("Conv", "x", b.weight(2, 3, 1, 1)) for _ in range(3))]
    joined = [b.add("Concat", *parts[:n], axis=1) for n in (2, 3, 4)]
    convs = [b.add("Conv", v, b.weight(4, n, 1, 1)) for v, n in zip(joined, (5, 7, 9))]
    v = b.add("Add", b.add("Add", convs[0], convs[1]), convs[2])
    ops = ops_of(b.write(tmp_path / "m.onnx", b.classify(v, 4)))
    assert ops.count("concat") == 3


def test_depth_to_space(tmp_path: Path) -> None:
    b = Builder()
    v = b.add("Conv", "x", b.weight(24, 3, 3, 3))
    v = b.add("DepthToSpace", b.add("DepthToSpace", v, blocksize=2), blocksize=1, mode="CRD")
    v = b.add("Conv", v, b.weight(4, 6, 2, 2), strides=[2, 2])
    assert ops_of(b.write(tmp_path / "m.onnx", b.classify(v, 4))).count("depth_to_space") == 2


def test_all_that_is_unsupported_is_listed_and_nothing_written(tmp_path: Path) -> None:
    b = Builder()
    v = b.add("Elu", b.add("Conv", "x", b.weight(4, 3, 3, 3)))
    v = b.add("ConvTranspose", v, b.weight(4, 4, 3, 3))
    w = b.add("Conv", "x", b.weight(4, 3, 1, 1))
    w = b.add("Add", b.add("GlobalAveragePool", w), w)
    path = b.write(tmp_path / "m.onnx", b.classify(b.add("Add", v, w), 4))
    with pytest.raises(SystemExit) as stop:
        args = parser().parse_args(["import", str(path), "--output", str(tmp_path / "b")])
        args.call(args)
    assert str(stop.value).splitlines() == [
        "m.onnx cannot be imported:",
        "  elu1 (Elu): the engine has no such operator",
        "  convtranspose2 (ConvTranspose): the engine has no such operator",
        "  add5 (Add): a sum of [1, 4, 1, 1] and [1, 4, 11, 14]"]
    assert os.listdir(tmp_path) == ["m.onnx"]


REFUSED = {
    "an axis that is split": ("Reshape", [[1, 2, 2, 5, 5]], {}, "would split an axis"),
    "two open sides": ("Reshape", [[1, -1, -1, 5]], {}, "is no shape"),
    "cubic": ("Resize", ["", np.float32([1, 1, 2, 2])], {"mode": "cubic"}, "resize by cubic"),
    "cropping": ("Resize", ["", np.float32([1, 1, 2, 2])],
                 {"coordinate_transformation_mode": "half_pixel_symmetric"}, "half_pixel_symm"),
    "by position": ("Mul", [np.float32(np.eye(5))], {}, "between positions"),
    "a mean of rows": ("ReduceMean", [], {"axes": [2]}, "something else than height and width"),
    "softmax of rows": ("Softmax", [], {"axis": 2}, "softmax over"),
    "a dilated pool": ("MaxPool", [], {"kernel_shape": [2, 2], "dilations": [2, 2]}, "dilation"),
    "reflected": ("Pad", [[0, 0, 1, 1, 0, 0, 1, 1]], {"mode": "reflect"}, "than zeros"),
    "deep padding": ("Pad", [[0, 1, 0, 0, 0, 0, 0, 0]], {}, "than height and width"),
    "picking": ("Gather", [[1, 0]], {"axis": 1}, "picks some"),
    "slopes": ("PRelu", [np.float32([1, 2, 3, 4]).reshape(4, 1, 1)], {}, "slopes that differ"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name: str, tmp_path: Path) -> None:
    kind, constants, attributes, reason = REFUSED[name]
    b = Builder((1, 3, 5, 5))
    v = b.add("Conv", "x", b.weight(4, 3, 1, 1))
    inputs = [c if isinstance(c, str) else
              b.constant(c if isinstance(c, np.ndarray) else np.array(c, np.int64))
              for c in constants]
    path = b.write(tmp_path / "m.onnx", b.add(kind, v, *inputs, **attributes))
    with pytest.raises(SystemExit, match=reason):
        build_bundle(Request(path))


def test_pending_zeros_are_not_forgotten(tmp_path: Path) -> None:
    b = Builder()
    v = b.add("Pad", "x", b.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)))
    path = b.write(tmp_path / "m.onnx", b.classify(v, 3))
    with pytest.raises(SystemExit, match="only convolutions"):
        build_bundle(Request(path))


@pytest.mark.parametrize("content", [b"", b"garbage" * 9, b"\x08\x08\x12\x00"])
def test_what_is_no_onnx_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(SystemExit, match=r"m\.onnx"):
        build_bundle(Request(tmp_path / "m.onnx"))


def test_layouts_follow_reshapes() -> None:
    value = Value(0, (2, 3, 5), image_dims((2, 3, 5)))
    flat = value.reshaped((1, 30))
    assert flat.dims == ((), ("c", "h", "w"))
    assert flat.reshaped((5, 1, 6)).reshaped((1, 5, 2, 3)) == value
    assert value.transposed((0, 2, 3, 1)).reshaped((6, 5)).dims == (("h", "w"), ("c",))
    with pytest.raises(Unsupported):
        value.reshaped((1, 3, 10))
    with pytest.raises(Unsupported):
        flat.reshaped((1, 15))


@needs_engine
def test_split_is_served_and_costs_eight_bits(tmp_path: Path) -> None:
    path = export_onnx(random_network("mobilenet_v2", SMALL), 64, tmp_path / "m.onnx")
    with pytest.raises(SystemExit, match="there is no such node; possible are") as stop:
        build_bundle(Request(path, split="nowhere"))
    listed = [line.split(": ") for line in str(stop.value).splitlines()[1:]]
    assert len(listed) > 8
    names, shape = listed[4]
    bundle = build_bundle(Request(path, split=names.strip().split(", ")[-1]))
    point = bundle.point("split-u8")
    assert "x".join(map(str, point["latent"])) == shape
    assert point["head_macs"] + point["tail_macs"] == bundle.point("local")["head_macs"]
    assert point["head_macs"] > 0 < point["tail_macs"]
    seen = pictures(3, 64)
    wanted = Reference(bundle).classify(point, seen)
    whole = Reference(bundle).classify(bundle.point("local"), seen)
    for i, (top, probabilities) in enumerate(engine_probabilities(bundle, tmp_path, "split-u8",
                                                                  seen)):
        np.testing.assert_allclose(probabilities, wanted[i][top], rtol=5e-3)
        assert 1e-6 < np.abs(probabilities - whole[i][top]).max() < 0.1


def test_branches_cannot_be_cut(tmp_path: Path) -> None:
    path = export_onnx(random_network("resnet18", SMALL), 64, tmp_path / "m.onnx")
    inner = next(node.name for node in onnx.load(path).graph.node if "inside" in node.name)
    with pytest.raises(SystemExit, match="later nodes reach around it; possible are"):
        build_bundle(Request(path, split=inner))


def test_command(tmp_path: Path) -> None:
    path = export_onnx(random_network("squeezenet1_1", SMALL), 64, tmp_path / "my net.onnx")
    (tmp_path / "labels").write_text("ant\nbee\ncat\ndog\nelk\n")
    sizes = []
    for storage in ("f32", "f16", "bf16"):
        args = parser().parse_args(
            ["import", str(path), "--output", str(tmp_path / "b.safetensors"), "--labels",
             str(tmp_path / "labels"), "--convention", "timm", "--mean", "0", "0.5", "1",
             "--storage", storage])
        args.call(args)
        sizes.append((tmp_path / "b.safetensors").stat().st_size)
    assert max(sizes[1:]) < 0.6 * sizes[0]
    bundle = load_bundle(tmp_path / "b.safetensors")
    kinds = {bundle.tensors[node["weight"]].dtype for node in
             bundle.document["graphs"]["full"]["nodes"] if "weight" in node}
    assert kinds == {np.dtype(DTYPES["BF16"])}
    document = bundle.document
    assert document["name"] == "my-net"
    assert document["labels"] == ["ant", "bee", "cat", "dog", "elk"]
    assert document["input"]["mean"] == [0, 127.5, 255]
    assert document["input"]["filter"] == "bicubic"
    assert [p["kind"] for p in document["points"]] == ["offload", "local"]
    assert document["provenance"]["imported"]["file"] == "my net.onnx"
    (tmp_path / "labels").write_text('["only one"]')
    with pytest.raises(SystemExit, match="1 labels, the network 5 classes"):
        build_bundle(Request(path, labels=tmp_path / "labels"))
