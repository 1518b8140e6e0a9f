"""Splits under the names that data sets are published with, and folders that only look like them."""

from pathlib import Path

import pytest
from PIL import Image

from wcord.checks import UsageError
from wcord.data.sources.layout import Layout, find_layout
from wcord.data.walk import Skipped, pictures


def tree(root: Path, *paths: str) -> Path:
    """Put a picture at each path; braces stand for several: Training/{a,b}."""
    for path in paths:
        before, _, rest = path.partition("{")
        inside, _, after = rest.partition("}")
        for part in inside.split(","):
            file = root / f"{before}{part}{after}" / "1.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (2, 2)).save(file)
    return root


def layout(root: Path, *, labels: bool = True) -> Layout:
    return find_layout(root, pictures(), Skipped(), labels=labels)


def places(root: Path, *, labels: bool = True) -> tuple[str, str | None]:
    found = layout(root, labels=labels)
    test = None if found.test is None else found.test.relative_to(root).as_posix()
    return found.train.relative_to(root).as_posix(), test


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"), ("Training", "Testing"), ("train", "eval"), ("TRAIN", "VAL"), ("training_set", "test_set"),
        ("train-images", "test-images"), ("Train Set", "Validation Set"), ("trainset", "testset"), ("train", "dev"),
        ("TrainImages", "ValImages"), ("train2017", "val2017"), ("train", "evaluation"), ("train_data", "valid_data"),
        ("seg_train", "seg_test"), ("asl_alphabet_train", "asl_alphabet_test"), ("images_train", "images_val"),
        ("trainval", "holdout"), ("rps-train-set", "rps-test-set"),
        ("trn", "tst"), ("train", "tst"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("labels", [True, False])
def test_usual_names_of_splits_are_known(train: str, test: str, labels: bool, tmp_path: Path) -> None:
    tree(tmp_path, train + "/{a,b}", test + "/{a,b}")
    assert places(tmp_path, labels=labels) == (train, test)
    assert layout(tmp_path).notes == ()


@pytest.mark.parametrize(
    ("folders", "test", "told"),
    [
        ("train,val,test", "test", "'val'"),
        ("train,valid,dev", "valid", "'dev'"),
        ("train,eval,validation,Meta", "eval", "'validation', 'Meta'"),
        ("seg_train,seg_test,seg_pred", "seg_test", "'seg_pred'"),
    ],
)
def test_one_split_is_the_test_split_and_the_others_are_named(
    folders: str, test: str, told: str, tmp_path: Path
) -> None:
    for name in folders.split(","):
        tree(tmp_path, name + "/{a,b}")
    found = layout(tmp_path)
    assert found.test == tmp_path / test
    assert found.notes == (f"folders beside {found.train.name!r} that are not read: {told}",)


def test_a_test_folder_without_class_folders_gives_way(tmp_path: Path) -> None:
    tree(tmp_path, "train/{a,b}", "test")
    assert places(tmp_path) == ("train", None)
    assert layout(tmp_path).notes[0].endswith("not read: 'test' (it has no class folders)")
    tree(tmp_path, "test/images")
    assert places(tmp_path) == ("train", None)
    tree(tmp_path, "val/{a,b}")
    assert places(tmp_path) == ("train", "val")
    assert places(tmp_path, labels=False) == ("train", "test")


@pytest.mark.parametrize(
    "classes", ["valid,invalid", "test,control", "dev,prod", "training,rest", "bus,train", "train,plane,ship", "a,b"]
)
def test_classes_that_are_called_like_splits_stay_classes(classes: str, tmp_path: Path) -> None:
    tree(tmp_path, "{" + classes + "}")
    assert places(tmp_path) == (".", None)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("{fold1,fold2}/a {fold1,fold2}/b", "folders 'fold1', 'fold2' in .* hold folders of the same names"),
        ("{learn,check}/a {learn,check}/b check/c", "look like splits and not like classes"),
        ("{valid,invalid}/0 {valid,invalid}/1", "rename them to 'train' and 'test'"),
        ("{color,gray,segmented}/x {color,gray,segmented}/y", "'color', 'gray', 'segmented'"),
        ("{test,val}/a {test,val}/b", "has 'test' but no 'train' folder"),
        ("{dev}/a {dev}/b", "has 'dev' but no 'train' folder"),
        ("{train_1,train_2}/a {train_1,train_2}/b", "several folders that may be the train split"),
        ("{fit,score}/a {fit,score}/b fit", "'fit', 'score' in .* look like splits"),  # a picture beside the classes
        ("{fit,score}/a {fit,score}/b unlabeled", "'fit', 'score' in .* look like splits"),
        ("{trainA,trainB,testA,testB}", "several folders that may be the train split .'trainA', 'trainB'."),
        (
            "images/train/{a,b} images/test/{a,b} docs",
            "class folder 'images' .*'train', 'test'.: if .* name '.*images'",
        ),
        ("{images,masks}/train/a {images,masks}/val/a", "class folder 'images' .*'train', 'val'"),
        ("train/{images,masks}/train/a train/{images,masks}/val/a", "class folder 'images' .*'train', 'val'"),
        ("cat/{train,test} dog/{train,test}", "put the splits first and the classes into them"),
        ("cat/{train,test} dog", "put the splits first and the classes into them .train/cat, test/cat, …"),
        ("cat/{trn,tst} dog/{trn,tst}", "into them .trn/cat, tst/cat, …"),
    ],
)
def test_splits_that_are_not_known_are_never_classes(inside: str, message: str, tmp_path: Path) -> None:
    tree(tmp_path, *inside.split())
    with pytest.raises(UsageError, match=message):
        layout(tmp_path)


@pytest.mark.parametrize(
    ("inside", "outer", "inner"),
    [
        ("fit/{cat,dog} score/cat", "'fit', 'score'", "'cat'"),
        ("one/{cat,dog} two/cat three/dog", "'one', 'three', 'two'", "'cat', 'dog'"),
        ("train/{images,masks}/cat test/{images,masks}/cat", "'images', 'masks'", "'cat'"),
        ("{fit,score}/a {fit,score}/b {fit,score}", "'fit', 'score'", "'a', 'b'"),
        ("{fit,score}/a {fit,score}/b c d e", "'fit', 'score'", "'a', 'b'"),
    ],
)
def test_classes_that_hold_folders_of_the_same_names_are_told(
    inside: str, outer: str, inner: str, tmp_path: Path
) -> None:
    tree(tmp_path, *inside.split())
    (note,) = layout(tmp_path).notes
    assert note.startswith(f"class folders {outer} hold folders of the same names ({inner})")


def test_folders_of_other_names_or_that_say_nothing_are_not_told(tmp_path: Path) -> None:
    tree(tmp_path, "{n01,n02}/images", "cat/{p1,p2}", "dog/{p2,p3}", "ship")
    assert layout(tmp_path).notes == ()


def test_classes_may_have_folders_of_one_name_in_them(tmp_path: Path) -> None:
    tree(tmp_path / "one", "{n01,n02}/images")
    assert places(tmp_path / "one") == (".", None)
    tree(tmp_path / "mixed", "{a,b}/left", "{a,b}/right", "{a,b}")
    assert places(tmp_path / "mixed") == (".", None)
    tree(tmp_path / "below", "train/{a,b}/left", "train/{a,b}/right")
    assert places(tmp_path / "below") == ("train", None)


@pytest.mark.parametrize("deep", ["dataset", "dataset/dataset", "archive/Flowers (1)/data"])
def test_a_folder_that_holds_nothing_but_the_data_is_entered(deep: str, tmp_path: Path) -> None:
    tree(tmp_path / "splits" / deep, "train/{a,b}", "test/{a,b}")
    tree(tmp_path / "splits" / "__MACOSX", "train")
    assert places(tmp_path / "splits") == (f"{deep}/train", f"{deep}/test")
    assert places(tmp_path / "splits", labels=False) == (f"{deep}/train", f"{deep}/test")
    assert layout(tmp_path / "splits").notes[0] == f"the images are read from {str(tmp_path / 'splits' / deep)!r}"
    tree(tmp_path / "classes" / deep, "{a,b}")
    assert places(tmp_path / "classes") == (deep, None)
    assert places(tmp_path / "classes", labels=False) == (".", None)


def test_a_split_may_lie_in_a_folder_of_its_own_name(tmp_path: Path) -> None:
    tree(tmp_path, "seg_train/seg_train/{a,b}", "seg_test/seg_test/{a,b}")
    assert places(tmp_path) == ("seg_train/seg_train", "seg_test/seg_test")
    tree(tmp_path / "deep", "train/{a,b}", "test/a/{x,y}")  # one class, in which folders lie
    assert places(tmp_path / "deep") == ("train", "test")


def test_pictures_beside_the_splits_are_counted(tmp_path: Path) -> None:
    tree(tmp_path, "train/{a,b}", "{}")
    passed = Skipped()
    find_layout(tmp_path, pictures(), passed)
    assert passed.beside == 1
