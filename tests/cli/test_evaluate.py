"""`wcord evaluate` prints a table, or JSON with the numbers that the API gives."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import wcord
import wcord.data.opening
from wcord.cli import main
from wcord.models.weights import open_network, read_card, save_weights


def test_a_table_or_json(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--weights", str(weights), "--data", "sklearn:iris", "--device", "cpu"]
    assert main(command) == 0
    assert "top1" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == wcord.evaluate(weights=weights, data="sklearn:iris", device="cpu")


@pytest.fixture
def collapsed(weights: Path) -> Path:
    """The same network with weights of zero: it says the same of all samples."""
    network, card = open_network(weights), read_card(weights)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    save_weights(network.backbone, weights, card=card)
    return weights


def test_a_network_at_chance_is_told_beside_the_numbers(collapsed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON stays the numbers alone."""
    assert main(["evaluate", "--weights", str(collapsed), "--data", "sklearn:iris", "--device", "cpu", "--json"]) == 0
    told = capsys.readouterr()
    assert "note: the network is at chance: 33.33 % are right" in told.err
    assert "'setosa', is predicted for 100.00 %" in told.err
    values = json.loads(told.out)
    assert (values["balanced"], values["commonest"]) == (pytest.approx(100 / 3), pytest.approx(100 / 3))


def test_a_representation_that_tells_nothing_apart_is_told(collapsed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--weights", str(collapsed), "--data", "sklearn:iris", "--device", "cpu", "--json"]) == 0
    told = capsys.readouterr()
    assert "the embeddings of all samples are nearly the same" in told.err
    assert len(json.loads(told.out)[0]["doubts"]) == 1


def test_a_network_of_another_order_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Without names of its own, the classes of a network are those of the data by their number."""
    targets = np.arange(120) % 3
    images = np.zeros((120, 4, 4, 1), np.uint8)
    images[np.arange(120), targets, 0, 0] = 255
    data = wcord.data.opening.from_arrays(images, targets, images, targets)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False))
    with torch.no_grad():
        network[1].weight.zero_()
        for position, said in enumerate((1, 2, 0)):
            network[1].weight[said, 4 * position] = 1.0
    lines: list[str] = []
    assert wcord.evaluate(network, data=data, device="cpu", say=lines.append)["top1"] == 0
    assert "it reaches 100.00 %" in lines[0]
