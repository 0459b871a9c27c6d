"""A published backbone with a last layer for one's own classes."""

from __future__ import annotations

from pathlib import Path

from ..net import Folded, Network
from .state import read_state


def replace_classifier(net: Network, path: Path) -> None:
    """Puts the classifier of this file in the place of the network's last layer."""
    state, labels = read_state(path)
    last, weight = net.nodes[-1], state["weight"]
    if last.op != "linear":
        raise SystemExit(f"{path}: the backbone ends in {last.op}, not in a linear layer")
    inputs = net.folded(last.name).weight.shape[1]
    if weight.shape[1] != inputs:
        raise SystemExit(f"{path} takes {weight.shape[1]} features, the backbone makes {inputs}")
    net.weights[last.name.replace(".", "/")] = Folded(weight, None, state["bias"])
    net.labels = labels
