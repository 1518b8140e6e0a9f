"""What is done, running and left, and for how long."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from wcord.benchmark.rows import Row, TeacherRun, choose
from wcord.benchmark.state import State
from wcord.benchmark.status import Overview, overview, status_table
from wcord.benchmark.suite import Pair, Suite
from wcord.benchmark.teachers import find_teachers

DONE = State("done", "", 4, 4, 70.25, 100.0)


def seen(
    *states: State,
    labels: tuple[str, ...] = ("kd", "crd"),
    pairs: tuple[str, ...] = ("a",),
    teachers: dict[str, State | None] | None = None,
) -> Overview:
    suite = Suite(
        name="s", title="", protocol="", pairs=tuple(Pair(p, "z") for p in pairs), methods=labels, seeds=(0, 1, 2)
    )
    rows = [Row(suite, pair, label, seed) for pair in suite.pairs for label in labels for seed in suite.seeds]
    return Overview(tuple(zip(rows, states, strict=False)), {"a": None} if teachers is None else teachers)


def test_the_time_left_is_that_of_comparable_runs() -> None:
    quick = State("done", "", 4, 4, 70.0, 40.0)
    # kd takes 100 s; crd 40 s: one kd is left, one crd is half done.
    assert seen(DONE, DONE, State("left"), quick, State("running", "", 2, 4), quick).seconds_left == 100 + 20
    # No crd is done yet: as kd of the same pair.
    assert seen(DONE, DONE, DONE, State("left"), State("stopped", "", 1, 4), DONE).seconds_left == 100 + 75


def test_another_pair_helps_before_another_method() -> None:
    states = [DONE, State("left"), DONE, *[State("left")] * 9]
    found = seen(*states, pairs=("a", "b"))
    assert found.seconds_left == 100.0 * 10


def test_without_a_finished_run_nothing_is_promised() -> None:
    assert seen(State("left")).seconds_left is None
    assert seen(State("left")).summary == "0 done, 1 left of 1"
    assert seen(DONE, State("failed", "NaN")).summary == "1 done, 1 failed, 0 left of 2"
    assert (
        seen(DONE, State("left"), State("running")).summary
        == "1 done, 1 running, 1 left of 3; about 3 min 20 s of one process"
    )


def test_epochs_of_a_run_under_way_promise_its_end() -> None:
    running = State("running", "", 1, 4, None, 80.0)
    assert seen(running).seconds_left == 60.0
    # The runs that have not begun take as long as those that have.
    assert seen(running, State("left")).seconds_left == 60.0 + 80.0


def test_teachers_are_counted() -> None:
    teacher = State("running", "", 1, 2, None, 30.0)
    found = seen(State("left"), teachers={"a": teacher, "b": State("left")})
    assert found.seconds_left == 15.0 + 30.0 + 30.0
    assert found.summary.startswith("0 done, 1 left of 1, 2 teachers to train; about ")
    assert seen(DONE, teachers={"a": State("left")}).seconds_left == 100.0
    assert seen(State("left"), teachers={"a": State("left")}).seconds_left is None
    assert seen(State("left"), teachers={"a": State("done", "", 2, 2, 80.0, 30.0)}).seconds_left == 30.0


def test_the_table_has_a_line_for_each_row_and_a_column_for_each_seed() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    states = (DONE, State("running", "", 2, 4), State("left"), State("failed", "NaN"))
    console.print(status_table(seen(*states, teachers={"a": None})))
    console.print(status_table(seen(*states, teachers={"a": State("running", "", 1, 2)})))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["pair", "row", "seed", "0", "seed", "1", "seed", "2"] in lines
    assert ["a-z", "kd", "70.25", "%", "running", "2/4", "left"] in lines
    assert ["a-z", "crd", "failed", "–", "–"] in lines
    assert ["teachers", "a", "provided"] in lines
    assert ["teachers", "a", "running", "1/2"] in lines


def test_overview_looks_at_folders(tmp_path: Path, tiny: Suite) -> None:
    found = overview(choose(tiny), find_teachers(tiny, [TeacherRun(tiny, "resnet14")], [], tmp_path), tmp_path)
    assert found.count("left") == 4
    assert found.teachers == {"resnet14": State("left")}
    assert found.seconds_left is None


@pytest.mark.parametrize("status", ["failed", "not applicable", "done"])
def test_settled_rows_take_no_time(status: str) -> None:
    assert seen(State(status, seconds=5.0)).seconds_left == 0.0  # one of them
