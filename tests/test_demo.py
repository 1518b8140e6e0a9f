"""The demo runs from nothing to its page, and keeps its hands off other folders."""

from pathlib import Path

import pytest

from wcord import demo
from wcord.checks import UsageError


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


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    with pytest.raises(UsageError, match="holds other things than a demo"):
        demo.run_demo(tmp_path, seed=0, say=print)
    assert (tmp_path / "precious.txt").exists()
