"""What is to notice a read by the host does notice each kind of it, and lets pass what is none."""

import pytest
import torch
import torch.nn.functional as F
from tests.support.host_reads import HostReadError, reads_refused
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

READS = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "truth": lambda x: bool(x.sum() > 0),
    "comparison in an if": lambda x: 1 if x.sum() > 0 else 0,
    "tolist": lambda x: x.tolist(),
    "equal": lambda x: torch.equal(x, x),
    "allclose": lambda x: torch.allclose(x, x),
    "nonzero": lambda x: x.nonzero(),
    "one-armed where": lambda x: torch.where(x > 0),
    "argwhere": lambda x: torch.argwhere(x),
    "masked_select": lambda x: x.masked_select(x > 0),
    "mask": lambda x: x[x > 0],
    "mask assigned to": lambda x: x.__setitem__(x > 0, x.new_zeros(())),
    "unique": lambda x: x.unique(),
    "unique rows": lambda x: x[:, None].unique(dim=0),
    "unique_consecutive": lambda x: x.unique_consecutive(),
    "bincount": lambda x: x.long().bincount(),
    "histc": lambda x: x.histc(3),
    "repeat_interleave": lambda x: x.repeat_interleave(x.long()),
    "slice": lambda x: x[: x.long().sum()],
    "arange": lambda x: torch.arange(x.sum(), device=x.device),
    "tensor": lambda x: torch.tensor(1.0, device=x.device),
    "new_tensor": lambda x: x.new_tensor([1.0, 2.0]),
    "number assigned": lambda x: x.__setitem__(torch.zeros_like(x, dtype=torch.long), 1.0),
    "svd": lambda x: torch.linalg.svd(x.view(2, 2)),
    "eigh": lambda x: torch.linalg.eigh(x.view(2, 2)),
    "inverse": lambda x: torch.linalg.inv(x.view(2, 2)),
}
ON_A_CPU = {
    "numpy": lambda x: x.numpy(),
    "cpu": lambda x: x.cpu(),
    "text": lambda x: f"{x.sum():g}",
    "one_hot": lambda x: F.one_hot(x.long(), 4),
}
ON_A_DEVICE = {
    "to the host": lambda x: x.to("cpu"),
    "copied to the host": lambda x: torch.zeros(4).copy_(x),
    "from the host": lambda x: torch.zeros(4).to(x.device),
    "row numbers on the host": lambda x: x[torch.zeros(2, dtype=torch.long)],
    "number on the host": lambda x: x * torch.zeros(()),
}
FREE = {
    "assert": lambda x: torch._assert_async((x >= 0).all()),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "rows": lambda x: x[torch.arange(2, device=x.device)],
    "masked_fill": lambda x: x.masked_fill(x > 0, -1.0),
    "full": lambda x: x.new_full((), 2.0) + torch.full((4,), 1.0, device=x.device),
    "draws": lambda x: torch.randperm(4, device=x.device) + torch.randint(4, (4,), device=x.device),
    "detached": lambda x: x.detach().clone().to(torch.float64),
    "sorted": lambda x: torch.searchsorted(x.sort(stable=True).values, x),
}


def on_a_device() -> Tensor:
    return torch.ones(4, device="cuda")


@pytest.mark.parametrize("name", [*READS, *ON_A_CPU])
def test_a_read_is_refused_on_a_cpu(name: str) -> None:
    with reads_refused(), pytest.raises(HostReadError, match="at no line of wcord"):
        (READS | ON_A_CPU)[name](torch.ones(4))


@pytest.mark.parametrize("name", [*READS, *ON_A_DEVICE])
def test_a_read_is_refused_on_a_fake_device(name: str) -> None:
    with FakeTensorMode(), reads_refused(), pytest.raises(HostReadError):
        (READS | ON_A_DEVICE)[name](on_a_device())


@pytest.mark.parametrize("name", FREE)
def test_what_needs_no_wait_passes(name: str) -> None:
    with reads_refused():
        FREE[name](torch.ones(4))
    with FakeTensorMode(), reads_refused():
        FREE[name](on_a_device())


def test_a_read_in_backward_is_refused() -> None:
    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * float(grad.sum())

    total = Reading.apply(torch.ones(3, requires_grad=True)).sum()
    with reads_refused(), pytest.raises(HostReadError, match="_local_scalar_dense"):
        total.backward()


def test_the_line_of_wcord_is_named() -> None:
    from wcord.contrast import Bank

    bank = Bank(4, 2)
    with reads_refused(), pytest.raises(HostReadError, match=r"at contrast/memory\.py:\d+: the host reads"):
        bank.read(torch.zeros(2, dtype=torch.long))
