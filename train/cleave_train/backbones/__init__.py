"""Backbones by name, each as a Network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..net import Network
from ..picture import InputSpec
from ..recipe import BackboneSpec
from .lite import SCALES, load_lite
from .own import replace_classifier
from .state import read_state
from .traced import import_callable, trace_network


def load_backbone(spec: BackboneSpec, view: InputSpec) -> Network:
    """A recipe's backbone for pictures of this size."""
    net = _load_imported(spec, view) if spec.onnx else _load_named(spec, view)
    if spec.classifier:
        replace_classifier(net, Path(spec.classifier))
    return net


def _load_imported(spec: BackboneSpec, view: InputSpec) -> Network:
    """One of an ONNX file, which holds everything but its labels."""
    if spec.weights or spec.kwargs:
        raise SystemExit(f"{spec.name}: the weights are those of {spec.onnx}")
    try:
        from .imported import load_imported
    except ModuleNotFoundError as missing:
        raise SystemExit(f"{missing}; pip install './train[import]' brings it") from None

    return load_imported(spec, view)


def _load_named(spec: BackboneSpec, view: InputSpec) -> Network:
    """One that is built in, or that a callable makes."""
    state, labels = read_state(Path(spec.weights)) if spec.weights else (None, None)
    if spec.name in SCALES:
        net = load_lite(spec.name, view.width, state)
    elif ":" in spec.name:
        model = import_callable(spec.name)(**spec.kwargs)
        if state is not None:
            model.load_state_dict(state)
        net = trace_network(model, view.height, view.width)
    else:
        raise SystemExit(f"no backbone {spec.name!r}; there are: {', '.join(SCALES)}, and any "
                         "\"package.module:callable\" that makes a torch module; or `onnx` names "
                         "a file")
    net.labels = labels
    return net


def identity(spec: BackboneSpec) -> str:
    """What stands for a backbone's answers: its name, and its files' content where it has any."""
    parts = [spec.name, *(f"{key}={value}" for key, value in sorted(spec.kwargs.items()))]
    parts += [hashlib.sha256(Path(file).read_bytes()).hexdigest()
              for file in (spec.weights, spec.classifier, spec.onnx) if file]
    return " ".join(parts)
