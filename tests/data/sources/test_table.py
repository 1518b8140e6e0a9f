"""Tables: columns become channels, gaps stay gaps, visits of a subject become one sample, groups are not torn apart."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wcord.checks import UsageError
from wcord.data.choice import held_out, require_apart
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.opening import open_data
from wcord.data.sources.table import names_in, stack_visits, visits_of
from wcord.data.split import MemorySplit, channel_statistics
from wcord.models.preprocess import Preprocess


def visits() -> pd.DataFrame:
    """Return 40 subjects with one to three visits, shuffled; a subject's number is in every value."""
    rows = [
        {"who": f"S{s:02d}", "visit": v, "age": 100 * s + v, "sex": "MF"[s % 2], "kind": ["well", "mild", "ill"][s % 3]}
        for s in range(40)
        for v in range(1, 2 + s % 3)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def written(frame: pd.DataFrame, path: Path) -> str:
    frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return f"table:{path}"


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_columns_become_channels(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"a": [1.5, np.nan, 3, 4], "label": ["x", "y"] * 2, "b": [True, False] * 2, "c": list("pqrp")})
    path = tmp_path / f"t.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else written(frame, path)
    data = open_data(DataConfig(data=f"table:{path}", holdout=0.5))
    assert data.train.shape == (4, 1, 1)  # a, b, and two columns for the three texts of c
    assert data.classes == ("x", "y")
    assert data.augment == "none"
    values = torch.cat([split.read(torch.arange(len(split))) for split in (data.train, data.test)])[:, :, 0, 0]
    assert int(values[:, 0].isnan().sum()) == 1
    assert sorted(values[:, 0].nan_to_num(-1).tolist()) == [-1, 1.5, 3, 4]
    assert sorted(map(tuple, values[:, 2:].tolist())) == [(0, 0), (0, 0), (0, 1), (1, 0)]


def test_chosen_columns_only_and_folders_with_a_test_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(8), "b": range(8), "label": [0, 1] * 4})
    written(frame, tmp_path / "train.csv")
    written(frame.head(2), tmp_path / "test.csv")
    data = open_data(DataConfig(data=f"table:{tmp_path}", input=("b",)))
    assert (len(data.train), len(data.test), data.train.shape) == (8, 2, (1, 1, 1))


def test_statistics_leave_gaps_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0, np.nan] * 5, "b": [np.nan] * 20, "label": [0, 1] * 10})
    data = open_data(DataConfig(data=written(frame, tmp_path / "t.csv")))
    mean, std = channel_statistics(data.train)
    assert mean == pytest.approx((2.0, 0.0), abs=0.2)
    assert std == pytest.approx((1.0, 1.0), abs=0.1)


def test_embedded_tables() -> None:
    data = open_data(DataConfig(data="sklearn:breast_cancer"), {"input": ("mean radius",)})
    assert data.classes == ("benign", "malignant")
    assert data.train.shape == (30, 1, 1)
    assert data.of_teacher.train.shape == (1, 1, 1)
    rows = torch.arange(9)
    assert torch.equal(data.train.read(rows)[:, :1], data.of_teacher.train.read(rows))


def test_visits_of_a_subject_are_one_sample(tmp_path: Path) -> None:
    source = written(visits(), tmp_path / "t.csv")
    config = DataConfig(data=source, label="kind", visits_of="who", order_by="visit", view="visits=1")
    data = open_data(config, {"view": "visits=3"})
    assert len(data.train) + len(data.test) == 40
    assert (data.train.shape, data.of_teacher.train.shape) == ((2, 1, 1), (2, 3, 1))
    taught = data.of_teacher.train.read(torch.arange(len(data.train)))
    ages = taught[:, 0, :, 0]
    assert torch.equal(data.train.read(torch.arange(len(data.train)))[:, 0, 0, 0], ages[:, 0])
    for age in ages:
        subject, first = divmod(int(age[0]), 100)
        assert first == 1
        count = 1 + subject % 3
        assert age[:count].tolist() == [100 * subject + visit for visit in range(1, count + 1)]
        assert age[count:].isnan().all()


def test_classes_are_taken_together(tmp_path: Path) -> None:
    source = written(visits(), tmp_path / "t.csv")
    config = DataConfig(data=source, label="kind", visits_of="who", order_by="visit", merge=("sick=mild+ill",))
    data = open_data(config)
    assert data.classes == ("sick", "well")
    whole = torch.cat([data.train.targets, data.test.targets])
    assert int((whole == 1).sum()) == 14
    with pytest.raises(UsageError, match="at least 2 classes, merge leaves one: all=well"):
        open_data(DataConfig(data=source, label="kind", input=("age",), merge=("all=well+mild+ill",)))
    with pytest.raises(UsageError, match="unknown class 'il': did you mean 'ill'"):
        open_data(DataConfig(data=source, label="kind", input=("age",), merge=("sick=mild+il",)))


@settings(max_examples=50, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=8, max_size=60),
    fraction=st.floats(0.1, 0.6),
    seed=st.integers(0, 99),
)
def test_no_group_is_on_both_sides(groups: list[int], fraction: float, seed: int) -> None:
    names = np.array([f"S{group}" for group in groups])
    targets = torch.tensor(groups) % 2
    kept, held = held_out(targets, fraction, seed=seed, groups=names)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(groups)))
    assert not set(names[kept.numpy()]) & set(names[held.numpy()])
    require_apart(names[kept.numpy()], names[held.numpy()])


def test_rows_are_split_by_group(tmp_path: Path) -> None:
    source = written(visits(), tmp_path / "t.csv")
    data = open_data(DataConfig(data=source, label="kind", group_by="who", order_by=None, input=("age",)))
    subjects = [
        set((split.read(torch.arange(len(split))).flatten() // 100).tolist()) for split in (data.train, data.test)
    ]
    assert not subjects[0] & subjects[1]
    assert any("whole groups" in note for note in data.notes)


def test_names_may_have_gaps_of_any_kind_and_text_columns_no_equals_sign(tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": pd.array([1, None, 3, 4], dtype="Int64"), "x": range(4), "label": [0, 1] * 2})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="1 rows have no value in column 'who'"):
        open_data(DataConfig(data=f"table:{tmp_path / 't.parquet'}", group_by="who"))
    frame = pd.DataFrame({"dose=mg": list("abab"), "label": [0, 1] * 2})
    with pytest.raises(UsageError, match=r"column 'dose=mg' holds text and has = in its name.*rename it"):
        open_data(DataConfig(data=written(frame, tmp_path / "t.csv")))


def test_the_test_file_may_lack_what_the_teacher_sees_and_not_what_the_student_sees(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(8), "dear": range(8), "cheap": range(8), "label": [0, 1] * 4})
    written(frame, tmp_path / "train.csv")
    written(frame[["id", "cheap", "label"]].assign(id=range(8, 16)).head(6), tmp_path / "test.csv")
    place = f"table:{tmp_path}"
    config = DataConfig(data=place, input=("cheap",))
    for taught in (({"input": ("dear",)}, None), ({"data": place}, PairingConfig(join="id"))):
        data = open_data(config, *taught)
        assert data.of_teacher.columns == taught[0].get("input", ("dear", "cheap"))
        assert (len(data.train), len(data.test), len(data.of_teacher.train), len(data.of_teacher.test)) == (8, 6, 8, 0)
        assert any(note.startswith("the teacher sees none of the test samples") for note in data.notes)
        assert "teacher: the test file lacks column 'dear', and is skipped" in data.notes
    message = "the test file lacks column 'dear': add it, or hold out a part .* by --holdout 0.2"
    for seen in (("dear",), ()):
        with pytest.raises(UsageError, match=message):
            open_data(DataConfig(data=place, input=seen), {"input": ("cheap",)})
    with pytest.raises(UsageError, match=message):  # by label the teacher is measured on its own test samples
        open_data(config, {"data": place}, PairingConfig(pair_by="label"))
    # A teacher is trained on such a table by holding out a part of what is whole.
    held = open_data(DataConfig(data=place, input=("dear",), holdout=0.25))
    assert (len(held.train), len(held.test)) == (6, 2)


def test_later_visits_of_the_test_file_are_not_the_teachers_if_it_has_no_label_there(tmp_path: Path) -> None:
    """The teacher's own training passes over that file, so that it sees no more visits than are trained on."""
    for split, count in (("train", 3), ("test", 5)):
        rows = [{"who": f"{split}{i}", "when": v, "x": i + v, "label": i % 2} for i in range(8) for v in range(count)]
        frame = pd.DataFrame(rows)
        written(frame.assign(fine=frame["label"]) if split == "train" else frame, tmp_path / f"{split}.csv")
    visits = DataConfig(data=f"table:{tmp_path}", label="label", input=("x",), visits_of="who", order_by="when")
    alone = open_data(dataclasses.replace(visits, label="fine", holdout=0.25))
    for config in (visits, dataclasses.replace(visits, holdout=0.25)):
        data = open_data(config, {"label": "fine", "input": ("x",)})
        assert data.of_teacher.train.shape == alone.train.shape == (1, 3, 1)
        assert data.train.shape == (1, 5, 1)
        own, taught = (part.read(torch.arange(len(data.train))) for part in (data.train, data.of_teacher.train))
        assert torch.equal(own[:, :, :3], taught)


def test_a_test_file_is_the_teachers_unless_something_that_it_is_asked_for_is_missing(tmp_path: Path) -> None:
    rows = pd.DataFrame({"id": range(8), "x": range(8), "fine": list("abcd") * 2, "label": [0, 0, 1, 1] * 2})
    tests = rows.assign(id=range(8, 16))

    def seen(test: pd.DataFrame, **settings: object) -> int:
        for side in ("s", "t"):
            (tmp_path / side).mkdir(exist_ok=True)
            written(rows, tmp_path / side / "train.csv")
        written(tests, tmp_path / "s" / "test.csv")
        written(test, tmp_path / "t" / "test.csv")
        no_labels = {"no_labels": True} if settings.pop("no_labels", False) else {"label": "label"}
        config = DataConfig(data=f"table:{tmp_path / 's'}", input=("x",), **no_labels)
        teacher = {"data": f"table:{tmp_path / 't'}", "input": ("x",), **settings}
        return len(open_data(config, teacher, PairingConfig(join="id")).of_teacher.test)

    assert seen(tests) == 8
    assert seen(tests.drop(columns="label"), no_labels=True) == 8
    assert seen(tests.drop(columns="label"), label="fine") == 8
    assert seen(tests.drop(columns="fine"), label="fine") == 0
    assert seen(tests.assign(fine=np.nan), label="fine") == 0


def test_a_group_on_both_sides_of_a_given_split_is_refused(tmp_path: Path) -> None:
    frame = visits()
    written(frame, tmp_path / "train.csv")
    written(frame.tail(3), tmp_path / "test.csv")
    with pytest.raises(UsageError, match=r"3 groups have samples in both the train and the test split \('S.*leaks"):
        open_data(DataConfig(data=f"table:{tmp_path}", label="kind", group_by="who", input=("age",)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"which column is the label\? Choose one: --label who \| visit \| age \| sex \| kind"),
        ({"label": "kin"}, "unknown column 'kin': did you mean 'kind'"),
        ({"label": "kind"}, "column 'who' holds 40 different texts, such as 'S.*'.*choose the columns by --input"),
        ({"label": "kind", "input": ("kind", "age")}, "column 'kind' is a label and cannot be an input"),
        ({"label": "kind", "visits_of": "who"}, "visits_of and order_by go together"),
        (
            {"label": "sex", "visits_of": "kind", "order_by": "age", "input": ("age",)},
            "the visits of kind '.*' have different labels",
        ),
        (
            {"label": "kind", "visits_of": "sex", "order_by": "visit", "input": ("age",)},
            "sex '.' has two rows of one visit: which was first",
        ),
    ],
)
def test_mistakes_are_told(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_data(DataConfig(data=written(visits(), tmp_path / "t.csv"), **settings))


def test_bad_files_are_told(tmp_path: Path) -> None:
    for name, text, message in [
        ("none.csv", None, "table .* does not exist"),
        ("t.xls", "x", r"must be a .csv, .tsv, .parquet file"),
        ("t.parquet", "x", "cannot be read"),
        ("empty.csv", "", "cannot be read"),
        ("bare.csv", "a,label\n", "holds no rows"),
        ("gap.csv", "a,label\n1,x\n2,\n", "1 rows have no label in column 'label'"),
        ("inf.csv", "a,label\n1,x\ninf,y\n", "column 'a' holds infinity"),
        ("alone.csv", "label\nx\ny\n", "no input column besides the label"),
    ]:
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=message):
            open_data(DataConfig(data=f"table:{tmp_path / name}"))
    with pytest.raises(UsageError, match="unknown table of scikit-learn 'breast': did you mean 'breast_cancer'"):
        open_data(DataConfig(data="sklearn:breast"))


def test_labels_of_neither_network_are_seen(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(20), "fine": list("abcd") * 5, "coarse": list("uuvv") * 5})
    config = DataConfig(data=written(frame, tmp_path / "t.csv"), label="coarse")
    data = open_data(config, {"label": "fine"})
    assert data.columns == data.of_teacher.columns == ("x",)
    with pytest.raises(UsageError, match="column 'fine' is a label and cannot be an input"):
        open_data(dataclasses.replace(config, input=("x", "fine")), {"label": "fine"})
    bare = frame.rename(columns={"coarse": "label"}).drop(columns="fine")
    assert open_data(DataConfig(data=written(bare, tmp_path / "b.csv"), no_labels=True)).columns == ("x",)


def test_whose_a_row_is_must_be_said_and_is_kept_whole(tmp_path: Path) -> None:
    frame = visits()
    frame["who"] = frame["who"].str[1:].astype(int)
    whole = open_data(
        DataConfig(data=written(frame, tmp_path / "t.csv"), label="kind", visits_of="who", order_by="visit")
    )
    assert len(whole.train) + len(whole.test) == 40
    frame["who"] = frame["who"].astype(float)
    floats = open_data(
        DataConfig(data=written(frame, tmp_path / "f.csv"), label="kind", visits_of="who", order_by="visit")
    )
    assert torch.equal(whole.test.targets, floats.test.targets)
    frame.loc[frame.index[3], "who"] = np.nan
    for asked in ({"visits_of": "who", "order_by": "visit"}, {"group_by": "who", "input": ("age",)}):
        with pytest.raises(UsageError, match="1 rows have no value in column 'who', which identifies the subject"):
            open_data(DataConfig(data=written(frame, tmp_path / "g.csv"), label="kind", **asked))


def test_categories_are_columns_by_name_and_their_gaps_stay(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sex": ["M", "F", None, "M"] * 3, "kind": list("ABC") * 4, "label": [0, 1] * 6})
    data = open_data(DataConfig(data=written(frame, tmp_path / "t.csv")))
    assert data.columns == ("sex=M", "kind=B", "kind=C")
    values = data.train.read(torch.arange(len(data.train)))[:, 0, 0, 0]
    assert set(values.nan_to_num(-1).tolist()) == {0.0, 1.0, -1.0}
    other = frame.assign(kind=list("ABD") * 4)
    again = open_data(DataConfig(data=written(other, tmp_path / "o.csv"), input=data.columns))
    assert again.train.shape == data.train.shape
    seen = again.train.read(torch.arange(len(again.train)))
    assert float(seen[:, 2].sum()) == 0  # no C here


def test_visits_without_labels(tmp_path: Path) -> None:
    source = written(visits(), tmp_path / "t.csv")
    data = open_data(DataConfig(data=source, no_labels=True, visits_of="who", order_by="visit", input=("age", "sex")))
    assert data.train.shape == (2, 3, 1)
    assert data.classes == ()


def test_a_network_of_many_visits_takes_fewer_and_more() -> None:
    preprocess = Preprocess((0.0,), (1.0,), size=(3, 1))
    few, many = torch.tensor([1.0, 2.0]).view(1, 1, 2, 1), torch.arange(5.0).view(1, 1, 5, 1)
    assert preprocess(few).flatten().tolist()[:2] == [1.0, 2.0]
    assert bool(preprocess(few)[0, 0, 2].isnan())
    assert preprocess(many).flatten().tolist() == [0.0, 1.0, 2.0]


def test_views_of_pictures_and_of_tables_are_told_apart() -> None:
    with pytest.raises(UsageError, match="view 'resize' needs pictures, received rows of a table"):
        open_data(DataConfig(data="sklearn:wine", view="resize=4"))
    with pytest.raises(UsageError, match="view 'visits=1' needs the visits of a table, received pictures"):
        open_data(DataConfig(view="visits=1"))


def test_small_columns_are_not_taken_for_constant_ones() -> None:
    tiny = torch.tensor([1e-8, 2e-8, 3e-8, 4e-8]).view(4, 1, 1, 1)
    same = torch.full((4, 1, 1, 1), 0.3)
    split = MemorySplit(torch.cat([tiny, same], dim=1), torch.zeros(4, dtype=torch.long))
    _, std = channel_statistics(split)
    assert std == pytest.approx((1.118e-8, 1.0), rel=1e-3)


def test_visits_are_put_in_the_order_of_their_dates(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for dates, wanted in ((("2019-10-01", "2019-09-01"), [2.0, 1.0]), ((10, 9), [2.0, 1.0])):
        frame = pd.DataFrame({"who": list("aabbccdd") * 3, "when": list(dates) * 12, "x": [1.0, 2.0] * 12})
        frame["who"] += [str(i // 8) for i in range(24)]
        frame["label"] = [i // 2 % 2 for i in range(24)]
        frame.to_csv(path, index=False)
        data = open_data(DataConfig(data=f"table:{path}", visits_of="who", order_by="when"))
        assert data.train.read(torch.tensor([0])).flatten().tolist() == wanted
    frame.assign(when=["10/1/2019", "9/1/2019"] * 12).to_csv(path, index=False)
    with pytest.raises(UsageError, match=r"column 'when' holds text, which says no order: .* dates as 2019-09-01"):
        open_data(DataConfig(data=f"table:{path}", visits_of="who", order_by="when"))


@pytest.mark.parametrize("settings", [{"augment": "shift"}, {"image_size": 8}])
def test_what_is_done_to_pictures_is_not_done_to_tables(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="are for pictures"):
        open_data(DataConfig(data="sklearn:iris", **settings))


BY = DataConfig(visits_of="who", order_by="when")


@pytest.mark.parametrize(
    "when", [["10", "9", "1"], [10.0, 9.0, 1.0], ["2019-10-01", "2019-09-01", "2018-01-01"], ["1e1", "9", "-1"]]
)
def test_visits_are_in_the_order_of_time(when: list[object]) -> None:
    frame = pd.DataFrame({"who": ["a", "a", "b"], "when": when})
    assert visits_of(frame, BY) == {"a": [1, 0], "b": [2]}


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (["1", "", "2"], "1 rows have no value in column 'when', the first in row 2"),
        (["1", "NA", "2"], "1 rows have no value in column 'when'"),
        (["1", "1", "2"], "who 'a' has two rows of one when"),
        (["first", "second", "1"], "holds text, which says no order"),
    ],
)
def test_visits_without_a_place_are_told(when: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        visits_of(pd.DataFrame({"who": ["a", "a", "b"], "when": when}), BY)


def test_names_and_labels_of_subjects() -> None:
    assert names_in(pd.DataFrame({"who": [7.0, 8.0]}), "who").tolist() == ["7", "8"]
    assert names_in(pd.DataFrame({"who": ["NA", "x"]}), "who").tolist() == ["NA", "x"]
    values, visits = np.arange(6.0).reshape(3, 2), {"a": [1, 0], "b": [2]}
    stacked = stack_visits(BY, visits, values, np.array(["x", "x", "y"], object))
    assert stacked[0].tolist() == [[2, 0], [3, 1]]
    assert np.isnan(stacked[1, :, 1]).all()
    with pytest.raises(UsageError, match=r"the visits of who 'a' have different labels \(x, z\)"):
        stack_visits(BY, visits, values, np.array(["x", "z", "y"], object))
