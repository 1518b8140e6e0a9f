"""A run that is gone on with from another folder finds what its settings name by relative paths."""

from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.data.config import DataConfig, PairingConfig
from wcord.training.config import DistillConfig, TrainConfig, TrainingConfig
from wcord.training.places import as_started, digests_of_files, needed


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
        teacher_data={"data": "table:t.csv"},
        pairing=PairingConfig(label_map="map.csv"),
        training=TrainingConfig(teacher_cache=Path("cache")),
    )
    found, notes = as_started(config, begun)
    assert found.teacher_weights == begun / "w.pth"
    assert found.student_weights == Path("none.pth")
    assert found.teacher_data["data"] == f"table:{begun}/t.csv"
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
        teacher_data={"data": "table:t.csv"},
        pairing=PairingConfig(label_map="map.csv"),
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


def test_code_of_the_users_own_that_lies_where_the_run_was_started_is_named(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, here = folders
    (begun / "far_net.py").touch()
    (begun / "far_package").mkdir()
    for name in ("far_net:small", "far_package.nets:small"):
        config = TrainConfig(model=name, out=Path("o"))
        with pytest.raises(UsageError, match=f"--model {name} is code in '.*be gun', .*resume from that folder"):
            as_started(config, begun)
        assert as_started(config, here)[0] == config
    monkeypatch.syspath_prepend(begun)
    assert as_started(TrainConfig(model="far_net:small", out=Path("o")), begun)[0].model == "far_net:small"
    assert as_started(TrainConfig(model="timm:resnet18", out=Path("o")), begun)[1] == []


def test_files_that_settings_of_text_name_are_known_by_what_they_hold(folders: tuple[Path, Path]) -> None:
    begun, _ = folders
    config = DistillConfig(
        teacher="t",
        student="s",
        out=Path("o"),
        pairing=PairingConfig(label_map=str(begun / "map.csv")),
        training=TrainingConfig(class_weights="balanced"),
    )
    first = digests_of_files(config)
    assert list(first) == ["label_map"]
    (begun / "map.csv").write_text("a,b")
    assert digests_of_files(config) != first
