"""The training methods by the name that a recipe gives them."""

from __future__ import annotations

from ..model import Backbone
from ..recipe import Recipe
from .autoencoder import Autoencoder
from .base import Batch, Method
from .bottlefit import BottleFit
from .channel_reduction import ChannelReduction
from .early_exit import EarlyExit
from .ensemble import Ensemble
from .frankensplit import FrankenSplit
from .slimmable import Slimmable

METHODS: dict[str, type[Method]] = {
    "autoencoder": Autoencoder,
    "bottlefit": BottleFit,
    "channel_reduction": ChannelReduction,
    "early_exit": EarlyExit,
    "ensemble": Ensemble,
    "frankensplit": FrankenSplit,
    "slimmable": Slimmable,
}

__all__ = ["METHODS", "Batch", "Method", "build_method"]


def build_method(recipe: Recipe, backbones: list[Backbone]) -> Method:
    """The recipe's method on these backbones."""
    if recipe.method not in METHODS:
        raise SystemExit(f"no method {recipe.method!r}; there are: {', '.join(METHODS)}")
    return METHODS[recipe.method](recipe, backbones)
