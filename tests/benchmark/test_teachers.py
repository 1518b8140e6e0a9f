"""Teachers are found in every layout, or trained, or missed in one line."""

from pathlib import Path

import pytest

from wcord.benchmark.rows import TeacherRun
from wcord.benchmark.suite import Suite, read_suite
from wcord.benchmark.teachers import find_teachers
from wcord.checks import UsageError


@pytest.mark.parametrize(
    "file",
    ["resnet14_vanilla/ckpt_epoch_240.pth", "resnet14.pth", "resnet14.safetensors", "resnet14/student.safetensors"],
)
def test_every_layout_is_known(tmp_path: Path, tiny: Suite, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    teachers = find_teachers(tiny, [TeacherRun(tiny, "resnet14")], [str(tmp_path)], tmp_path / "out")
    assert teachers.weights(TeacherRun(tiny, "resnet14")) == tmp_path / file
    assert not teachers.trained


def test_a_named_file_comes_first_and_the_rest_is_trained(tmp_path: Path, tiny: Suite) -> None:
    for name in ("a.pth", "resnet14.pth"):
        (tmp_path / name).touch()
    places = [str(tmp_path), f"resnet14={tmp_path / 'a.pth'}"]
    assert (
        find_teachers(tiny, [TeacherRun(tiny, "resnet14")], places, tmp_path).weights(TeacherRun(tiny, "resnet14"))
        == tmp_path / "a.pth"
    )
    trained = find_teachers(tiny, [TeacherRun(tiny, "resnet14")], [], tmp_path)
    assert trained.weights(TeacherRun(tiny, "resnet14")) == tmp_path / "tiny/teachers/resnet14/student.safetensors"
    assert list(trained.trained) == ["resnet14"]


def test_names_with_a_colon_have_files_without(tmp_path: Path) -> None:
    (tmp_path / "timm.resnet34.pth").touch()
    suite = read_suite("imagenet")
    teachers = find_teachers(suite, [TeacherRun(suite, "timm:resnet34")], [str(tmp_path)], tmp_path)
    assert teachers.weights(TeacherRun(suite, "timm:resnet34")) == tmp_path / "timm.resnet34.pth"


def test_what_is_missing_is_told(tmp_path: Path, tiny: Suite) -> None:
    imagenet = read_suite("imagenet")
    with pytest.raises(UsageError, match=r"does not train its teachers, and timm:resnet34 is missing.*resnet34\.pth"):
        find_teachers(imagenet, [TeacherRun(imagenet, "timm:resnet34")], [str(tmp_path)], tmp_path)
    assert find_teachers(imagenet, [TeacherRun(imagenet, "timm:resnet34")], [], tmp_path, required=False).trained
    with pytest.raises(UsageError, match="is not a folder"):
        find_teachers(tiny, [TeacherRun(tiny, "resnet14")], [str(tmp_path / "none")], tmp_path)
    with pytest.raises(UsageError, match=r"weights of teacher resnet14 'none\.pth' does not exist"):
        find_teachers(tiny, [TeacherRun(tiny, "resnet14")], ["resnet14=none.pth"], tmp_path)
    with pytest.raises(UsageError, match="unknown teacher of tiny 'resnet15': did you mean 'resnet14'"):
        find_teachers(tiny, [TeacherRun(tiny, "resnet14")], ["resnet15=none.pth"], tmp_path)


def test_where_splits_go_by_seed_each_seed_needs_its_own(tmp_path: Path) -> None:
    suite = read_suite("privileged_columns")
    wanted = [TeacherRun(suite, "mlp64x2", seed) for seed in (0, 1)]
    (tmp_path / "mlp64x2.seed1.pth").touch()
    found = find_teachers(suite, wanted, [str(tmp_path)], tmp_path / "out")
    assert found.weights(wanted[1]) == tmp_path / "mlp64x2.seed1.pth"
    assert list(found.trained) == ["mlp64x2.seed0"]
    with pytest.raises(
        UsageError, match="holds out different samples for each seed, and one mlp64x2 may have been trained on"
    ):
        find_teachers(suite, wanted, [f"mlp64x2={tmp_path / 'mlp64x2.seed1.pth'}"], tmp_path)
