"""Where files have names, names decide; rows are paired when asked for, and never against the names."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

from wcord.checks import UsageError
from wcord.data.config import DataConfig, PairingConfig
from wcord.data.dataset import DataSet
from wcord.data.names import NO_COMMON_NAMES
from wcord.data.opening import from_arrays, open_data


def folder(root: Path, names: list[str], *, offset: int = 0) -> str:
    """Write one-colored pictures, each of the value that its name ends in."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        number = int("".join(c for c in Path(name).stem if c.isdecimal()))
        Image.new("L", (4, 4), number + offset).save(path)
    return f"imagefolder:{root}"


def numbered(before: str = "", *, but: int | None = None, ending: str = "png", classes: str = "ab") -> list[str]:
    """Return paths of twelve pictures of two classes; two classes hold the same stems where `before` says so."""
    return [f"{classes[i % 2]}/{before}{i:02d}.{ending}" for i in range(12) if i != but]


def values(data: DataSet) -> tuple[list[int], list[int]]:
    """Return the value of each picture that student and teacher see, of both splits."""

    def of(seen: DataSet) -> list[int]:
        both = [split.read(torch.arange(len(split)))[:, 0, 0, 0] for split in (seen.train, seen.test)]
        return torch.cat(both).tolist()

    return of(data), of(data.of_teacher)


def opened(student: str, teacher: str, **settings: str) -> DataSet:
    return open_data(DataConfig(data=student), {"data": teacher}, PairingConfig(**settings))


def test_one_file_missing_on_each_side_is_told_and_left_out_on_request(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", numbered(but=3))
    teacher = folder(tmp_path / "t", numbered(but=5), offset=100)
    message = (
        r"1 train samples of the student's data have no partner: 'b/05'; 1 train samples of the teacher's data have no "
        r"partner: 'b/03'; add them, or leave them out by --unpaired drop"
    )
    with pytest.raises(UsageError, match=message):
        opened(student, teacher)
    seen, taught = values(opened(student, teacher, unpaired="drop"))
    assert taught == [value + 100 for value in seen]
    assert sorted(seen) == [i for i in range(12) if i not in (3, 5)]
    with pytest.raises(UsageError, match="pairing by row contradicts the names of the train files: row 7 is '05' for"):
        opened(student, teacher, pair_by="row")


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (numbered(), numbered(ending="jpg")),  # another format
        (numbered(), numbered(classes="yz")),  # other classes
        (numbered(), [f"{'xyz'[i % 3]}/{i:02d}.png" for i in range(12)]),  # another number of classes
        ([f"{c}/{i}.png" for c in "ab" for i in range(6)], [f"{c}/{i}.bmp" for c in "ab" for i in range(6)]),
        (numbered(), [f"train/{name}" for name in numbered()]),  # split otherwise
        ([f"{c}/p_{i}.v2.png" for c in "ab" for i in range(6)], [f"{c}/p_{i}.v2.tif" for c in "ab" for i in range(6)]),
    ],
)
def test_files_of_one_name_are_partners_by_default(own: list[str], theirs: list[str], tmp_path: Path) -> None:
    seen, taught = values(opened(folder(tmp_path / "s", own), folder(tmp_path / "t", theirs, offset=100)))
    assert len(seen) == 12
    if theirs[0].endswith("jpg"):
        assert all(abs(value - 100 - other) <= 2 for value, other in zip(taught, seen, strict=True))
    else:
        assert taught == [value + 100 for value in seen]


def test_files_that_were_moved_are_told_from_missing_ones(tmp_path: Path) -> None:
    moved = [name.replace("b/03", "a/03").replace("b/05", "a/05") for name in numbered()]
    student, teacher = folder(tmp_path / "s", numbered()), folder(tmp_path / "t", moved, offset=100)
    with pytest.raises(UsageError, match=r"'b/03', 'b/05'; .*; --pair-by stem finds partners in other folders, too"):
        opened(student, teacher)
    data = opened(student, teacher, pair_by="stem")
    assert any(note.endswith("pairs have different labels") for note in data.notes)
    seen, taught = values(data)
    assert taught == [value + 100 for value in seen]


def test_names_in_both_forms_of_unicode_are_one(tmp_path: Path) -> None:
    own, theirs = (
        [unicodedata.normalize(form, f"{'ab'[i % 2]}/säge é{i:02d}.png") for i in range(12)] for form in ("NFC", "NFD")
    )
    assert own != theirs
    student, teacher = folder(tmp_path / "s", own), folder(tmp_path / "t", theirs, offset=100)
    for way in ({}, {"pair_by": "stem"}, {"pair_by": "path"}, {"pair_by": "row"}):
        seen, taught = values(opened(student, teacher, **way))
        assert taught == [value + 100 for value in seen]


def test_names_that_have_nothing_in_common_are_paired_by_row_when_asked_for(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", numbered("depth_"))
    teacher = folder(tmp_path / "t", numbered("rgb_"), offset=100)
    with pytest.raises(UsageError, match=r"\('a/depth_00'.*\('a/rgb_00'.*--pair-by row .*--pair-by label"):
        opened(student, teacher)
    data = opened(student, teacher, pair_by="row")
    assert NO_COMMON_NAMES in data.notes
    seen, taught = values(data)
    assert taught == [value + 100 for value in seen]


@pytest.mark.parametrize(
    "theirs",
    [
        [f"{'ba'[i % 2]}/{i:02d}.png" for i in range(12)],  # classes exchanged: the order is another
        [f"{'ab'[i % 2]}/{i + 1:02d}.png" for i in range(12)],  # counted from one
        [f"{'ab'[i < 6]}/{i:02d}.png" for i in range(12)],
    ],
)
def test_rows_against_the_names_are_refused(theirs: list[str], tmp_path: Path) -> None:
    student, teacher = folder(tmp_path / "s", numbered()), folder(tmp_path / "t", theirs)
    with pytest.raises(UsageError, match=r"contradicts the names .* without --pair-by row files are paired by name"):
        opened(student, teacher, pair_by="row")


def test_where_one_side_has_no_names_rows_are_paired(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", [f"a/{i:02d}.png" for i in range(6)] + [f"b/{i:02d}.png" for i in range(6, 12)])
    images = np.arange(12, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    np.savez(tmp_path / "t.npz", x_train=images + 100, y_train=np.arange(12) // 6)
    data = opened(student, f"npz:{tmp_path / 't.npz'}")
    seen, taught = values(data)
    assert taught == [value + 100 for value in seen]
    assert any(note.startswith("paired by row, as one side has no names of files") for note in data.notes)
    arrays = opened(f"npz:{tmp_path / 't.npz'}", f"npz:{tmp_path / 't.npz'}")
    assert not any("paired by row" in note for note in arrays.notes)


def test_sounds_find_their_pictures_by_name(tmp_path: Path) -> None:
    student = folder(tmp_path / "s", numbered())
    for i in range(12):
        path = tmp_path / "t" / "ba"[i % 2] / f"{i:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, 8000, (3000 * np.sin(np.arange(800) * (i + 1) / 40)).astype(np.int16))
    data = opened(student, f"audiofolder:{tmp_path / 't'}")
    assert any("12 train pairs have different labels" in note for note in data.notes)
    (tmp_path / "t" / "b" / "00.wav").unlink()
    with pytest.raises(UsageError, match="1 train samples of the student's data have no partner: '00'"):
        opened(student, f"audiofolder:{tmp_path / 't'}")


def parquet(root: Path, names: list[str | None], first: int) -> str:
    root.mkdir()
    kinds = datasets.Features(image=datasets.Image(decode=False), label=datasets.Value("int64"))
    rows = []
    for i, name in enumerate(names):
        file = root.parent / "picture.png"
        number = int("".join(c for c in name if c.isdecimal())) if name else i
        Image.new("L", (4, 4), first + number).save(file)
        rows.append({"bytes": file.read_bytes(), "path": name})
    columns = {"image": rows, "label": [i % 2 for i in range(len(names))]}
    datasets.Dataset.from_dict(columns, features=kinds).to_parquet(root / "train.parquet")
    return f"parquet:{root}"


def test_files_in_tables_have_names_too(tmp_path: Path) -> None:
    names: list[str | None] = [f"{i:02d}.png" for i in range(12)]
    student = parquet(tmp_path / "s", names, 0)
    turned = [names[(i + 2) % 12] for i in range(12)]
    teacher = parquet(tmp_path / "t", turned, 100)
    seen, taught = values(opened(student, teacher))
    assert taught == [value + 100 for value in seen]
    with pytest.raises(UsageError, match="contradicts the names"):
        opened(student, teacher, pair_by="row")
    with pytest.raises(UsageError, match="1 train samples of the student's data have no partner: '11'"):
        opened(student, parquet(tmp_path / "few", names[:11], 100))
    for unnamed in ([None] * 12, ["image0.png"] * 12, [f"rgb{i}.png" for i in range(12)]):  # a table has an order
        place = parquet(tmp_path / f"t{len(list(tmp_path.iterdir()))}", unnamed, 100)
        assert len(opened(student, place).of_teacher.train) == len(opened(student, place).train)


def test_in_python_rows_against_the_names_are_refused(tmp_path: Path) -> None:
    def data(name: str, names: list[str]) -> DataSet:
        return open_data(DataConfig(data=folder(tmp_path / name, names)))

    student = data("s", numbered(but=3))
    assert student.beside(data("same", numbered(but=3, ending="bmp"))).teacher is not None
    with pytest.raises(UsageError, match=r"contradicts the names of the train files: .* pairs files by name"):
        student.beside(data("t", numbered(but=5)))
    assert NO_COMMON_NAMES in student.beside(data("other", numbered("x", but=3))).notes
    some = replace(student, train=open_data(DataConfig()).train)  # other samples than those that the names are of
    assert some.beside(replace(data("t2", numbered(but=5)), train=some.train)).teacher is not None


def test_what_is_passed_over_on_the_teachers_side_is_told(tmp_path: Path) -> None:
    student, teacher = folder(tmp_path / "s", numbered()), folder(tmp_path / "t", numbered())
    (tmp_path / "t" / "a" / "x.txt").write_text("words")
    assert "teacher: skipped: 1 file (.txt 1)" in opened(student, teacher).notes


def labeled(root: Path, classes: Sequence[str], each: int = 6, stem: str = "im") -> str:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for sample in range(each):
            Image.new("L", (4, 4), number).save(root / name / f"{stem}{sample}.png")
    return f"imagefolder:{root}"


def test_classes_of_other_names_that_pairs_join_are_told(tmp_path: Path) -> None:
    student = labeled(tmp_path / "s", ["cat", "dog"], 10)
    data = opened(student, labeled(tmp_path / "t", ["katze", "hund"], 10), pair_by="row")
    (told,) = [note for note in data.notes if "train pairs join" in note]
    assert "join 'cat' with 'hund', 'dog' with 'katze': where these are not the same things" in told
    fine = opened(student, labeled(tmp_path / "f", ["hund-1", "hund-2", "katze-1", "katze-2"], 5, "x"), pair_by="row")
    (told,) = [note for note in fine.notes if "train pairs join" in note]
    assert "'cat' with 'hund-1', 'dog' with 'katze-1'" in told


def test_labels_that_do_not_go_together_are_told_and_refused_where_nobody_said_row(tmp_path: Path) -> None:
    student = labeled(tmp_path / "s", ["cat", "dog"])
    images = np.zeros((12, 4, 4), np.uint8)
    for name, labels in (("sorted", [0] * 6 + [1] * 6), ("interleaved", [0, 1] * 6)):
        np.savez(tmp_path / f"{name}.npz", x_train=images, y_train=labels)
    notes = opened(student, f"npz:{tmp_path / 'sorted.npz'}").notes
    assert not any("pairs join" in note or "correspond" in note for note in notes)
    with pytest.raises(
        UsageError, match=r"at least 6 of 12 train pairs do not correspond: samples of 'cat' are paired"
    ):
        opened(student, f"npz:{tmp_path / 'interleaved.npz'}")
    data = opened(student, f"npz:{tmp_path / 'interleaved.npz'}", pair_by="row")
    assert any("at least 6 of 12 train pairs do not correspond" in note for note in data.notes)


def test_in_python_classes_of_other_names_that_pairs_join_are_told() -> None:
    images = np.zeros((20, 4, 4), np.uint8)
    own = from_arrays(images, ["cat", "dog"] * 10, images, ["cat", "dog"] * 10)
    other = from_arrays(images, ["katze", "hund"] * 10, images, ["hund", "katze"] * 10)
    notes = own.beside(other).notes
    assert "train pairs join 'cat' with 'katze'" in notes[0]
    assert "test pairs join 'cat' with 'hund'" in notes[1]
