"""`wcord predict` prints each record with its classes, or JSON."""

import json
from pathlib import Path

import pytest

from wcord.cli import main


def test_a_table_or_json(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.csv").write_text("petal width (cm),petal length (cm),who\n0.2,1.4,a\n2.1,5.9,b\n")
    command = ["predict", "--weights", str(weights), str(tmp_path / "new.csv"), "--device", "cpu", "--top", "2"]
    assert main(command) == 0
    assert "new.csv, row 2" in capsys.readouterr().out.replace("\n", "")
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["record"].rpartition(", ")[2] for row in rows] == ["row 1", "row 2"]
    for row in rows:
        first, second = row["classes"]
        assert first["probability"] >= second["probability"]
        assert {first["name"], second["name"]} < {"setosa", "versicolor", "virginica"}
