"""Run folders: never overwritten unasked, logs that survive a cut line, rewinding."""

from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.training.config import TrainConfig, configure, to_toml
from wcord.training.run import METRICS, RunFolder


def test_a_new_folder_holds_its_configuration(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b", 'model = "x"\n')
    assert (run.path / "config.toml").read_text() == 'model = "x"\n'


def test_an_existing_run_is_replaced_only_when_asked(tmp_path: Path) -> None:
    config = to_toml(configure(TrainConfig, {"model": "resnet8", "out": tmp_path / "run"}))
    run = RunFolder.create(tmp_path / "run", config)
    run.log({"epoch": 1})
    with pytest.raises(UsageError, match=r"exists: name another folder, give --overwrite, or go on with --resume"):
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
