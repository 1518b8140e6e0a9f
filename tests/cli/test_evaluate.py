"""`wcord evaluate` prints a table, or JSON with the numbers that the API gives."""

import json
from pathlib import Path

import pytest

import wcord
from wcord.cli import main


def test_a_table_or_json(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--weights", str(weights), "--data", "sklearn:iris", "--device", "cpu"]
    assert main(command) == 0
    assert "top1" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == wcord.evaluate(weights=weights, data="sklearn:iris", device="cpu")
