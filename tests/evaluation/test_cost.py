import pytest
import torch
from torch import nn

from wcord.checks import UsageError
from wcord.evaluation.cost import measure_cost
from wcord.models.create import create_model


@pytest.mark.parametrize(
    ("name", "parameters", "mmacs"),
    [("resnet20", 278_324, 40.82), ("resnet8x4", 1_233_540, 177.07), ("MobileNetV2", 812_836, 6.52)],
)
def test_counts_are_the_published_ones(name, parameters, mmacs):
    cost = measure_cost(create_model(name, num_classes=100), (3, 32, 32))
    assert cost.parameters == parameters
    assert cost.macs / 1e6 == pytest.approx(mmacs, abs=0.006)
    assert cost.latency_ms > 0


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("scale", torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return self.second(self.first(x.flatten(1)))


def test_shared_parameters_count_once_but_compute_twice():
    cost = measure_cost(Tied(), (1, 2, 2))
    assert cost.parameters == 16
    assert cost.macs == 32


def test_size_is_that_of_float32_storage():
    assert measure_cost(Tied(), (1, 2, 2)).size_bytes == 16 * 4 + 8 + 3 * 4


def test_the_network_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    net[2].eval()
    mean = net[1].running_mean.clone()
    measure_cost(net, (3, 8, 8))
    assert [module.training for module in net] == [True, True, False]
    assert torch.equal(net[1].running_mean, mean)


def test_an_image_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="the network does not take an image of 1×8×8: "):
        measure_cost(nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 8, 8))
