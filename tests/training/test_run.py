"""Run folders: never overwritten unasked, logs that survive a cut line, rewinding."""

from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.training.run import METRICS, RunFolder


def test_a_new_folder_holds_its_configuration(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b", 'model = "x"\n')
    assert (run.path / "config.toml").read_text() == 'model = "x"\n'


def test_an_existing_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "a = 1\n")
    run.log({"epoch": 1})
    with pytest.raises(UsageError, match=r"exists: name another folder, give --overwrite, or go on with --resume"):
        RunFolder.create(tmp_path / "run", "a = 2\n")
    assert run.metrics() == [{"epoch": 1}]
    assert RunFolder.create(tmp_path / "run", "a = 2\n", overwrite=True).metrics() == []


def test_other_folders_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds other things than a run"):
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


def test_a_line_cut_short_is_left_out_and_rewinding_forgets(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "")
    for epoch in range(3):
        run.log({"epoch": epoch})
    with (run.path / METRICS).open("a") as file:
        file.write('{"epoch": 3, "lo')
    assert [entry["epoch"] for entry in run.metrics()] == [0, 1, 2]
    run.rewind(2)
    run.log({"epoch": 9})
    assert [entry["epoch"] for entry in run.metrics()] == [0, 1, 9]
