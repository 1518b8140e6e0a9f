"""A folder tells how far its run has come."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wcord.benchmark.rows import Row
from wcord.benchmark.state import FAILED, State, delete_run, note_failure, note_not_applicable, read_state
from wcord.benchmark.suite import Suite
from wcord.claim import claim
from wcord.report.record import Record


def test_from_left_to_done(tmp_path: Path, tiny: Suite, made_up: Callable[..., Record]) -> None:
    folder = tmp_path / "seed0"
    assert read_state(folder) == State("left")
    with claim(folder):
        assert read_state(folder) == State("running")
        folder.mkdir()
        (folder / "config.toml").write_text("[training]\nepochs = 4\n")
        assert read_state(folder) == State("running", "", 0, 4)
        entries = [{"stage": "preparation", "seconds": 5.0}, {"seconds": 10.0}, {"seconds": 20.0}]
        entries = [entry | {"epoch": epoch} for entry, epoch in zip(entries, (1, 1, 2), strict=True)]
        lines = [json.dumps(entry) for entry in entries]
        (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"epo']))
        # Four epochs of 15 seconds behind a preparation of 5.
        assert read_state(folder) == State("running", "", 2, 4, None, 65.0)
    assert read_state(folder) == State("stopped", "", 2, 4, None, 65.0)
    assert not read_state(folder).settled
    made_up(Row(tiny, tiny.pairs[0], "kd", 0), 70.0).to_json(folder / "record.json")
    assert read_state(folder) == State("done", "", 2, 2, 70.0, 90.0)
    assert read_state(folder).settled


def test_failures_keep_their_reason_in_one_line(tmp_path: Path) -> None:
    note_failure(tmp_path / "a", "step 3:\n kd became NaN", "Traceback …")
    note_not_applicable(tmp_path / "b", "fsp needs equal channels")
    assert read_state(tmp_path / "a") == State("failed", "step 3: kd became NaN")
    assert "Traceback" in (tmp_path / "a" / FAILED).read_text()
    assert read_state(tmp_path / "b") == State("not applicable", "fsp needs equal channels")
    assert read_state(tmp_path / "b").settled
    delete_run(tmp_path / "a")
    assert read_state(tmp_path / "a") == State("left")


def test_damage_in_one_folder_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"epochs": [')
    state = read_state(tmp_path)
    assert state.status == "failed"
    assert state.reason.startswith("record.json cannot be read: ")
    (tmp_path / "record.json").write_text('{"epochs": [], "metrics": {}}')
    assert read_state(tmp_path).status == "failed"
    (tmp_path / "record.json").unlink()
    for content in ("", "[training]\n", "[training"):
        (tmp_path / "config.toml").write_text(content)
        assert read_state(tmp_path).reason.startswith("config.toml cannot be read: ")


@pytest.mark.parametrize("status", ["running", "stopped", "left"])
def test_open_states_are_not_settled(status: str) -> None:
    assert not State(status).settled  # one of them


def test_a_run_that_another_worker_clears_meanwhile_is_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "record.json").write_text("{}")
    read = Path.read_text

    def gone(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "record.json":
            raise FileNotFoundError(path)
        return read(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", gone)
    assert read_state(tmp_path).status == "left"


@pytest.mark.parametrize(
    "damage", [b"\0\0\0\n", b'{"epoch": 2, "sec\n', b"\xff\xfe\n", b"[]\n", b'{"epoch": 2, "seconds": null}\n']
)
def test_a_damaged_log_is_no_failure_of_the_run(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "config.toml").write_text("[training]\nepochs = 4\n")
    (tmp_path / "metrics.jsonl").write_bytes(b'{"epoch": 1, "seconds": 3.0}\n' + damage)
    state = read_state(tmp_path)
    assert (state.status, state.total) == ("stopped", 4)
    assert state.epochs in (1, 2)


def test_notes_that_are_no_utf8_are_shown_as_they_can_be(tmp_path: Path) -> None:
    (tmp_path / FAILED).write_bytes(b"step 3: \xff\n")
    assert read_state(tmp_path) == State("failed", "step 3: \ufffd")
