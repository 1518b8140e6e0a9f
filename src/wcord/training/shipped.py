"""The network that is evaluated after an epoch and saved at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wcord.data.loader import Loader
from wcord.models.network import Network
from wcord.training.config import TrainingConfig
from wcord.training.normalization import NormLayer, measure_statistics, tracking_layers, unsettled_layers


@dataclass(frozen=True)
class Shipped:
    """A network that is ready to be evaluated and saved.

    Attributes:
        network: the student, or its moving average.
        notes: what its user must know about normalization layers, one sentence each.
        statistics: the same for programs: numbers of layers with measured running statistics, of samples, and of layers
            whose statistics have not settled; None if all are those of training.
    """

    network: Network
    notes: tuple[str, ...] = ()
    statistics: dict[str, Any] | None = None


def ship(network: Network, train: Loader, config: TrainingConfig, *, updates: int, device: torch.device) -> Shipped:
    """Set the running statistics of a network, in place, for inference.

    They are measured on batches that depend on the seed alone and are equal in all processes.

    Args:
        network: the student, or its moving average.
        train: training batches.
        config: whether statistics are measured.
        updates: batches that the student has been trained on.
        device: where the network is.
    """
    layers, unsettled = tracking_layers(network), unsettled_layers(network, updates)
    why = _reason(config, unsettled, updates)
    if config.norm_statistics == "never":
        return Shipped(network) if not why else _unmeasured(network, layers, unsettled, why)
    chosen = layers if config.ema is not None or config.norm_statistics == "always" else unsettled
    if not chosen:
        return Shipped(network)
    samples = measure_statistics(network, chosen, train.undivided().batches(), device=device)
    note = (
        f"the running statistics of {len(chosen)} of {len(layers)} normalization layers were measured on {samples:,} "
        f"training samples, for evaluation and for the saved network: {why or 'norm_statistics is always'}"
    )
    return Shipped(network, (note,), {"measured_layers": len(chosen), "samples": samples})


def _reason(config: TrainingConfig, unsettled: Sequence[NormLayer], updates: int) -> str:
    """Return why the running statistics of training do not suffice; empty if they do."""
    if config.ema is not None and config.norm_statistics != "always":
        return "averaged weights need measured statistics"
    if not unsettled:
        return ""
    momenta = sorted({f"{layer.momentum:g}" if layer.momentum is not None else "1/n" for layer in unsettled})
    batches = "1 batch is" if updates == 1 else f"{updates:,} batches are"
    return f"{batches} too few for them to settle (momentum {', '.join(momenta)})"


def _unmeasured(network: Network, layers: Sequence[NormLayer], unsettled: Sequence[NormLayer], why: str) -> Shipped:
    wrong = unsettled or layers
    if not wrong:
        return Shipped(network)
    note = (
        f"the running statistics of {len(wrong)} of {len(layers)} normalization layers may not fit the weights: {why}; "
        "--norm-statistics auto measures them"
    )
    return Shipped(network, (note,), {"unsettled_layers": len(wrong)})
