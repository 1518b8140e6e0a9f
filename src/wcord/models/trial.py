"""A network's first forward pass: errors become one line about the network and its input, and lazy widths are set."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy

from wcord.checks import UsageError, WrongTypeError
from wcord.memory import lack_of_memory
from wcord.models.network import evaluating, is_compiled, logits_of
from wcord.own_code import of_own_code, said_by


@contextmanager
def on_trial(role: str, shape: Sequence[int]) -> Iterator[None]:
    """Turn any error in a network's first forward pass into a `UsageError`.

    Args:
        role: name of the network in messages: student, teacher, network.
        shape: of its input.

    Raises:
        UsageError: instead of any error except a lack of memory.
    """
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        if lack_of_memory(error) is not None:
            raise
        raise UsageError(
            f"the {role} fails on an input of shape {tuple(shape)}: {of_own_code(error) or said_by(error)}; check its "
            "code, and the channels and the size of its input (image_size, sample)"
        ) from error


def try_network(role: str, network: nn.Module, shape: Sequence[int]) -> None:
    """Raise unless a network returns logits for blank inputs; the network is not changed.

    A compiled network is not tried: hooks on its features must exist before it first runs.

    Args:
        role: name of the network in messages.
        network: takes B×C×H×W; in eval mode and without gradients.
        shape: channels, height and width of its input.

    Raises:
        UsageError: its weights hold no values, its code fails, or its output is not B×classes.

    >>> try_network("student", nn.Flatten(0), (3, 2, 2))
    Traceback (most recent call last):
        ...
    wcord.checks.UsageError: the student must return logits, batch × classes, received shape (24,) of 2 inputs
    """
    require_values(role, network)
    if any(is_compiled(module) for module in network.modules()):
        return
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    with evaluating(network), on_trial(role, (2, *shape)):
        logits = logits_of(network(torch.zeros(2, *shape, device=device)))
    _require_logits(role, logits)


def require_gradient(role: str, network: nn.Module, sample: Tensor) -> None:
    """Raise if a network detaches its logits from its weights, so that it cannot be trained.

    Args:
        role: name of the network in messages.
        network: in eval mode during the call.
        sample: a batch of its inputs.
    """
    with evaluating(network), torch.enable_grad(), on_trial(role, sample.shape):
        cut = not logits_of(network(sample)).requires_grad
    if cut:
        raise UsageError(
            f"the {role} cannot be trained: its logits have no gradient; leave out detach and no_grad in it"
        )


def require_values(role: str, network: nn.Module) -> None:
    """Raise if a weight of a network holds no values, as with lazy layers and the meta device."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for name, tensor in tensors.items():
        if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
            raise UsageError(
                f"the {role}'s {name!r} has no shape yet: run the network once, or use layers that are not lazy"
            )
        if tensor.is_meta:
            raise UsageError(f"the {role}'s {name!r} is on the meta device and holds no values: build it on the CPU")


def _require_logits(role: str, logits: Tensor) -> None:
    if logits.dim() != 2 or len(logits) != 2:
        raise UsageError(
            f"the {role} must return logits, batch × classes, received shape {tuple(logits.shape)} of 2 inputs"
        )
    if not logits.is_floating_point():
        raise WrongTypeError(f"the {role} must return logits as floating-point numbers, received {logits.dtype}")


SIDE = 32
"""Side in pixels of the first input if no size is known."""


def settle_widths(network: nn.Module, *, in_channels: int, image_size: tuple[int, int] | None = None) -> None:
    """Run a network on zeros if any of its parameters or buffers have no shape yet (nn.LazyLinear and the like).

    >>> network = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    >>> settle_widths(network, in_channels=3, image_size=(8, 8))
    >>> network[0].weight.shape, network[1].weight.shape, network[3].weight.shape
    (torch.Size([4, 3, 3, 3]), torch.Size([4]), torch.Size([2, 144]))

    Args:
        network: only these widths change, not its mode.
        in_channels: of its input.
        image_size: height and width of its input.

    Raises:
        UsageError: it fails on that input, or does not use all of its modules.
    """
    if not _without_shape(network):
        return
    size = image_size or (SIDE, SIDE)
    try:
        with evaluating(network):
            network(torch.zeros(2, in_channels, *size))
    except Exception as error:
        shape = f"2×{in_channels}×{size[0]}×{size[1]}"
        raise UsageError(
            f"{type(network).__name__} has modules without widths (nn.Lazy…) and fails on a first input of {shape} "
            f"({error}): give them widths"
        ) from error
    unused = _without_shape(network)
    if unused:
        raise UsageError(f"{type(network).__name__} does not use {unused[0]!r}, which has no width: give it one")


def _without_shape(network: nn.Module) -> list[str]:
    named = (*network.named_parameters(), *network.named_buffers())
    return [name for name, value in named if is_lazy(value)]
