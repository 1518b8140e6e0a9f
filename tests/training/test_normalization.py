"""Running statistics: which layers have settled, and what measuring them gives."""

import pytest
import torch
from torch import Tensor, nn

from wcord.data.batch import Batch
from wcord.training.normalization import (
    SAMPLES,
    measure_statistics,
    statistics_restored,
    tracking_layers,
    unsettled_layers,
)

CPU = torch.device("cpu")


class Frozen(nn.BatchNorm2d):
    """A layer that stays in eval mode while its network trains."""

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)


class Twice(nn.Module):
    """Uses one layer for two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(input=x) + self.norm(2 * x + 1)


def batches(sizes: tuple[int, ...] = (8, 8, 3), channels: int = 3) -> list[Batch]:
    torch.manual_seed(0)
    images = [2 + 3 * torch.rand(size, channels, 4, 4) for size in sizes]
    return [Batch(each, each, torch.zeros(len(each), dtype=torch.long)) for each in images]


def test_layers_without_statistics_of_training_are_left_alone() -> None:
    from timm.layers import BatchNormAct2d
    from torchvision.ops import FrozenBatchNorm2d

    network = nn.Sequential(
        nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=0.0), nn.BatchNorm2d(3, track_running_stats=False), Frozen(3),
        nn.InstanceNorm2d(3), FrozenBatchNorm2d(3), nn.GroupNorm(1, 3), BatchNormAct2d(3),
        nn.InstanceNorm2d(3, track_running_stats=True), nn.SyncBatchNorm(3), nn.BatchNorm1d(3),
    )  # fmt: skip
    network[0].eval()
    assert tracking_layers(network) == tuple(network[number] for number in (0, 7, 8, 9, 10))
    assert not network[0].training
    assert network[1].training


@pytest.mark.parametrize(
    ("momentum", "updates", "settled"),
    [(0.1, 100, False), (0.1, 200, True), (0.01, 1150, False), (0.01, 2000, True), (0.001, 5000, False),
     (0.5, 40, True), (None, 10**6, False)],
)  # fmt: skip
def test_settled_is_a_matter_of_momentum_and_steps(momentum: float | None, updates: int, settled: bool) -> None:
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum), nn.BatchNorm2d(3, momentum=1.0))
    assert unsettled_layers(network, updates) == (() if settled else (network[0],))


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=None), nn.SyncBatchNorm(3)])
def test_the_mean_over_all_samples_is_measured(layer: nn.BatchNorm2d) -> None:
    """Batches of different sizes count by their samples; what the layer held before, NaN included, is gone."""
    momentum = layer.momentum
    layer.running_mean.fill_(float("nan"))
    network = nn.Sequential(layer)
    assert measure_statistics(network, [layer], batches(), device=CPU) == 19
    images = torch.cat([batch.student_input for batch in batches()])
    torch.testing.assert_close(layer.running_mean, images.mean(dim=(0, 2, 3)))
    variances = [batch.student_input.var(dim=(0, 2, 3)) * len(batch) / 19 for batch in batches()]
    torch.testing.assert_close(layer.running_var, torch.stack(variances).sum(0))
    assert layer.momentum == momentum
    assert int(layer.num_batches_tracked) == 0
    assert network.training
    assert not layer._forward_pre_hooks


def test_instance_normalization_is_measured_too() -> None:
    layer = nn.InstanceNorm2d(3, track_running_stats=True)
    measure_statistics(nn.Sequential(layer), [layer], batches(), device=CPU)
    images = torch.cat([batch.student_input for batch in batches()])
    torch.testing.assert_close(layer.running_mean, images.mean(dim=(0, 2, 3)))


def test_a_layer_that_is_used_twice_gets_the_mean_of_both() -> None:
    network = Twice()
    measure_statistics(network, [network.norm], batches(), device=CPU)
    mean = torch.cat([batch.student_input for batch in batches()]).mean(dim=(0, 2, 3))
    torch.testing.assert_close(network.norm.running_mean, (mean + 2 * mean + 1) / 2)


def test_the_rest_of_the_network_is_used_as_it_is() -> None:
    """Dropout is off, other layers keep their statistics, and what no batch reaches keeps its own."""
    reached, other, aside = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    aside.running_mean.fill_(7.0)
    network = nn.Sequential(nn.Dropout(0.9), other, reached)
    network.aside = nn.Identity()
    before = other.running_mean.clone()
    measure_statistics(network, [reached, aside], batches((40,)), device=CPU)
    images = batches((40,))[0].student_input
    torch.testing.assert_close(reached.running_mean, (images / (1 + 1e-5) ** 0.5).mean(dim=(0, 2, 3)))
    assert torch.equal(other.running_mean, before)
    assert aside.running_mean.tolist() == [7.0] * 3


def test_no_random_state_changes() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x)

    layer, given = nn.BatchNorm2d(3), batches()
    before = torch.get_rng_state()
    measure_statistics(nn.Sequential(Noisy(), layer), [layer], given, device=CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bounded_number_of_samples_is_read() -> None:
    layer = nn.BatchNorm2d(1)
    image = torch.rand(512, 1, 1, 1)
    endless = (Batch(image, image, torch.zeros(512, dtype=torch.long)) for _ in iter(int, 1))
    assert measure_statistics(nn.Sequential(layer), [layer], endless, device=CPU) == SAMPLES


def test_statistics_come_back() -> None:
    layer = nn.BatchNorm2d(3)
    with statistics_restored([layer]):
        measure_statistics(nn.Sequential(layer), [layer], batches(), device=CPU)
        assert float(layer.running_mean.sum()) > 1
    assert float(layer.running_mean.abs().sum()) == 0
    assert layer.running_var.tolist() == [1.0] * 3
