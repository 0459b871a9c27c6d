"""The network's operations against PyTorch's own, and where it can be cut."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from cleave_train.model import Backbone, Tail
from cleave_train.net import Folded, Network, NetworkBuilder, Node, convolve, same_pad


def folded(out: int, inputs: int, kernel: int = 3) -> Folded:
    """Random weights."""
    return Folded(torch.randn(out, inputs, kernel, kernel) / (inputs * kernel), torch.rand(out) + 1,
                  torch.randn(out))


@pytest.fixture
def net() -> Network:
    """Two convolutions around which a sum reaches, a depthwise one, a classifier."""
    torch.manual_seed(3)
    b = NetworkBuilder((17, 20, 3))
    stem = b.same_conv(0, "stem", folded(8, 3), 2, "relu6")
    first = b.same_conv(stem, "first", folded(8, 8), act="relu")
    second = b.same_conv(first, "second", folded(8, 8))
    added = b.sum(stem, second, "sum", "relu")
    last = b.same_conv(added, "last.depthwise", folded(8, 1, 5), 2)
    b.marks |= {"stem": stem, "first": first, "sum": added, "last": last}
    b.classify(last, "fc", Folded(torch.randn(4, 8), None, torch.randn(4)))
    return b.network()


@pytest.mark.parametrize("pad", [(0, 1, 0, 1), (1, 2, 0, 1), (2, 1, 1, 0), (1, 1, 2, 2),
                                 (0, 3, 4, 0)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
def test_uneven_padding(pad: tuple[int, int, int, int], stride: tuple[int, int]) -> None:
    x, weight = torch.randn(2, 3, 11, 14), torch.randn(5, 3, 3, 3)
    top, bottom, left, right = pad
    expected = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, None, stride)
    assert torch.allclose(convolve(x, weight, None, stride, pad, 1), expected, atol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_depthwise_gradients_are_those_of_fp32(kernel: int, stride: int) -> None:
    x, weight = torch.randn(4, 6, 12, 12), torch.randn(6, 1, kernel, kernel)
    pad = (*same_pad(12, kernel, stride),) * 2
    wanted = []
    for kind in (torch.float64, torch.float32, torch.bfloat16):
        parts = [part.to(kind, copy=True).requires_grad_() for part in (x, weight)]
        y = convolve(*parts, torch.ones(6, dtype=kind), (stride, stride), pad, 6)
        y.sigmoid().sum().backward()
        grads = [part.grad.double() for part in parts]
        wanted = wanted or grads
        for mine, its in zip(grads, wanted):
            error = (mine - its).norm() / its.norm()
            assert error < (0.02 if kind is torch.bfloat16 else 1e-5)


def test_same_padding_gives_sizes_rounded_up() -> None:
    for size in range(3, 20):
        for kernel in (1, 3, 5):
            for stride in (1, 2):
                before, after = same_pad(size, kernel, stride)
                assert before <= after <= before + 1
                assert (size + before + after - kernel) // stride + 1 == -(-size // stride)


def test_a_network_is_the_functions_it_names(net: Network) -> None:
    def conv(x: torch.Tensor, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        part = net.folded(name)
        size = part.weight.shape[-1]
        pads = [same_pad(n, size, stride) for n in x.shape[:1:-1]]
        y = F.conv2d(F.pad(x, [p for pair in pads for p in pair]), part.weight, None, stride, 0, 1,
                     groups)
        return y * part.scale[:, None, None] + part.bias[:, None, None]

    x = torch.randn(2, 3, 17, 20)
    stem = F.relu6(conv(x, "stem", 2))
    added = F.relu(stem + conv(F.relu(conv(stem, "first")), "second"))
    last = conv(added, "last.depthwise", 2, 8)
    fc = net.folded("fc")
    expected = last.mean((2, 3)) @ fc.weight.T + fc.bias
    assert torch.allclose(net(x), expected, atol=1e-4)
    assert net.nodes[4].op == "dwconv" and net.nodes[0].pad == (1, 1, 0, 1)


@pytest.mark.parametrize("op", ["maxpool", "avgpool"])
def test_pools_leave_their_padding_out(op: str) -> None:
    x = torch.randn(1, 2, 7, 8) - 3  # a zero of the padding would win every maximum
    b = NetworkBuilder((7, 8, 2))
    b.add(Node(op, "pool", (0,), "none", (3, 3), (2, 2), (1, 1, 1, 1)), (4, 4, 2))
    expected = F.max_pool2d(x, 3, 2, 1) if op == "maxpool" else \
        F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    assert torch.allclose(b.network()(x), expected.flatten(1), atol=1e-6)


def test_cuts_and_taps(net: Network) -> None:
    x = torch.randn(1, 3, 17, 20)
    whole = net(x)
    for name in ("stem", "sum", "last"):
        net.check_cut(net.marks[name])
        features, _ = net.between(x, 0, net.marks[name])
        assert torch.equal(net.between(features, net.marks[name])[0], whole)
    with pytest.raises(ValueError, match="sum reads what is before"):
        net.check_cut(net.marks["first"])
    taps = [net.marks["sum"], net.marks["stem"], net.end]
    logits, tapped = net.between(x, 0, None, taps)
    assert [tuple(t.shape) for t in tapped] == [(1, 8, 9, 10), (1, 8, 9, 10), (1, 4)]
    assert tapped[2] is logits and torch.equal(tapped[1], net.between(x, 0, taps[1])[0])


def test_grouped_convolutions_are_refused() -> None:
    with pytest.raises(ValueError, match="grouped"):
        NetworkBuilder((8, 8, 4)).same_conv(0, "conv", folded(8, 2))


def test_a_thawed_tail_learns_alone(net: Network) -> None:
    tail = Tail(Backbone("net", net, net.marks["sum"], (8, 9, 10)))
    x = torch.randn(2, 8, 9, 10)
    before = tail(x)
    assert not tail.thawed()
    tail.thaw()
    assert tail.thawed() == [tail.net.folded("fc")] and torch.equal(tail(x), before)
    tail(x).sum().backward()
    with torch.no_grad():
        for part in tail.thawed():
            part.weight -= part.weight.grad
    assert not torch.equal(tail(x), before)
    assert torch.equal(net.between(x, tail.cut)[0], before)
