"""A run that is gone on with from another folder finds what its settings name by relative paths."""

from pathlib import Path

import pytest

from wcord.data.config import DataConfig, PairingConfig
from wcord.training.config import DistillConfig, TrainConfig, TrainingConfig
from wcord.training.places import as_started, needed


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folder where a run was started, with what it names, and the present one, which is empty."""
    begun, here = tmp_path / "be gun", tmp_path / "here"
    for name in ("pictures", "sets", "cache", "hub/set"):
        (begun / name).mkdir(parents=True)
    for name in ("t.csv", "a.npz", "w.pth", "map.csv", "kd"):
        (begun / name).touch()
    here.mkdir()
    monkeypatch.chdir(here)
    return begun, here


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("imagefolder:pictures", "imagefolder:{}/pictures"),
        ("audiofolder:./pictures", "audiofolder:{}/pictures"),
        ("table:t.csv", "table:{}/t.csv"),
        ("npz:a.npz", "npz:{}/a.npz"),
        ("parquet:sets", "parquet:{}/sets"),
        ("torchvision:MNIST@sets", "torchvision:MNIST@{}/sets"),
        ("hub:hub/set", "hub:{}/hub/set"),
        ("hub:uoft-cs/cifar100", "hub:uoft-cs/cifar100"),
        ("table:none.csv", "table:none.csv"),
        ("digits", "digits"),
        ("sklearn:iris", "sklearn:iris"),
        ("imagefolder:/elsewhere", "imagefolder:/elsewhere"),
    ],
)
def test_sources_are_found_where_the_run_was_started(folders: tuple[Path, Path], data: str, found: str) -> None:
    begun, _ = folders
    config, notes = as_started(TrainConfig(model="m", out=Path("o"), data=DataConfig(data=data)), begun)
    assert config.data.data == found.format(begun)
    assert [str(begun) in note for note in notes] == [True] * (config.data.data != data)


def test_weights_caches_and_maps_are_found_but_names_are_no_paths(folders: tuple[Path, Path]) -> None:
    begun, here = folders
    config = DistillConfig(
        teacher="t",
        student="s",
        method="kd",  # a file of that name lies there
        teacher_weights=Path("w.pth"),
        student_weights=Path("none.pth"),
        out=Path("cache"),
        pairing=PairingConfig(teacher_data="table:t.csv", label_map="map.csv"),
        training=TrainingConfig(teacher_cache=Path("cache")),
    )
    found, notes = as_started(config, begun)
    assert found.teacher_weights == begun / "w.pth"
    assert found.student_weights == Path("none.pth")
    assert found.pairing.teacher_data == f"table:{begun}/t.csv"
    assert found.pairing.label_map == str(begun / "map.csv")
    assert found.training.teacher_cache == begun / "cache"
    assert (found.method, found.out) == ("kd", Path("cache"))
    assert len(notes) == 4
    assert as_started(config, here) == (config, [])


def test_what_a_run_reads_is_named_by_its_flags(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    begun, _ = folders
    monkeypatch.chdir(begun)
    config = DistillConfig(
        teacher="t",
        student="s",
        teacher_weights=Path("w.pth"),
        student_weights=Path("none.pth"),
        out=Path("cache"),
        data=DataConfig(data="torchvision:MNIST@sets"),
        pairing=PairingConfig(teacher_data="table:t.csv", label_map="map.csv"),
        training=TrainingConfig(teacher_cache=Path("cache"), class_weights="auto"),
    )
    assert dict(needed(config)) == {
        "--teacher-weights": Path("w.pth"),
        "--data": Path("sets"),
        "--teacher-data": Path("t.csv"),
        "--label-map": Path("map.csv"),
        "--teacher-cache": Path("cache"),
    }
    assert needed(TrainConfig(model="m", out=Path("w.pth"))) == []
