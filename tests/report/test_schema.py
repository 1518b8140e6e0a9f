"""Damaged records, analyses and settings are refused in one line that names the file, before anything is drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.test_html import make_run

from wcord.checks import UsageError
from wcord.cli import main
from wcord.report.analysis import Analysis
from wcord.report.html import load_run, write_report

FIELDS: list[tuple[str, Any]] = [
    ("classes", ["a", "b"]),
    ("classes", [1, 2, 3, 4]),
    ("classes", "abcd"),
    ("num_classes", 5),
    ("num_classes", 10**12),
    ("num_classes", True),
    ("epochs", ["one", "two"]),
    ("epochs", [{"epoch": "one"}]),
    ("epochs", [{"epoch": 1, "test_top1": "high"}]),
    ("epochs", [{"epoch": 1, "loss": 1e300}]),
    ("epochs", [{"epoch": 1, "parts": ["kd"]}]),
    ("epochs", [{"epoch": 1, "parts": {"kd": [1]}}]),
    ("metrics", {"top1_last": "high"}),
    ("metrics", {"top1_last": [1]}),
    ("metrics", {"norm_statistics": 3}),
    ("metrics", ["top1_last"]),
    ("teacher_metrics", {"top1": {}}),
    ("cost", {"student": "cheap"}),
    ("cost", {"student": {"parameters": "many"}}),
    ("cost", {"student": None, "teacher": [3]}),
    ("wall_seconds", "long"),
    ("wall_seconds", True),
    ("seed", 1.5),
    ("config", {"data": "digits"}),
    ("config", {"teacher_weights": [1]}),
    ("notes", [{}]),
    ("kind", "dance"),
]


def damaged(folder: Path, name: str, value: Any) -> Path:
    run = make_run(folder / "run", "kd")
    content = json.loads((run / "record.json").read_text())
    (run / "record.json").write_text(json.dumps(content | {name: value}))
    return run


@pytest.mark.parametrize(("name", "value"), FIELDS)
def test_a_damaged_record_is_named(tmp_path: Path, name: str, value: Any) -> None:
    run = damaged(tmp_path, name, value)
    with pytest.raises(UsageError, match=r"record '.*run/record.json'") as caught:
        write_report([run], tmp_path / "page.html")
    assert name.partition("_")[0] in str(caught.value) or "kind" in name
    assert len(str(caught.value)) < 500
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "NaN", '{"seed": 1', '{"a":' * 100_000, "\0", "9" * 5000])
def test_text_that_is_no_record(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path / "run", "kd")
    (run / "record.json").write_text(text)
    with pytest.raises(UsageError, match=r"record '.*run/record.json'"):
        load_run(run)


def arrays(run: Path) -> dict[str, Any]:
    return {name: value for name, value in vars(Analysis.load(run / "analysis.npz")).items() if value is not None}


ARRAYS: dict[str, Any] = {
    "targets shorter": lambda held: held | {"targets": held["targets"][:10]},
    "targets empty": lambda held: held | {"targets": held["targets"][:0]},
    "targets beyond": lambda held: held | {"targets": held["targets"] + 99},
    "targets below": lambda held: held | {"targets": held["targets"] - 1},
    "targets of text": lambda held: held | {"targets": np.array(["a"] * 240)},
    "targets of one number": lambda held: held | {"targets": np.array(3)},
    "targets of floats": lambda held: held | {"targets": held["targets"].astype(float)},
    "guesses longer": lambda held: held | {"student_top1": np.zeros(300, np.int32)},
    "guesses missing": lambda held: {name: value for name, value in held.items() if name != "student_top1"},
    "more arrays": lambda held: held | {"more": np.zeros(3)},
    "logits of one": lambda held: held | {"student_logits": held["student_logits"][:1]},
    "logits infinite": lambda held: held | {"student_logits": held["student_logits"] + np.float16(np.inf)},
    "the teacher's logits wider": lambda held: held | {"teacher_logits": np.zeros((240, 9), np.float16)},
    "rows beyond": lambda held: held | {"embedding_rows": held["embedding_rows"] + 999},
    "embeddings flat": lambda held: held | {"student_embeddings": held["student_embeddings"].ravel()},
    "plan not square": lambda held: held | {"plan": held["plan"][:, :3]},
    "plan empty": lambda held: held | {"plan": held["plan"] * 0},
    "plan without rows": lambda held: {name: value for name, value in held.items() if name != "plan_rows"},
    "gallery of floats": lambda held: held | {"gallery": held["gallery"] / 255},
    "gallery of two channels": lambda held: held | {"gallery": held["gallery"][..., :2]},
    "gallery without rows": lambda held: held | {"gallery_rows": held["gallery_rows"][:1]},
}


@pytest.mark.parametrize("change", ARRAYS)
def test_a_damaged_analysis_is_named(tmp_path: Path, change: str) -> None:
    run = make_run(tmp_path / "run", "kd")
    np.savez(run / "analysis.npz", **ARRAYS[change](arrays(run)))
    with pytest.raises(UsageError, match=r"analysis '.*run/analysis.npz'.* delete the file"):
        write_report([run], tmp_path / "page.html")


@pytest.mark.parametrize("content", [b"\xff\xfe\xe9", "é".encode("latin-1")])
def test_settings_of_another_encoding(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", "kd")
    (run / "config.toml").write_bytes(content)
    assert main(["report", str(run), "--out", str(tmp_path / "page.html")]) == 2
    assert "run/config.toml' are not UTF-8" in capsys.readouterr().err
    for command in (["distill", "--resume", str(run)], ["export", str(run)]):
        assert main(command) == 2
        assert "run/config.toml' is not text in UTF-8, from byte" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "a = [" * 5000, "epochs = 3", "student = 3", "model = 1\nteacher = 2", "[data]\ndata = 3"]
)
def test_settings_that_are_no_run(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", "kd")
    (run / "config.toml").write_text(text)
    assert main(["distill", "--resume", str(run)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "config.toml" in told
