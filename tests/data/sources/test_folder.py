"""Folders of class folders, and those that are none."""

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
from wcord.data.samples import ReadRequest
from wcord.data.sources.folder import folder_source


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)


def test_classes_are_numbered_by_name_and_hidden_files_left(tmp_path: Path) -> None:
    for name in ("train/b/1.png", "train/a/deep/2.png", "train/a/.hidden.png", "valid/a/3.png", "valid/b/4.png"):
        put(tmp_path / name)
    source = folder_source(str(tmp_path), ReadRequest())
    assert source.classes == ("a", "b")
    assert (source.train.targets.tolist(), len(source.train)) == ([0, 1], 2)
    assert source.test is not None
    assert source.test.targets.tolist() == [0, 1]


def test_folders_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        folder_source(str(tmp_path / "none"), ReadRequest())
    with pytest.raises(UsageError, match="has no class folders"):
        folder_source(str(tmp_path), ReadRequest())
    put(tmp_path / "test" / "a" / "1.png")
    with pytest.raises(UsageError, match="but no 'train' folder"):
        folder_source(str(tmp_path), ReadRequest())
    put(tmp_path / "train" / "a" / "1.png")
    (tmp_path / "train" / "b").mkdir()
    with pytest.raises(UsageError, match=r"b' holds no images: put some in it"):
        folder_source(str(tmp_path), ReadRequest())
    put(tmp_path / "train" / "b" / ".hidden" / "1.png")
    with pytest.raises(UsageError, match=r"b' holds no images: put some in it"):
        folder_source(str(tmp_path), ReadRequest())
    (tmp_path / "train" / "b" / "1.heic").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"b' holds no images but other files \(\.heic 1\): put some in it"):
        folder_source(str(tmp_path), ReadRequest())


def test_classes_that_are_whole_numbers_are_numbered_as_numbers(tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path / "train" / str(number) / "1.png")
        put(tmp_path / "test" / str(number) / "1.png")
    source = folder_source(str(tmp_path), ReadRequest())
    assert source.classes == tuple(map(str, range(12)))
    assert source.test is not None
    for samples in (source.train, source.test):
        assert [source.classes[number] for number in samples.targets] == [key.split("/")[0] for key in samples.files]
    assert "--class-order name" in source.notes[0]
    as_text = folder_source(str(tmp_path), ReadRequest(DataConfig(class_order="name")))
    assert as_text.classes[:4] == ("0", "1", "10", "11")
    assert as_text.notes == ()


def test_an_order_of_classes_is_for_class_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--class-order goes with audiofolder:, imagefolder:"):
        open_data(DataConfig(data="digits", class_order="name"))
    for number in ("9", "10"):
        for i in range(5):
            put(tmp_path / number / f"{i}.png")
    data = DataConfig(data=f"imagefolder:{tmp_path}", class_order="name")
    assert open_data(data).classes == ("10", "9")
    assert open_data(data, {"view": "gray"}).of_teacher.classes == ("10", "9")


@pytest.mark.parametrize("name", ["café", "Ångström", "プードル"])
def test_a_class_is_one_in_both_forms_of_unicode(name: str, tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    for split, form in (("train", composed), ("test", apart)):
        put(tmp_path / split / form / "1.png")
        put(tmp_path / split / "other" / "1.png")
    source = folder_source(str(tmp_path), ReadRequest())
    assert set(source.classes) == {composed, "other"}
    put(tmp_path / "train" / apart / "2.png")
    source = folder_source(str(tmp_path), ReadRequest())
    assert len(source.train) == 3
    assert source.notes == (f"folders whose names are one and the same text in Unicode are one class: {composed!r}",)


def test_what_is_passed_over_is_told(tmp_path: Path) -> None:
    for name in ("cat/1.png", "Cat/1.png", "dog/1.jfif.png", "loose.png"):
        put(tmp_path / name)
    (tmp_path / "labels.csv").write_text("a,b\n")
    (tmp_path / "dog" / "notes.txt").write_text("words")
    assert folder_source(str(tmp_path), ReadRequest()).notes == (
        "skipped: 2 files (.csv 1, .txt 1), 1 image beside the class folders, not in one",
    )
    source = folder_source(str(tmp_path), ReadRequest(DataConfig(no_labels=True)))
    assert len(source.train) == 4
    assert source.notes == ("skipped: 2 files (.csv 1, .txt 1)",)


def folders(root: Path, *names: str) -> Path:
    for name in names:
        for number in range(3):
            put(root / name / f"{number}.png")
    return root


def test_a_linked_class_that_leads_back_leaves_the_other_classes_alone(tmp_path: Path) -> None:
    root = folders(tmp_path, "set/cat", "set/dog", "else/fox")
    (root / "set" / "fox").symlink_to(root / "else" / "fox")
    (root / "else" / "fox" / "back").symlink_to(root / "set")
    source = folder_source(str(root / "set"), ReadRequest())
    assert source.classes == ("cat", "dog", "fox")
    assert source.train.targets.bincount().tolist() == [3, 3, 3]
    assert source.notes == ()


@pytest.mark.parametrize("labels", [True, False])
def test_files_that_are_read_twice_are_told(labels: bool, tmp_path: Path) -> None:
    root = folders(tmp_path, "classes/cat", "classes/dog", "splits/train/cat", "splits/train/dog", "files/train/cat",
                  "files/train/dog", "files/test/cat")  # fmt: skip
    (root / "classes" / "kitty").symlink_to("cat")
    (root / "splits" / "test").symlink_to("train")
    (root / "files" / "test" / "cat" / "linked.png").symlink_to(root / "files" / "train" / "cat" / "0.png")
    (root / "files" / "test" / "cat" / "hard.png").hardlink_to(root / "files" / "train" / "cat" / "1.png")

    def notes(name: str) -> tuple[str, ...]:
        return folder_source(str(root / name), ReadRequest(DataConfig(no_labels=not labels))).notes

    if labels:  # without them the link is no class, and its files are read once
        assert notes("classes")[0].startswith("3 of the 9 images are read twice: ")
    assert notes("splits")[0].startswith("6 of the 6 test images are training images, too: ")
    (told,) = notes("files")
    assert told.startswith("2 of the 5 test images are training images, too: ")
    assert "hard.png' is the same file as" in told
