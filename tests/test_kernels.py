"""When a GPU kernel is taken, and what a process sees of one that cannot be: a single warning, and torch's result."""

import warnings

import pytest
import torch

from wcord import kernels
from wcord.checks import UsageError
from wcord.contrast import nce_loss
from wcord.transport import transport_loss

NUMBERS = torch.ones(4)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """A process that launched no kernel yet, where tensors of the CPU pass for a GPU's."""
    monkeypatch.setattr(kernels, "_failed", set())
    monkeypatch.setattr(kernels, "_launched", set())
    monkeypatch.setattr(kernels, "_suits", lambda tensor: True)
    monkeypatch.setenv(kernels.VARIABLE, "on")


def ask(launch, *, kernel="trial", size=4, tensors=(NUMBERS,), variant=()):
    return kernels.result_of(kernel, launch, tensors=tensors, size=size, variant=variant)


def fail():
    raise RuntimeError("no compiler\nin sight")


def lack_triton():
    raise ModuleNotFoundError("No module named 'triton'")


@pytest.mark.parametrize(("setting", "kept", "taken"), [
    ("on", {}, True),
    ("off", {"trial": 9}, False),
    ("auto", {}, False),
    ("auto", {"trial": 3}, False),
    ("auto", {"trial": 4}, True),
    ("", {"trial": 4}, True),
    ("", {"another": 4}, False),
])  # fmt: skip
def test_a_kernel_is_taken_where_it_is_wanted(monkeypatch, setting, kept, taken):
    monkeypatch.setenv(kernels.VARIABLE, setting)
    monkeypatch.setattr(kernels, "KEPT", kept)
    assert ask(lambda: "kernel") == ("kernel" if taken else None)


def test_no_kernel_is_taken_before_it_was_measured(monkeypatch):
    monkeypatch.delenv(kernels.VARIABLE)
    assert set(kernels.KEPT) <= {"nce", "sinkhorn"}
    assert ask(lambda: "kernel") is None


@pytest.mark.parametrize("loss", [
    lambda: nce_loss(torch.eye(3), torch.eye(3), torch.eye(3), temperature=1.0),
    lambda: transport_loss(torch.eye(3), torch.eye(3)),
])  # fmt: skip
def test_another_setting_is_refused_in_one_line(monkeypatch, loss):
    monkeypatch.setenv(kernels.VARIABLE, "yes")
    with pytest.raises(UsageError, match=r"^WCORD_KERNELS must be auto, on or off, received 'yes': .*variable$"):
        loss()


def test_what_fails_is_told_once_in_a_process_and_not_tried_again():
    tried = []

    def launch():
        tried.append(None)
        fail()

    with pytest.warns(RuntimeWarning, match=r"^the GPU kernel 'trial' failed \(RuntimeError: no compiler in sight\)"):
        assert ask(launch) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(launch) is None
        assert ask(fail, kernel="another") is None
    assert len(tried) == 1
    assert ask(lambda: "kernel", kernel="third") == "kernel"


def test_a_loss_whose_kernels_fail_is_that_of_torch(monkeypatch):
    # On a CPU, where no interpreter was asked for, neither kernel can be launched.
    torch.manual_seed(0)
    x, y, rows = torch.randn(5, 8), torch.randn(5, 8), torch.randn(20, 8)

    def loss():
        anchor = x.clone().requires_grad_()
        value = nce_loss(anchor, y, rows, temperature=1.0) + transport_loss(anchor, y, epsilon=0.5)
        return value.detach(), *torch.autograd.grad(value, anchor)

    with pytest.warns(RuntimeWarning) as told:
        ours = loss()
    assert len(told) == 1
    assert kernels._failed == {"nce", "sinkhorn"}
    monkeypatch.setenv(kernels.VARIABLE, "off")
    for mine, theirs in zip(ours, loss(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("setting", "told"), [("on", 1), ("auto", 0)])
def test_that_triton_is_not_there_is_told_to_those_who_asked_for_kernels(monkeypatch, setting, told):
    monkeypatch.setenv(kernels.VARIABLE, setting)
    monkeypatch.setattr(kernels, "KEPT", {"trial": 100})
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert ask(lack_triton) is None
    assert len(seen) == told


def test_a_lack_of_memory_is_not_the_kernels_fault():
    def launch():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        ask(launch)
    assert ask(lambda: "kernel") == "kernel"


def test_a_graph_holds_only_what_was_launched_before(monkeypatch):
    assert ask(lambda: "kernel", variant=(1,)) == "kernel"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert ask(lambda: "kernel", variant=(1,)) == "kernel"
    assert ask(fail, variant=(2,)) is None
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    assert ask(lambda: "kernel", variant=(2,)) == "kernel"


def test_what_a_kernel_cannot_read_goes_to_torch(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv(kernels.VARIABLE, "on")
    assert ask(lambda: "kernel") is None  # tensors of the CPU
    assert not kernels._failed


class Elsewhere(torch.Tensor):
    """A tensor that says it is on a GPU."""

    device = torch.device("cuda", 0)


def test_a_subclass_of_tensor_goes_to_torch(monkeypatch):
    monkeypatch.undo()
    assert not kernels._suits(torch.ones(4).as_subclass(Elsewhere))
