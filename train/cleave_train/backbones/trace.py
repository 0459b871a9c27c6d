"""A torch.fx trace of a classification network: what each node means, or why it cannot run."""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

KINDS: dict[Any, str] = {  # by module class, function or method name
    nn.Conv2d: "conv", nn.BatchNorm2d: "norm", F.batch_norm: "norm",
    nn.Linear: "linear", nn.ReLU: "relu", F.relu: "relu", torch.relu: "relu", "relu": "relu",
    "relu_": "relu", nn.ReLU6: "relu6", F.relu6: "relu6", nn.Hardtanh: "relu6",
    F.hardtanh: "relu6", nn.Identity: "skip", nn.Dropout: "skip", nn.Dropout2d: "skip",
    F.dropout: "skip", "contiguous": "skip", nn.Flatten: "flatten", torch.flatten: "flatten",
    "flatten": "flatten", "view": "flatten", "reshape": "flatten",
    nn.MaxPool2d: "maxpool", F.max_pool2d: "maxpool", nn.AvgPool2d: "avgpool",
    F.avg_pool2d: "avgpool", nn.AdaptiveAvgPool2d: "mean", F.adaptive_avg_pool2d: "mean",
    torch.mean: "mean", "mean": "mean", operator.add: "add", operator.iadd: "add",
    torch.add: "add", "add": "add", "add_": "add",
}
ACTS = ("relu", "relu6")
SILENT = ("skip", "flatten")  # nothing to compute


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    """A size of a window, which may be given as one number."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class _Tracer(fx.Tracer):
    """Notes which node is the output of which module; convolutions of any class stay whole."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple,
                    kwargs: dict) -> Any:
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.outputs[self.path_of_module(m)] = output.node
        return output


class Trace:
    """The traced graph with shapes, and what each of its nodes means."""

    def __init__(self, model: nn.Module, picture: Tensor) -> None:
        tracer = _Tracer()
        try:
            graph = tracer.trace(model)
        except Exception as error:  # whatever the model's own code makes of a proxy
            raise SystemExit(f"{type(model).__name__} cannot be traced: {error}") from None
        self.outputs = tracer.outputs
        self.module = fx.GraphModule(model, graph)
        self.logits = ShapeProp(self.module).propagate(picture)
        self.parts = dict(self.module.named_modules())
        pending = [graph.output_node().args[0]]
        if not isinstance(pending[0], fx.Node):
            raise SystemExit(f"{type(model).__name__} returns more than logits")
        wanted: set[fx.Node] = set()
        while pending:
            node = pending.pop()
            if node not in wanted:
                wanted.add(node)
                pending += self.inputs(node)
        self.nodes = [node for node in graph.nodes if node in wanted]
        self.kinds = {node: self._kind(node) for node in self.nodes}

    def _kind(self, node: fx.Node) -> str | None:
        if node.op == "placeholder":
            return "picture"
        if not self.inputs(node):
            return None
        if node.op != "call_module":
            return KINDS.get(node.target)
        part = self.parts[node.target]
        if type(part).__name__ == "Conv2dSame" and isinstance(part, nn.Conv2d):
            return "conv"
        return KINDS.get(type(part))

    def inputs(self, node: fx.Node) -> list[fx.Node]:
        """The values that a node computes with; weights and sizes are not among them."""
        if node.op == "call_function" and KINDS.get(node.target) == "norm":
            return [self.settings(node).input]
        if node.op == "call_method" and KINDS.get(node.target) == "flatten":
            return [node.args[0]]
        return [source for source in node.all_input_nodes if source.op != "get_attr"]

    def settings(self, node: fx.Node) -> Any:
        """The module of a node, or its function's arguments under the names modules use."""
        if node.op == "call_module":
            return self.parts[node.target]
        if node.op == "call_method":
            return SimpleNamespace(args=node.args[1:], **node.kwargs)
        both = node.normalized_arguments(self.module, normalize_to_only_use_kwargs=True)
        if both is None:
            return SimpleNamespace(args=node.args[1:], **node.kwargs)
        return SimpleNamespace(args=(), **both.kwargs)

    def source(self, node: fx.Node) -> fx.Node:
        """The node that made this one's first value, past all that computes nothing."""
        value = self.inputs(node)[0]
        while self.kinds[value] in SILENT:
            value = self.inputs(value)[0]
        return value

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Shape of a node's value."""
        return tuple(node.meta["tensor_meta"].shape)

    def alone(self, node: fx.Node, kinds: tuple[str, ...]) -> fx.Node | None:
        """The only user of a node's value, past what computes nothing, if of one of the kinds."""
        users = [user for user in node.users if user in self.kinds]
        if len(users) != 1:
            return None
        kind = self.kinds[users[0]]
        if kind == "skip":
            return self.alone(users[0], kinds)
        return users[0] if kind in kinds else None

    def pooled(self, node: fx.Node) -> bool:
        """Whether the value is a global average, or comes of one through linear layers."""
        while (kind := self.kinds[node]) in (*SILENT, *ACTS, "linear"):
            node = self.source(node)
        return kind == "mean" or (kind == "avgpool" and self.whole(node))

    def whole(self, node: fx.Node) -> bool:
        """Whether an average pool covers its whole input."""
        settings = self.settings(node)
        return pair(settings.kernel_size) == self.shape(self.source(node))[2:]

    def tensor(self, value: Any) -> Tensor | None:
        """A weight, given as it is or as the node that fetches it."""
        if not isinstance(value, fx.Node):
            return value
        return operator.attrgetter(str(value.target))(self.module)

    def refusal(self, node: fx.Node) -> str | None:
        """Why training cannot use this node; None if it can."""
        kind = self.kinds[node]
        if kind is None:
            return "not supported"
        check = getattr(self, f"_refuse_{kind}", None)
        if check is not None:
            return check(node)
        if kind in ACTS:
            return self._refuse_act(node)
        return None

    def _refuse_conv(self, node: fx.Node) -> str | None:
        conv = self.settings(node)
        if conv.groups not in (1, conv.in_channels) or (
                conv.groups > 1 and conv.out_channels != conv.in_channels):
            return f"convolution in {conv.groups} groups of {conv.in_channels} channels"
        if pair(conv.dilation) != (1, 1):
            return "dilated convolution"
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
            return f"padding {conv.padding_mode} {conv.padding}"
        return "convolution behind the global pool" if self.pooled(self.source(node)) else None

    def _refuse_norm(self, node: fx.Node) -> str | None:
        source = self.source(node)
        if self.kinds[source] != "conv" or self.alone(source, ("norm",)) is not node:
            return "batch norm that does not stand right behind a convolution of its own"
        return None

    def _refuse_act(self, node: fx.Node) -> str | None:
        settings, source = self.settings(node), self.source(node)
        if type(settings) is nn.Hardtanh or node.target is F.hardtanh:
            limits = (getattr(settings, "min_val", -1.0), getattr(settings, "max_val", 1.0))
            if limits != (0, 6):
                return f"hardtanh between {limits[0]} and {limits[1]}"
        if self.kinds[source] not in ("conv", "norm", "linear", "add") \
                or self.alone(source, ACTS) is not node:
            return "activation that is not the only user of a convolution, sum or linear layer"
        return None

    def _refuse_add(self, node: fx.Node) -> str | None:
        inputs = self.inputs(node)
        if len(node.args) != 2 or node.kwargs or not all(value in inputs for value in node.args):
            return "sum of anything but two values"
        if inputs[0] is not inputs[-1] and self.shape(inputs[0]) != self.shape(inputs[1]):
            return f"sum of shapes {self.shape(inputs[0])} and {self.shape(inputs[1])}"
        return None

    def _refuse_pool(self, node: fx.Node) -> str | None:
        settings = self.settings(node)
        size, stride = pair(settings.kernel_size), settings.stride
        stride, pad = pair(stride) if stride else size, pair(settings.padding)
        floor = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(
            self.shape(self.source(node))[2:], pad, size, stride)]
        if settings.ceil_mode and floor != list(self.shape(node)[2:]):
            return "pool whose size is rounded up"
        if pair(getattr(settings, "dilation", 1)) != (1, 1):
            return "dilated pool"
        if pair(settings.padding) != (0, 0) and getattr(settings, "count_include_pad", False):
            return "average that counts its padding"
        if getattr(settings, "divisor_override", None):
            return "average with a divisor of its own"
        return None

    _refuse_maxpool = _refuse_avgpool = _refuse_pool

    def _refuse_mean(self, node: fx.Node) -> str | None:
        settings = self.settings(node)
        if hasattr(settings, "output_size"):
            size = pair(settings.output_size)
            return None if size == (1, 1) else f"adaptive pool to {size[0]}x{size[1]}"
        dims = settings.dim if hasattr(settings, "dim") else (*settings.args, None)[0]
        if not isinstance(dims, list | tuple) or sorted(d % 4 for d in dims) != [2, 3]:
            return f"mean over {dims}, not over height and width"
        return None

    def _refuse_flatten(self, node: fx.Node) -> str | None:
        flat = len(self.shape(node)) == 2
        return None if flat and self.pooled(self.source(node)) else \
            "reshaping of anything but the global pool's output"

    def _refuse_linear(self, node: fx.Node) -> str | None:
        return None if self.pooled(self.source(node)) and len(self.shape(node)) == 2 else \
            "linear layer that does not stand behind the global pool"

    def label(self, node: fx.Node) -> str:
        """How an error names a node: its module's path and class, or its function."""
        if node.op == "call_module":
            return f"{node.target} ({type(self.parts[node.target]).__name__})"
        name = node.target if isinstance(node.target, str) else node.target.__name__
        stack = node.meta.get("nn_module_stack") or {"": ""}
        return f"{node.name} ({name}) in {next(reversed(stack)) or 'forward'}"
