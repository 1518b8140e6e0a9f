import subprocess
import sys

import pytest

from wcord.models.catalogue import (
    CIFAR_MODELS,
    CIFAR_NETWORKS,
    PREFIXES,
    SMALL_TRANSFORMERS,
    TABLE_MODELS,
    network_spec,
)
from wcord.models.create import FAMILIES


def test_lists_the_benchmarks_networks_and_the_small_teacher():
    assert len(CIFAR_MODELS) == len(set(CIFAR_MODELS)) == 23
    assert {"resnet8x4", "ResNet50", "wrn_40_2", "vgg19", "MobileNetV2", "ShuffleV1", "resnet14x2"} <= set(CIFAR_MODELS)


def test_every_network_is_of_a_known_family_and_every_family_is_used():
    specs = [*CIFAR_NETWORKS.values(), *map(network_spec, (*SMALL_TRANSFORMERS, *TABLE_MODELS))]
    assert {spec.family for spec in specs if spec is not None} == set(FAMILIES)


@pytest.mark.parametrize("name", ["resnet20x2", "resnet32x4", "resnet56x2"])
def test_widened_resnets_follow_the_rule(name):
    spec = network_spec(name)
    depth, widening = (int(part) for part in name.removeprefix("resnet").split("x"))
    assert spec.arguments["depth"] == depth
    assert spec.arguments["widths"] == tuple(base * widening for base in (8, 16, 32, 64))


@pytest.mark.parametrize("name", ["resnet21x2", "resnet2x2", "resnet8x3", "resnet50", "Resnet20", "RESNET20", "", "x2"])
def test_other_names_are_unknown(name):
    assert network_spec(name) is None


def test_prefixes_are_explained():
    assert all(prefix.endswith(":") and help_line for prefix, help_line in PREFIXES.items())


def test_does_not_import_torch():
    program = "import sys, wcord.models.catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
