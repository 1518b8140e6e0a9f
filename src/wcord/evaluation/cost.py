"""The cost of a network: parameters, multiply-accumulates, latency and size."""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from wcord.checks import UsageError
from wcord.models.network import evaluating

_WARM_UP = 2
_REPEATS = 15
_SECONDS = 2.0


@dataclass(frozen=True)
class Cost:
    """The cost of one network.

    Attributes:
        parameters: number of parameters; a shared one counts once.
        macs: multiply-accumulates of the matrix products and convolutions of one sample.
        latency_ms: median time of a forward pass of one sample, in milliseconds, preprocessing included.
        size_bytes: bytes of parameters and buffers, with floating-point numbers as float32.
    """

    parameters: int
    macs: int
    latency_ms: float
    size_bytes: int


def measure_cost(network: nn.Module, input_shape: tuple[int, int, int], *, device: torch.device | str = "cpu") -> Cost:
    """Measure a network on one sample of the given shape.

    MACs are half the floating-point operations of `torch.utils.flop_counter`, which counts matrix products and
    convolutions and omits normalization, activation and pooling, as is usual in the literature. Latency is the median
    of at most 15 forward passes within about two seconds, with torch's current number of threads.

    Args:
        network: the network, already on `device`; its training mode is restored.
        input_shape: channels, height, width of one image.
        device: its device.

    Raises:
        UsageError: if the network does not accept such an input.

    >>> cost = measure_cost(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 10)), (3, 8, 8))
    >>> cost.parameters, cost.macs, cost.size_bytes
    (2682, 9472, 10728)
    """
    image = torch.rand(1, *input_shape, generator=torch.Generator().manual_seed(0)).to(device)
    with evaluating(network):
        macs = _macs(network, image)
        latency_ms = _latency_ms(network, image)
    return Cost(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=macs,
        latency_ms=latency_ms,
        size_bytes=sum(map(_stored_bytes, [*network.parameters(), *network.buffers()])),
    )


def _macs(network: nn.Module, image: Tensor) -> int:
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            network(image)
    except (RuntimeError, ValueError) as error:
        shape = "×".join(str(side) for side in image.shape[1:])
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"the network does not take an image of {shape}: {reason}") from error
    return counter.get_total_flops() // 2


def _latency_ms(network: nn.Module, image: Tensor) -> float:
    for _ in range(_WARM_UP):
        network(image)
    times: list[float] = []
    while len(times) < _REPEATS and (len(times) < 3 or sum(times) < _SECONDS):
        _synchronize(image)
        start = time.perf_counter()
        network(image)
        _synchronize(image)
        times.append(time.perf_counter() - start)
    return 1000.0 * statistics.median(times)


def _synchronize(tensor: Tensor) -> None:
    # Accelerators run asynchronously: without waiting, only the launch would be timed.
    if tensor.device.type != "cpu":
        torch.accelerator.synchronize(tensor.device)


def _stored_bytes(tensor: Tensor) -> int:
    return tensor.numel() * (4 if tensor.is_floating_point() else tensor.element_size())
