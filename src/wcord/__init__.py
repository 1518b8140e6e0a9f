"""Distil a trained teacher into a smaller student with Wasserstein contrastive representation distillation.

The names below are loaded when first used, so that `import wcord` and `wcord --help` do not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wcord import contrast as contrast
    from wcord import losses as losses
    from wcord import transport as transport
    from wcord.api import build_method as build_method
    from wcord.api import distill as distill
    from wcord.api import evaluate as evaluate
    from wcord.features import Features as Features
    from wcord.features import capture as capture
    from wcord.losses import LossReport as LossReport
    from wcord.losses import WCoRDLoss as WCoRDLoss
    from wcord.models.create import create_model as create_model
    from wcord.models.weights import load_weights as load_weights

__version__ = "0.1.0"

_HOME = {
    "Features": "wcord.features",
    "LossReport": "wcord.losses",
    "WCoRDLoss": "wcord.losses",
    "build_method": "wcord.api",
    "capture": "wcord.features",
    "create_model": "wcord.models.create",
    "distill": "wcord.api",
    "evaluate": "wcord.api",
    "load_weights": "wcord.models.weights",
}
_PACKAGES = ("contrast", "losses", "transport")

__all__ = [
    "Features",
    "LossReport",
    "WCoRDLoss",
    "build_method",
    "capture",
    "contrast",
    "create_model",
    "distill",
    "evaluate",
    "load_weights",
    "losses",
    "transport",
]


def __getattr__(name: str) -> object:
    if name in _PACKAGES:
        return import_module(f"wcord.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'wcord' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
