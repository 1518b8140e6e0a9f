"""On a GPU the kernels compute what torch does, the same at every call, and within a captured graph."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from wcord import kernels
from wcord.contrast import nce_loss
from wcord.transport import transport_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("error::RuntimeWarning"),  # a kernel that fails
]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_failed", set())
    monkeypatch.setattr(kernels, "_launched", set())
    monkeypatch.setenv(kernels.VARIABLE, "on")


def sides(batch: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, batch, width, generator=generator).cuda()
    return torch.nn.functional.normalize(x, dim=1).requires_grad_(), torch.nn.functional.normalize(y, dim=1)


def transport(batch: int, width: int) -> tuple[Tensor, Callable[[], tuple[Tensor, ...]]]:
    x, y = sides(batch, width)

    def run() -> tuple[Tensor, ...]:
        loss = transport_loss(x, y)
        return loss.detach(), *torch.autograd.grad(loss, x)

    return x, run


def nce(batch: int, width: int, rows: int, drawn: int | None) -> tuple[Tensor, Callable[[], tuple[Tensor, ...]]]:
    x, y = sides(batch, width)
    bank = sides(rows, width)[1]
    index = None if drawn is None else torch.randperm(rows, device="cuda")[:drawn]
    constant = torch.tensor(1.0, device="cuda")

    def run() -> tuple[Tensor, ...]:
        loss = nce_loss(x, y, bank, index, temperature=0.1, log_mean_exp=constant, num_negatives=1000)
        return loss.detach(), *torch.autograd.grad(loss, x)

    return x, run


CASES = {
    **{f"transport {batch}": (transport, batch, 64) for batch in (2, 64, 70, 256, 1000, 1024)},
    "nce": (nce, 64, 128, 5000, None),
    "nce, odd": (nce, 70, 100, 1001, None),
    "nce, wide": (nce, 33, 256, 3000, None),
    "nce, shared": (nce, 64, 128, 5000, 999),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_kernel_is_torch_and_repeats_itself(monkeypatch, case):
    make, *sizes = case
    _, run = make(*sizes)
    ours, again = run(), run()
    assert kernels._launched
    monkeypatch.setenv(kernels.VARIABLE, "off")
    for mine, repeated, theirs in zip(ours, again, run(), strict=True):
        assert torch.equal(mine, repeated)
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", [(transport, 64, 64), (nce, 64, 128, 5000, None)], ids=["transport", "nce"])
def test_a_captured_kernel_sees_the_next_batch(case):
    make, *sizes = case
    x, run = make(*sizes)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        held = run()
    with torch.no_grad():
        x.copy_(x.flip(0) + 0.1)
    graph.replay()
    for captured, eager in zip(held, run(), strict=True):
        assert torch.equal(captured, eager)


def test_what_was_never_launched_is_torch_in_a_graph():
    _, run = transport(48, 64)
    torch.mm(*2 * [torch.ones(4, 4, device="cuda")])  # what the product needs is made outside of the graph
    kernels._launched.clear()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    assert not kernels._launched
