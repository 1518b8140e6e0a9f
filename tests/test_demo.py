"""The demo runs from nothing to its page, and keeps its hands off other folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from wcord import demo
from wcord.checks import RunError, UsageError
from wcord.claim import claim
from wcord.overwriting import mark
from wcord.training.config import TrainConfig, configure, to_toml
from wcord.training.run import RunFolder


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo of a few epochs: what it reaches is not the matter here."""
    monkeypatch.setitem(demo.TEACHER_SETTINGS, "epochs", 3)
    monkeypatch.setitem(demo.STUDENT_SETTINGS, "epochs", 2)


@pytest.mark.slow
def test_the_demo_makes_its_runs_and_page_again_and_again(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        records, page = demo.run_demo(tmp_path / "demo", seed=1, say=said.append)
        assert [record.method for record in records] == list(demo.METHODS)
        assert all(record.seed == 1 and record.teacher_metrics for record in records)
        assert page.read_text().count("wcord+kd") > 1
    assert any(line.startswith("1. a teacher") for line in said)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def train_into(folder: Path) -> None:
    config = configure(TrainConfig, {"model": "resnet8", "out": folder})
    RunFolder.create(folder, to_toml(config)).log({"epoch": 1})


def a_file(out: Path) -> None:
    (out / "precious.txt").write_text("keep")


def a_folder_of_runs(out: Path) -> None:
    train_into(out / "r20")
    train_into(out / "my_week_of_training")


def runs_that_are_called_like_the_demos(out: Path) -> None:
    train_into(out / "teacher")
    train_into(out / "kd")


def a_demo_with_a_run_of_ones_own(out: Path) -> None:
    mark(out, demo.DEMO)
    train_into(out / "mine")


def a_demo_in_which_a_run_was_replaced(out: Path) -> None:
    mark(out, demo.DEMO)
    train_into(out / "kd")


def a_demo_with_a_note_in_a_run(out: Path) -> None:
    mark(out, demo.DEMO)
    config = configure(TrainConfig, {"model": demo.TEACHER, "out": out / "teacher"})
    RunFolder.create(out / "teacher", to_toml(config))
    (out / "teacher" / "notes.txt").write_text("what I saw")


def a_page_of_ones_own(out: Path) -> None:
    mark(out, demo.DEMO)
    (out / "report.html").write_text("<p>mine")


@pytest.mark.parametrize(
    "fill",
    [
        a_file,
        a_folder_of_runs,
        runs_that_are_called_like_the_demos,
        a_demo_with_a_run_of_ones_own,
        a_demo_in_which_a_run_was_replaced,
        a_demo_with_a_note_in_a_run,
        a_page_of_ones_own,
    ],
)
def test_other_folders_are_left_alone(tmp_path: Path, fill: Callable[[Path], None]) -> None:
    (tmp_path / "out").mkdir()
    fill(tmp_path / "out")
    before = snapshot(tmp_path / "out")
    with pytest.raises(UsageError, match="holds things other than a demo"):
        demo.run_demo(tmp_path / "out", seed=0, say=print)
    assert snapshot(tmp_path / "out") == before


def test_an_interrupted_demo_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark(tmp_path, demo.DEMO)
    config = configure(TrainConfig, {"model": demo.TEACHER, "out": tmp_path / "teacher"})
    RunFolder.create(tmp_path / "teacher", to_toml(config))
    mark(tmp_path / "ce", demo.RUN)  # killed before its configuration
    (tmp_path / ".teacher.lock").touch()
    (tmp_path / "kd").mkdir()

    def stopped(*_: object, **__: object) -> object:
        raise RunError("as far as this test goes")

    monkeypatch.setattr(demo, "start", stopped)
    with pytest.raises(RunError):
        demo.run_demo(tmp_path, seed=0, say=print)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".teacher.lock", ".wcord-demo"]


def test_a_demo_that_is_at_work_is_not_disturbed(tmp_path: Path) -> None:
    mark(tmp_path / "demo", demo.DEMO)
    for busy in (tmp_path / "demo", tmp_path / "demo" / "kd"):
        with claim(busy), pytest.raises(UsageError, match="is in use by process"):
            demo.run_demo(tmp_path / "demo", seed=0, say=print)
