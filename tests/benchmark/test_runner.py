"""A worker goes through its rows; the runs themselves are made up, but for one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wcord.benchmark import runner
from wcord.benchmark.rows import Place, Row, TeacherRun, choose
from wcord.benchmark.runner import Clock, Ending, work
from wcord.benchmark.state import note_failure, note_not_applicable, read_state
from wcord.benchmark.suite import Suite, read_suite
from wcord.benchmark.teachers import Teachers, find_teachers
from wcord.checks import UsageError
from wcord.claim import claim
from wcord.report.record import Record
from wcord.training.outcome import Outcome


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(out=tmp_path / "out", device="cpu")


class Pretended:
    """Stands in for Attempts: notes what would be run, and writes a record of nothing."""

    made: list[str]
    stop_at: str
    taken: tuple[str, ...]
    tried: list[str]

    def __init__(self, place: Place, clock: object, say: object) -> None:
        self.place = place
        self.stop: Outcome | None = None

    def run(self, row: Row | TeacherRun, config: Any, *, announce: Callable[[], None] = lambda: None) -> str:
        name = f"{row.name}/{row.seed}"
        Pretended.tried.append(name)
        if name in self.taken:
            return "taken"
        if name == self.stop_at:
            self.stop = Outcome("stopped", "received SIGINT", 2, 0.0)
            return "stopped"
        announce()
        self.made.append(name)
        config.out.mkdir(parents=True)
        (config.out / "record.json").write_text('{"epochs": [], "metrics": {"top1_last": 1.0}, "wall_seconds": 1.0}')
        return "settled"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the runs that are made, in order."""
    Pretended.made, Pretended.stop_at, Pretended.taken, Pretended.tried = [], "", (), []
    monkeypatch.setattr(runner, "Attempts", Pretended)
    return Pretended.made


def teachers(suite: Suite, place: Place) -> Teachers:
    return find_teachers(suite, [TeacherRun(suite, name) for name in suite.teachers], [], place.out)


def test_the_teacher_first_then_every_row_once(tiny: Suite, place: Place, made: list[str]) -> None:
    rows = choose(tiny)
    assert work(rows, teachers(tiny, place), place, say=lambda line: None) == Ending()
    assert made == [
        "tiny/teachers/resnet14/0",
        "tiny/resnet14-resnet8/ce/0",
        "tiny/resnet14-resnet8/kd/0",
        "tiny/resnet14-resnet8/ce/1",
        "tiny/resnet14-resnet8/kd/1",
    ]
    assert work(rows, teachers(tiny, place), place, say=lambda line: None) == Ending()
    assert len(made) == 5


def test_given_teachers_are_not_trained(tiny: Suite, place: Place, made: list[str], tmp_path: Path) -> None:
    (tmp_path / "resnet14.pth").touch()
    given = find_teachers(tiny, [TeacherRun(tiny, "resnet14")], [str(tmp_path)], place.out)
    work(choose(tiny, seeds=[0]), given, place, say=lambda line: None)
    assert made == ["tiny/resnet14-resnet8/ce/0", "tiny/resnet14-resnet8/kd/0"]


def test_taken_runs_are_left_to_the_process_that_has_them(tiny: Suite, place: Place, made: list[str]) -> None:
    Pretended.taken = ("tiny/resnet14-resnet8/ce/0",)
    said: list[str] = []
    assert work(choose(tiny), teachers(tiny, place), place, say=said.append) == Ending()
    assert "tiny/resnet14-resnet8/ce/0" not in made
    assert len(made) == 4
    assert len(said) == 3  # a summary for each row that is made


def test_a_teacher_in_training_is_waited_for(
    tiny: Suite, place: Place, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "POLL", 0.1)
    monkeypatch.setattr(runner, "LEAST", 0.0)
    Pretended.taken = ("tiny/teachers/resnet14/0",)
    said: list[str] = []
    started = time.monotonic()
    ending = work(choose(tiny), teachers(tiny, place), place, max_time=0.01, say=said.append)
    assert ending == Ending(True, "reached --max-time of 0.01 minutes")
    assert time.monotonic() - started < 2
    assert made == []
    # Told once, and tried once a round, not once a row.
    assert said == ["waiting for teacher resnet14, which another process trains"]
    assert 1 < len(Pretended.tried) < 8


def test_a_signal_ends_the_worker(tiny: Suite, place: Place, made: list[str]) -> None:
    Pretended.stop_at = "tiny/resnet14-resnet8/kd/0"
    ending = work(choose(tiny), teachers(tiny, place), place, say=lambda line: None)
    assert ending == Ending(True, "received SIGINT", 2)
    assert made[-1] == "tiny/resnet14-resnet8/ce/0"


def test_without_time_nothing_is_begun(tiny: Suite, place: Place, made: list[str]) -> None:
    started = time.monotonic()
    ending = work(choose(tiny), teachers(tiny, place), place, max_time=0.0, say=lambda line: None)
    assert ending == Ending(True, "reached --max-time of 0 minutes")
    assert time.monotonic() - started < 1
    assert made == []


def test_failures_stay_until_they_are_to_be_tried_again(tiny: Suite, place: Place, made: list[str]) -> None:
    rows = choose(tiny, seeds=[0])
    note_failure(rows[0].folder(place.out), "NaN")
    note_not_applicable(rows[1].folder(place.out), "no maps")
    assert work(rows, teachers(tiny, place), place, say=lambda line: None) == Ending()
    assert made == []
    with claim(rows[1].folder(place.out)):
        work(rows, teachers(tiny, place), place, retry=True, say=lambda line: None)
    assert made == ["tiny/teachers/resnet14/0", "tiny/resnet14-resnet8/ce/0"]
    assert read_state(rows[1].folder(place.out)).status == "not applicable"


def test_a_failed_teacher_keeps_its_rows_back_until_it_is_tried_again(
    tiny: Suite, place: Place, made: list[str]
) -> None:
    note_failure(TeacherRun(tiny, "resnet14").folder(place.out), "NaN")
    assert work(choose(tiny), teachers(tiny, place), place, say=lambda line: None) == Ending()
    assert made == []
    work(choose(tiny), teachers(tiny, place), place, retry=True, say=lambda line: None)
    assert len(made) == 5


def test_options_that_do_not_exist_are_refused_before_any_run(tiny_file: Path, place: Place, made: list[str]) -> None:
    tiny_file.write_text(tiny_file.read_text().replace("kd.temperature", "kd.temprature"))
    suite = read_suite(str(tiny_file))
    with pytest.raises(UsageError, match="unknown option of kd 'temprature': did you mean 'temperature'"):
        work(choose(suite, methods=["ce", "warm"]), teachers(suite, place), place)
    tiny_file.write_text(tiny_file.read_text().replace("kd.temprature", "crd.temperature"))
    suite = read_suite(str(tiny_file))
    with pytest.raises(UsageError, match="unknown term 'crd'"):
        work(choose(suite, methods=["warm"]), teachers(suite, place), place)
    assert made == []


@pytest.mark.parametrize("method", ["kd", "dkd+kd"])
def test_options_of_a_pair_are_checked_as_those_of_variants(
    method: str, tiny_file: Path, place: Place, made: list[str]
) -> None:
    options = '"resnet14:resnet8" = ["kd.temprature=6"]'
    tiny_file.write_text(f"{tiny_file.read_text()}\n[options]\n{options}\n")
    suite = read_suite(str(tiny_file))
    with pytest.raises(UsageError, match="unknown option of kd 'temprature'"):
        work(choose(suite, methods=["ce", method]), teachers(suite, place), place)
    assert made == []
    work(choose(suite, methods=["ce"]), teachers(suite, place), place, say=lambda line: None)


def test_settings_that_do_not_exist_are_refused_before_any_run(tiny_file: Path, place: Place, made: list[str]) -> None:
    tiny_file.write_text(tiny_file.read_text().replace("allow_weak_teacher", "allow_weak_techer"))
    suite = read_suite(str(tiny_file))
    with pytest.raises(UsageError, match="did you mean 'allow_weak_teacher'"):
        work(choose(suite), teachers(suite, place), place)
    assert made == []


def test_weights_are_options_too(tiny_file: Path, place: Place, made: list[str]) -> None:
    tiny_file.write_text(tiny_file.read_text().replace("kd.temperature=2", "kd.weight=2"))
    suite = read_suite(str(tiny_file))
    work(choose(suite, methods=["warm"], seeds=[0]), teachers(suite, place), place, say=lambda line: None)
    assert made[-1] == "tiny/resnet14-resnet8/warm/0"


def test_a_run_that_was_killed_before_its_page_gets_it(
    tiny: Suite, place: Place, made: list[str], made_up: Callable[..., Record]
) -> None:
    row, other = Row(tiny, tiny.pairs[0], "kd", 0), Row(tiny, tiny.pairs[0], "kd", 1)
    for one in (row, other):
        one.folder(place.out).mkdir(parents=True)
        made_up(one, 70.0).to_json(one.folder(place.out) / "record.json")
    (other.folder(place.out) / "record.json").write_text(
        '{"epochs": [], "metrics": {"top1_last": 1}, "wall_seconds": 1}'
    )
    said: list[str] = []
    with claim(row.folder(place.out)):
        assert work([row], teachers(tiny, place), place, say=said.append) == Ending()
        assert not (row.folder(place.out) / "report.html").exists()
    assert work([row, other], teachers(tiny, place), place, say=said.append) == Ending()
    assert (row.folder(place.out) / "report.html").stat().st_size > 1000
    assert [line for line in said if line.startswith(f"{other.name} gets no page: record")]
    assert "tiny/resnet14-resnet8/kd/0" not in made


def test_a_folder_of_other_things_is_refused_before_any_run(tiny: Suite, place: Place, made: list[str]) -> None:
    last = choose(tiny)[-1].folder(place.out)
    last.mkdir(parents=True)
    (last / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds things other than a run \(notes\.txt\)"):
        work(choose(tiny), teachers(tiny, place), place)
    assert not made
    assert [path.name for path in last.iterdir()] == ["notes.txt"]


def test_failed_runs_of_earlier_versions_are_tried_again_but_not_with_other_things(
    tiny: Suite, place: Place, made: list[str]
) -> None:
    row = choose(tiny)[0]
    folder = row.folder(place.out)
    folder.mkdir(parents=True)
    (folder / "failed.txt").write_text("step 3: kd became NaN")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        work([row], teachers(tiny, place), place, retry=True)
    (folder / "notes.txt").unlink()
    work([row], teachers(tiny, place), place, retry=True, say=lambda line: None)
    assert read_state(folder).status == "done"


def test_a_worker_in_earnest(tiny: Suite, place: Place) -> None:
    said: list[str] = []
    rows = choose(tiny, seeds=[0])
    assert work(rows, teachers(tiny, place), place, say=said.append) == Ending()
    assert [read_state(row.folder(place.out)).status for row in rows] == ["done", "done"]
    assert read_state(TeacherRun(tiny, "resnet14").folder(place.out)).epochs == 2
    assert [line for line in said if line.startswith("starting")] == [
        "starting tiny/teachers/resnet14, seed 0",
        "starting tiny/resnet14-resnet8/ce, seed 0",
        "starting tiny/resnet14-resnet8/kd, seed 0",
    ]
    assert any(line.startswith("0 done, 1 running, 1 left of 2; about ") for line in said)
    assert any(line.startswith("1 done, 1 running, 0 left of 2; about ") for line in said)


def test_without_a_limit_there_is_always_time() -> None:
    clock = Clock(None)
    assert clock.left is None
    assert not clock.over


@pytest.mark.parametrize(("minutes", "left"), [(10, 10 - 0.25), (1, 0.9)])
def test_a_part_is_held_back(minutes: float, left: float) -> None:
    assert Clock(minutes).left == pytest.approx(left, abs=0.01)


def test_nothing_is_left_of_nothing() -> None:
    clock = Clock(0.0)
    assert clock.over
    started = time.monotonic()
    clock.sleep(30)
    assert time.monotonic() - started < 1


def test_less_than_half_a_minute_is_too_little_to_begin_with() -> None:
    assert Clock(0.5).over
    assert not Clock(1.0).over
    assert Clock(0.5).reason == "reached --max-time of 0.5 minutes"
