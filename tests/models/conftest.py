"""The facts that every family of networks is held against, and the rule that makes a fingerprint."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wcord.features import capture, map_names
from wcord.models.create import create_model

DATA = Path(__file__).parent / "data"
FINGERPRINTS: dict[str, Any] = json.loads((DATA / "fingerprints.json").read_text())
STATE_DICTS: dict[str, Any] = json.loads((DATA / "state_dicts.json").read_text())


def wave(count: int, rate: float, phase: float = 0.0) -> Tensor:
    return torch.sin(rate * torch.arange(1, count + 1, dtype=torch.float64) + phase)


def fill(network: nn.Module) -> nn.Module:
    """Fill a network with the fingerprint rule's values, in float64 and eval mode."""
    network.double().eval()
    state = network.state_dict()
    keys = sorted(key for key in state if not key.endswith("num_batches_tracked"))
    for number, key in enumerate(keys):
        tensor = state[key]
        values = wave(tensor.numel(), 0.37, 0.11 * (number + 1)).reshape(tensor.shape)
        if tensor.dim() > 1:
            values = values * math.sqrt(2 / tensor[0].numel())
        elif key.endswith("running_var"):
            values = 1 + 0.2 * values
        elif key.endswith(("running_mean", ".bias")):
            values = 0.1 * values
        else:
            values = 1 + 0.1 * values
        tensor.copy_(values)
    return network


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-9)


@pytest.fixture
def check_facts() -> Callable[[str], None]:
    """Compare one network with the facts: state-dict keys and shapes in order, counts, and the input of its head."""

    def check(name: str) -> None:
        facts, network = STATE_DICTS[name], create_model(name)
        state = network.state_dict()
        lines = "\n".join(f"{key} {'x'.join(map(str, value.shape))}" for key, value in state.items())
        assert len(state) == facts["keys"]
        assert hashlib.sha256(lines.encode()).hexdigest() == facts["sha256"]
        assert sum(parameter.numel() for parameter in network.parameters()) == facts["parameters"]
        with capture(network.eval(), maps=map_names(network)) as tap, torch.no_grad():
            for size, channels in ((16, 3), (8, 3)):
                features = tap(torch.rand(2, channels, size, size))
                assert features.embedding.shape == (2, facts["embedding"])
                assert all(tensor.shape[0] == 2 and tensor.dim() == 4 for tensor in features.maps.values())

    return check


@pytest.fixture
def check_fingerprint() -> Callable[[str], None]:
    """Compare one network's logits and every feature with the stored fingerprint, in float64."""

    def check(name: str) -> None:
        facts, network = FINGERPRINTS[name], fill(create_model(name))
        images = wave(2 * 3 * 32 * 32, 0.013).reshape(2, 3, 32, 32)
        with capture(network, maps=map_names(network)) as tap, torch.no_grad():
            features = tap(images)
        assert features.logits[0, :4].tolist() == close(facts["logits0_first4"])
        assert features.logits.sum().item() == close(facts["logits_sum"])
        assert features.logits.norm().item() == close(facts["logits_l2"])
        tensors = [*features.maps.values(), features.embedding]
        assert len(tensors) == len(facts["feats"])
        for tensor, fact in zip(tensors, facts["feats"], strict=True):
            assert list(tensor.shape) == fact["shape"]
            assert tensor.mean().item() == close(fact["mean"])
            assert tensor.norm().item() == close(fact["l2"])

    return check


@pytest.fixture
def filled() -> Callable[[str], tuple[nn.Module, Tensor]]:
    """Return a network filled by the rule, and the rule's images."""

    def build(name: str) -> tuple[nn.Module, Tensor]:
        return fill(create_model(name)), wave(2 * 3 * 32 * 32, 0.013).reshape(2, 3, 32, 32)

    return build
