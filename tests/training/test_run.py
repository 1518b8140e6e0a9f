"""Run folders: never overwritten unasked, logs that are restored, and brought back to a checkpoint."""

import json
from pathlib import Path
from typing import Any

import pytest

from wcord.checks import UsageError
from wcord.training.config import TrainConfig, configure, to_toml
from wcord.training.run import METRICS, STARTS, RunFolder


def test_a_new_folder_holds_its_configuration(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b", 'model = "x"\n')
    assert (run.path / "config.toml").read_text() == 'model = "x"\n'


def test_an_existing_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    config = to_toml(configure(TrainConfig, {"model": "resnet8", "out": tmp_path / "run"}))
    run = RunFolder.create(tmp_path / "run", config)
    run.log({"epoch": 1})
    with pytest.raises(UsageError, match=r"exists: name another folder, give --overwrite, or resume with --resume"):
        RunFolder.create(tmp_path / "run", config)
    assert run.metrics() == [{"epoch": 1}]
    assert RunFolder.create(tmp_path / "run", config, overwrite=True).metrics() == []


def test_the_run_of_an_earlier_version_is_known_by_its_settings(tmp_path: Path) -> None:
    config = to_toml(configure(TrainConfig, {"model": "resnet8", "out": tmp_path / "run"}))
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.toml").write_text(config)
    (tmp_path / "run" / "checkpoints" / "step-000000012.pt").write_text("state")
    RunFolder.create(tmp_path / "run", config, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".wcord-run", "config.toml"]


@pytest.mark.parametrize("text", ['baseURL = "https://example.org"\n', "[build]\njobs = 2\n", "[data]\n[training]\n"])
def test_settings_of_other_programs_are_never_removed(tmp_path: Path, text: str) -> None:
    run = RunFolder.create(tmp_path / "run", "")
    (run.path / "config.toml").write_text(text)
    with pytest.raises(UsageError, match=r"other things than a run \(config\.toml\)"):
        RunFolder.create(run.path, "", overwrite=True)
    assert (run.path / "config.toml").read_text() == text


def test_what_killed_writes_left_is_passed_over_and_cleaned(tmp_path: Path) -> None:
    parts = [".config.toml.77.part", "..wcord-run.0a1b.part", "checkpoints/.step-000000012.pt.9f.part"]
    (tmp_path / parts[0]).touch()
    run = RunFolder.create(tmp_path, "")
    run.checkpoints.mkdir()
    for name in [*parts, ".notes.txt.77.part"]:
        (tmp_path / name).touch()
    run.tidy()
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == [".notes.txt.77.part", ".wcord-run", "config.toml"]


def test_other_folders_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds things other than a run"):
        RunFolder.create(tmp_path / "thesis", "", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").exists()


def test_unwritable_places_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file: name a folder"):
        RunFolder.create(tmp_path / "file", "")
    with pytest.raises(UsageError, match="cannot be written: Not a directory"):
        RunFolder.create(tmp_path / "file" / "run", "")


def test_folders_that_are_no_runs_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        RunFolder(tmp_path / "none")
    with pytest.raises(UsageError, match=r"is not a run folder: it holds no config\.toml"):
        RunFolder(tmp_path)


def epochs(run: RunFolder) -> list[object]:
    return [entry["epoch"] for entry in run.metrics()]


def begun(path: Path, number: int = 3) -> RunFolder:
    """Return a run of some epochs that began, and went on once."""
    run = RunFolder.create(path, "")
    run.note_start("abc", {"device": "cpu"}, teacher="123", data={"classes": "x"})
    run.note_start("abd", {"device": "cuda"}, teacher="123", data={"classes": "x"})
    for epoch in range(1, number + 1):
        run.log({"epoch": epoch})
    return run


def test_a_line_cut_short_is_left_out_and_logs_go_back_to_a_checkpoint(tmp_path: Path) -> None:
    state = {"logs": begun(tmp_path / "run", 2).logs()}
    RunFolder(tmp_path / "run").log({"epoch": 3})
    with (tmp_path / "run" / METRICS).open("a") as file:
        file.write('{"epoch": 4, "lo')
    run = RunFolder(tmp_path / "run")
    assert epochs(run) == [1, 2, 3]
    assert run.restore(state) == []  # what comes after the checkpoint is forgotten, without a word
    assert epochs(RunFolder(tmp_path / "run")) == [1, 2]
    run.log({"epoch": 3})
    assert epochs(RunFolder(tmp_path / "run")) == [1, 2, 3]
    run.forget_epochs()
    assert epochs(RunFolder(tmp_path / "run")) == []


@pytest.mark.parametrize("name", [METRICS, STARTS])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: None,
        lambda content: b"",
        lambda content: b"\0\0\0\n" + content,
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) // 2] + b"\n",
        lambda content: content.replace(b'"', b"\xff", 1),
        lambda content: content[content.index(b"\n") + 1 :],
        lambda content: content.replace(b"1", b"5", 1),
    ],
    ids=["removed", "emptied", "nul", "cut", "half a line", "no utf-8", "first line lost", "another digit"],
)
def test_a_damaged_log_is_restored_from_the_checkpoint(name: str, damage: Any, tmp_path: Path) -> None:
    state = {"logs": begun(tmp_path / "run").logs()}
    path = tmp_path / "run" / name
    content = path.read_bytes()
    damaged = damage(content)
    if damaged is None:
        path.unlink()
    else:
        path.write_bytes(damaged)
    run = RunFolder(tmp_path / "run")
    (note,) = run.restore(state)
    assert note.startswith(f"{name} was damaged: ")
    assert path.read_bytes() == content
    assert run.teacher_digest == "123"
    assert RunFolder(tmp_path / "run").restore(state) == []


def test_that_a_sample_was_damaged_is_noted_after_the_checkpoint(tmp_path: Path) -> None:
    state = {"logs": begun(tmp_path / "run").logs()}
    RunFolder(tmp_path / "run").note_damage()
    run = RunFolder(tmp_path / "run")
    assert run.restore(state) == []
    assert run.starts()[-1]["damaged_data"]


def test_checkpoints_of_earlier_versions_know_the_number_of_epochs_alone(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert run.restore({"metrics_lines": 2}) == []
    assert epochs(run) == [1, 2]
    run = RunFolder(tmp_path / "run")
    assert run.restore({"metrics_lines": 3}) == [
        "metrics.jsonl is damaged: of 3 epochs it holds 2, and so will the record"
    ]
    (run.path / STARTS).unlink()
    (note,) = RunFolder(tmp_path / "run").restore({"metrics_lines": 2})
    assert note.startswith("starts.jsonl is lost: whether data and teacher are those")


def test_epochs_that_two_processes_wrote_do_not_count(tmp_path: Path) -> None:
    begun(tmp_path / "run", 0)
    (tmp_path / "run" / METRICS).write_text("".join(f'{{"epoch": {epoch}}}\n' for epoch in (1, 2, 2, 3, 3)))
    run = RunFolder(tmp_path / "run")
    run.restore({"metrics_lines": 5})
    assert epochs(run) == [1, 2]


@pytest.mark.parametrize("data", [{}, {"train": 3}, [1], "x", {"classes": "x", "train": {}}])
def test_digests_that_cannot_be_compared_are_told(data: Any, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "")
    (run.path / STARTS).write_text(json.dumps({"data": data}) + "\n")
    split = {"samples": 1, "names": "a", "labels": "b", "content": "c"}
    with pytest.raises(UsageError, match=r"starts.jsonl' is damaged, .* remove that file to resume without"):
        run.require_data({"classes": "x", "columns": "y", "train": split, "test": split})
    assert run.origin() == (None, {})
