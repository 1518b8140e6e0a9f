"""What the minutes of a GPU go to: the order is kept, nothing starts that cannot end, a teacher precedes its rows."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcord.benchmark.rows import Place
from wcord.benchmark.suite import read_suite

ITEMS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["teacher", "kd", "ce", "odd"]), st.integers(1, 10**6),
              st.floats(0, 1)),
    max_size=12,
)  # fmt: skip
SPEEDS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["teacher", "kd", "ce"])), st.floats(1e-5, 1.0)
)


@pytest.fixture(scope="module")
def planning(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("gpu_plan")


def made(planning: ModuleType, drawn: list[tuple[str, str, int, float]]) -> list[Any]:
    """Return items of two pairs; every row of a pair needs the pair's teacher."""
    items = {}
    for number, (pair, label, steps, left) in enumerate(drawn):
        teacher = label == planning.TEACHER
        key = f"{pair}/teacher" if teacher else f"{pair}/{label}/{number}"
        items[key] = planning.Item(key, pair, label, steps, 60, None if teacher else f"{pair}/teacher", left)
    return [*items.values()]


@given(drawn=ITEMS, runs=SPEEDS, seconds_left=st.floats(0, 10**5), ready=st.sets(st.sampled_from(["a", "b"])))
def test_what_is_started_can_end_and_has_its_teacher(
    planning: ModuleType, drawn: Any, runs: Any, seconds_left: float, ready: set[str]
) -> None:
    items, speeds = made(planning, drawn), planning.Speeds(runs)
    there = {f"{pair}/teacher" for pair in ready}
    planned = planning.plan(items, speeds, seconds_left, ready=there)
    assert [one.item for one in planned] == items
    used = 0.0
    for one in planned:
        assert one.seconds == planning.expected_seconds(one.item, speeds) > 0
        if one.starts:
            used += one.seconds
            assert one.item.teacher is None or one.item.teacher in there
            there.add(one.item.key)
        else:
            fits = one.seconds <= seconds_left - used
            assert not fits or one.item.teacher not in there
    assert used <= seconds_left * (1 + 1e-9)


@given(drawn=ITEMS, runs=SPEEDS)
def test_with_all_the_time_everything_with_a_teacher_is_started(planning: ModuleType, drawn: Any, runs: Any) -> None:
    items = made(planning, drawn)
    planned = planning.plan(items, planning.Speeds(runs), 1e12, ready=["a/teacher", "b/teacher"])
    assert all(one.starts for one in planned)
    assert not any(one.starts for one in planning.plan(items, planning.Speeds(runs), 0.0))


@given(seconds=st.floats(1e-4, 1.0), left=st.floats(0, 1), steps=st.integers(1, 10**6))
def test_a_run_that_was_begun_takes_its_rest(planning: ModuleType, seconds: float, left: float, steps: int) -> None:
    speeds = planning.Speeds({("p", "kd"): seconds}, overhead=5.0)
    whole, rest = (planning.Item("k", "p", "kd", steps, 60, None, part) for part in (1.0, left))
    expected = 5 + planning.MARGIN * left * steps * seconds
    assert planning.expected_seconds(rest, speeds) == pytest.approx(expected)
    assert planning.expected_seconds(rest, speeds) <= planning.expected_seconds(whole, speeds)


def test_an_unknown_step_is_that_of_kd_times_what_the_table_says(planning: ModuleType) -> None:
    def step(pair: str, label: str, **known: Any) -> float:
        return planning.step_seconds(planning.Item("k", pair, label, 1, 1), planning.Speeds(**known))

    table = {"kd": 0.002, "wcord": 0.0022, "nst": 0.01}
    here = planning.TABLE_PAIR
    assert step(here, "wcord", table=table) == pytest.approx(0.0022)
    assert step(here, "wcord", table=table, runs={(here, "wcord"): 0.003}) == 0.003
    assert step("other", "wcord", table=table, runs={("other", "kd"): 0.02}) == pytest.approx(0.022)
    assert step("other", "nst+kd", table=table, runs={("other", "wcord"): 0.022}) == pytest.approx(0.1)
    assert step("other", "kd", table=table) == pytest.approx(0.002 * planning.UNKNOWN_PAIR)
    assert step(here, "fitnet", table=table) == pytest.approx(0.002 * planning.UNKNOWN_METHOD)
    assert step("x", "fitnet", runs={("y", "kd"): 1.0, ("y", "fitnet"): 1.5, ("x", "kd"): 2.0}) == pytest.approx(3.0)


def test_what_this_machine_tells_comes_first(planning: ModuleType) -> None:
    """Its runs, its table, the committed runs, the committed table; evaluations count where a run did not tell."""
    here = planning.TABLE_PAIR
    item = planning.Item("k", here, "wcord", 100, 10)
    known: dict[str, Any] = {
        "runs": {(here, "wcord"): 0.001},
        "table": {"kd": 0.002, "wcord": 0.003},
        "recorded": {(here, "wcord"): 0.02},
        "recorded_table": {"kd": 0.0134, "wcord": 0.03},
    }
    for seconds, is_run in ((0.001, True), (0.003, False), (0.02, True), (0.03, False)):
        speeds = planning.Speeds(**known, overhead=0.0)
        assert planning.step_seconds(item, speeds) == pytest.approx(seconds)
        evaluated = 0.0 if is_run else 10 * planning.EVALUATION
        assert planning.expected_seconds(item, speeds) == pytest.approx(planning.MARGIN * (100 * seconds + evaluated))
        known.pop(next(iter(known)))


@given(recorded=SPEEDS, label=st.sampled_from(["kd", "ce", "odd"]))
def test_records_of_others_do_not_change_what_was_measured_here(
    planning: ModuleType, recorded: Any, label: str
) -> None:
    item, table = planning.Item("k", "a", label, 1, 1), {"kd": 0.002, "ce": 0.001, "odd": 0.01}
    alone, beside = (planning.step_seconds(item, planning.Speeds({}, table, others)) for others in ({}, recorded))
    assert alone == beside


def test_the_order_of_worth(planning: ModuleType) -> None:
    quick, full = read_suite(planning.QUICK), read_suite(planning.FULL)
    first = [planning.key_of(run) for run in planning.by_pair(quick)]
    headline = [f"{label}/seed{seed}" for seed in quick.seeds for label in planning.HEADLINE]
    assert first[: 2 + len(headline)] == [
        "cifar100_60/teachers/resnet56",
        *(f"cifar100_60/resnet56-resnet20/{name}" for name in headline),
        "cifar100_60/resnet56-resnet20/lskd/seed0",
    ]
    of_pair = 3 * len(quick.methods)
    assert len(first) == len(set(first)) == 2 + 3 * of_pair
    assert first[1 + of_pair] == "cifar100_60/teachers/resnet32x4"
    assert "seed2" in first[of_pair]
    second = [planning.key_of(run) for run in planning.full_size(full)]
    assert second[:3] == ["crd13/teachers/resnet56", "crd13/resnet56-resnet20/kd/seed0",
                          "crd13/resnet56-resnet20/crd/seed0"]  # fmt: skip
    assert len(second) == 1 + 3 * len(planning.FULL_ROWS)


def test_a_run_in_steps(planning: ModuleType) -> None:
    suite = read_suite(planning.QUICK)
    place = Place(out=Path("runs"), data="npz:none")
    items = {planning.key_of(run): planning.item_of(run, place, 50_000) for run in planning.by_pair(suite)}
    kd, ab = (items[f"cifar100_60/resnet56-resnet20/{label}/seed0"] for label in ("kd", "ab"))
    assert (kd.steps, kd.epochs, kd.teacher) == (782 * 60, 60, "cifar100_60/teachers/resnet56")
    assert ab.steps == 782 * 68
    assert items["cifar100_60/teachers/resnet32x4"].steps == 782 * 60
