"""A teacher runs once for each batch: in the step, ahead of it, or in another run over the same batches."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.training.test_captured import train
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.features import Features
from wcord.models.create import create_model
from wcord.models.network import Network
from wcord.models.preprocess import Preprocess
from wcord.training.config import TrainingConfig
from wcord.training.engine import make_accelerator
from wcord.training.teacher_cache import TeacherCache
from wcord.training.teaching import teaching


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(create_model("resnet8", num_classes=4), Preprocess((0.5,) * 3, (0.5,) * 3))


@pytest.fixture
def passes(network: Network) -> Iterator[list[int]]:
    """Sizes of the batches that the network has seen."""
    sizes: list[int] = []

    def note(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        sizes.append(len(given[0]))

    handle = network.register_forward_pre_hook(note)
    yield sizes
    handle.remove()


def batches() -> Batch:
    """Return batches of 3, 3 and 2 pictures, one after the other."""
    images = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(images, images, torch.arange(8) % 4, torch.arange(8))


def test_several_batches_are_one_pass_and_each_gets_its_own(
    network: Network, passes: list[int], tmp_path: Path
) -> None:
    config = TrainingConfig(device="cpu", teacher_ahead=3)
    whole, sizes = batches(), (3, 3, 2)
    with teaching(network, ["stage1"], config, make_accelerator(config, tmp_path), None) as teacher:
        ahead = teacher.before_steps(whole, sizes)
        assert passes == [8]
        for batch, features in zip(whole.split(sizes), ahead, strict=True):
            assert features is not None
            alone = teacher(batch.teacher_input)
            assert not features.logits.requires_grad
            for name in ("logits", "embedding"):
                torch.testing.assert_close(getattr(features, name), getattr(alone, name))
            torch.testing.assert_close(features.maps["stage1"], alone.maps["stage1"])


def test_it_is_frozen_in_eval_mode_and_its_hooks_are_gone_afterwards(network: Network, tmp_path: Path) -> None:
    config = TrainingConfig(device="cpu", channels_last=True)
    with teaching(network.train(), ["stage1"], config, make_accelerator(config, tmp_path), None) as teacher:
        assert teacher.ahead == 1
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        kernels = [parameter for parameter in network.parameters() if parameter.dim() == 4]
        assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
        assert any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_what_is_neither_ahead_nor_kept_is_left_to_the_step(
    network: Network, passes: list[int], tmp_path: Path
) -> None:
    config = TrainingConfig(device="cpu")
    whole = batches()
    with teaching(network, [], config, make_accelerator(config, tmp_path), None) as teacher:
        assert teacher.before_steps(whole, (3, 3, 2)) == [None] * 3
        assert teacher.cached(0, 0, whole, last=False) is None
    assert not passes


def test_a_cache_is_asked_batch_by_batch(network: Network, passes: list[int], tmp_path: Path) -> None:
    config = TrainingConfig(device="cpu")
    whole, sizes = batches(), (3, 3, 2)
    seen: list[list[Features | None]] = []
    for _ in range(2):
        cache = TeacherCache(tmp_path / "cache", network, {}, batch_size=3, say=pytest.fail)
        with teaching(network, [], config, make_accelerator(config, tmp_path), cache) as teacher:
            assert teacher.before_steps(whole, sizes) == [None] * 3
            parts = enumerate(whole.split(sizes))
            seen.append([teacher.cached(0, number, part, last=number == 2) for number, part in parts])
    assert passes == [3, 3, 2, 3]  # of the second run only the first batch, to see whether the file can be trusted
    for one, other in zip(*seen, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one.logits, other.logits)


def test_the_teacher_ahead_gives_the_same_run_up_to_rounding(tmp_path: Path) -> None:
    one = train(tmp_path / "one", None, method="kd", set=[])
    ahead = train(tmp_path / "ahead", None, method="kd", set=[], teacher_ahead=3)
    for name, value in one.student.state_dict().items():
        torch.testing.assert_close(value, ahead.student.state_dict()[name], rtol=1e-3, atol=1e-4, msg=name)
