"""What fails where the host would wait for a device: on a CPU, and on devices that are not there (fake tensors)."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import wcord

SOURCE = Path(wcord.__file__).parent

READS = {
    "_local_scalar_dense": "the host reads its value",
    "item": "the host reads its value",
    "is_nonzero": "the host reads its value",
    "equal": "the host reads its value",
    "allclose": "the host reads its value",
    "histc": "the host reads its ends",
    "nonzero": "its shape depends on values",
    "nonzero_numpy": "its shape depends on values",
    "argwhere": "its shape depends on values",
    "masked_select": "its shape depends on values",
    "_unique": "its shape depends on values",
    "_unique2": "its shape depends on values",
    "unique_dim": "its shape depends on values",
    "unique_consecutive": "its shape depends on values",
    "unique_dim_consecutive": "its shape depends on values",
    "bincount": "its shape depends on values",
    "lift_fresh": "numbers of the host become a tensor, which on a device is a copy",
    "lift_fresh_copy": "numbers of the host become a tensor, which on a device is a copy",
    "_pin_memory": "memory of the host",
    "_linalg_svd": "whether it succeeded is read by the host",
    "_linalg_eigh": "whether it succeeded is read by the host",
    "_linalg_eigvals": "whether it succeeded is read by the host",
    "linalg_eig": "whether it succeeded is read by the host",
    "linalg_lstsq": "whether it succeeded is read by the host",
    "_linalg_check_errors": "whether it succeeded is read by the host",
}
"""Operations that wait for the device, and why."""
MASKABLE = {"index", "index_put", "index_put_", "_unsafe_index", "_unsafe_index_put", "_index_put_impl_"}
"""Operations whose shape depends on values where they are given a mask."""
METHODS: dict[Callable[..., Any], str] = {
    Tensor.tolist: "Tensor.tolist",
    Tensor.numpy: "Tensor.numpy",
    Tensor.__array__: "Tensor.__array__",
    Tensor.cpu: "Tensor.cpu",
    Tensor.pin_memory: "Tensor.pin_memory",
}
"""Ways to the host that are no operation of a CPU's tensor."""


class HostReadError(AssertionError):
    """Something that a step on a device would have to wait for."""


@contextmanager
def reads_refused() -> Iterator[None]:
    """Raise on whatever would make the host wait for a device, if the tensors were on one."""
    with _Methods(), _Operations():
        yield


@contextmanager
def operations_noted() -> Iterator[list[tuple[str, list[Any]]]]:
    """Give the list of operations that are run, each with all that it is given but the tensors' numbers.

    A graph repeats these: what the host gives anew in each step would stay as it was when the step was captured.
    """
    noted: list[tuple[str, list[Any]]] = []
    with _Noting(noted):
        yield noted


class _Noting(TorchDispatchMode):
    def __init__(self, noted: list[tuple[str, list[Any]]]) -> None:
        super().__init__()
        self.noted = noted

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        leaves = [leaf for leaf in tree_leaves((args, named)) if not isinstance(leaf, torch.ScriptObject)]
        self.noted.append((str(func), [tuple(x.shape) if isinstance(x, Tensor) else repr(x) for x in leaves]))
        return func(*args, **named)


class _Methods(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in METHODS:
            raise HostReadError(f"{METHODS[func]} at {_place()}: the host reads its values")
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        reason = _reason(func, args, named)
        if reason:
            raise HostReadError(f"{func} at {_place()}: {reason}")
        return func(*args, **named)


def _reason(func: Any, args: Sequence[Any], named: Mapping[str, Any]) -> str:
    """Return why an operation waits for the device, or nothing."""
    namespace, _, name = func._schema.name.partition("::")
    if namespace == "prim":
        return ""
    if name in READS:
        return READS[name]
    if name == "repeat_interleave" and "output_size" not in named:
        return "its shape depends on values"
    if name in MASKABLE and any(_is_mask(index) for index in args[1]):
        return "its shape depends on values"
    devices = {leaf.device for leaf in tree_leaves((args, named)) if isinstance(leaf, Tensor)}
    wanted = named.get("device")
    if devices and wanted is not None and torch.device(wanted).type not in {device.type for device in devices}:
        return f"a copy from {_listed(devices)} to {wanted}"
    return f"it mixes {_listed(devices)}" if len(devices) > 1 else ""


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def _listed(devices: set[torch.device]) -> str:
    return " and ".join(sorted(map(str, devices)))


def _place() -> str:
    """Return the innermost line of wcord that is running."""
    inside = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(SOURCE)]
    if not inside:
        return "no line of wcord"
    return f"{Path(inside[-1].filename).relative_to(SOURCE)}:{inside[-1].lineno}"
