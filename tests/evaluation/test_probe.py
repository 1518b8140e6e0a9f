"""Probes of a frozen representation: known answers, and a whole command on real digits."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

import wcord
from wcord import api
from wcord.checks import UsageError
from wcord.cli import main
from wcord.evaluation.probe import Representation, few_shot, linear_probe, nearest_neighbours
from wcord.training.config import TrainConfig, configure


def clouds(count: int = 120, *, apart: float = 4.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return three normal clouds in five dimensions."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 3
    centres = apart * torch.nn.functional.one_hot(torch.arange(3), 5)
    return torch.randn(count, 5, generator=generator) + centres[y], y


def seen(**how: float) -> Representation:
    return Representation(*clouds(**how), *clouds(seed=1, **how))


def test_clouds_apart_are_told_apart_and_noise_is_not() -> None:
    assert linear_probe(seen()) > 95
    assert nearest_neighbours(seen(), neighbours=5) > 95
    assert 15 < linear_probe(seen(apart=0.0)) < 55


def test_a_linear_probe_does_not_depend_on_scale_and_offset() -> None:
    x = seen(apart=1.5)
    scale = torch.tensor([1e-3, 1.0, 1e3, 7.0, 0.1])
    moved = Representation(x.train * scale + 5, x.train_targets, x.test * scale + 5, x.test_targets)
    assert linear_probe(moved) == pytest.approx(linear_probe(x), abs=0.9)


def test_a_dead_dimension_does_no_harm() -> None:
    x = seen()
    dead = torch.zeros(len(x.train), 1)
    wider = Representation(torch.cat([x.train, dead], 1), x.train_targets, torch.cat([x.test, dead], 1), x.test_targets)
    assert linear_probe(wider) == pytest.approx(linear_probe(x), abs=0.9)


def test_few_shots_grow_with_their_number() -> None:
    one, five = few_shot(seen(apart=2.5), 1), few_shot(seen(apart=2.5), 20)
    assert one[0] < five[0]
    assert one[1] > five[1] > 0
    assert few_shot(seen(), 3) == few_shot(seen(), 3)


def test_mistakes_are_told() -> None:
    x = seen()
    with pytest.raises(UsageError, match="shots must be between 1 and 40"):
        few_shot(x, 41)
    with pytest.raises(UsageError, match="neighbours must be a whole number between 1 and 120"):
        nearest_neighbours(x, neighbours=121)
    with pytest.raises(UsageError, match="at least 2 classes"):
        Representation(x.train, torch.zeros(120, dtype=torch.long), x.test, x.test_targets)
    with pytest.raises(UsageError, match=r"1 classes of the test samples have no training sample.*: 7"):
        Representation(x.train, x.train_targets, x.test, torch.full_like(x.test_targets, 7))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("student") / "run"
    settings = {"model": "resnet8", "out": out, "epochs": 4, "lr": 0.1, "schedule": "cosine", "device": "cpu"}
    api.start(configure(TrainConfig, settings), say=lambda line: None)
    return out / "student.safetensors"


def test_a_student_is_probed_on_the_command_line(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "probe.json"
    assert main(["probe", "--weights", str(student), "--shots", "5", "--device", "cpu", "--out", str(out)]) == 0
    assert "20 nearest neighbours" in capsys.readouterr().out
    (values,) = json.loads(out.read_text())
    assert (values["architecture"], values["method"], values["seed"]) == ("resnet8", "ce", 0)
    assert values["top1"]["linear"] > 90
    assert 30 < values["top1"]["linear, 5 a class"]["mean"] < values["top1"]["linear"]
    # Fitting the last layer anew on the training data is about what the network says itself.
    assert values["top1"]["linear"] == pytest.approx(wcord.evaluate(weights=student, device="cpu")["top1"], abs=6)


def test_pictures_are_brought_to_the_size_and_channels_of_the_network(student: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    bright = labels[:, None, None, None] * 120 + rng.integers(0, 60, (60, 20, 20, 3))
    np.savez(tmp_path / "colour.npz", x_train=bright.astype(np.uint8), y_train=labels)
    values = api.probe(student, data=f"npz:{tmp_path / 'colour.npz'}", neighbours=0, device="cpu")
    assert set(values["top1"]) == {"linear"}
    assert values["top1"]["linear"] > 90


def test_a_bare_weights_file_cannot_be_probed(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="does not say what network it is"):
        api.probe(tmp_path / "w.pth", device="cpu")


def test_the_recipes_of_the_transfer_table(student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(40) % 4
    images = draw.integers(0, 256, (40, 48, 48, 3), np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=labels)
    features = datasets.Features({"image": datasets.Image(), "coarse_label": datasets.Value("int64")})
    recipes = sorted((Path(__file__).parents[2] / "benchmarks" / "probes").glob("*.toml"))
    probes = {
        "cifar100_coarse": ["linear", "20 nearest neighbours", "linear, 5 a class"],
        "stl10": ["linear"],
        "tinyimagenet": ["linear"],
        "usps": ["linear", "20 nearest neighbours", "linear, 5 a class"],
    }
    assert [path.stem for path in recipes] == list(probes)
    datasets.Dataset.from_dict({"image": list(images), "coarse_label": labels.tolist()}, features=features).to_parquet(
        tmp_path / "train.parquet"
    )
    for recipe in recipes:
        data = f"parquet:{tmp_path}" if recipe.stem == "cifar100_coarse" else f"npz:{tmp_path / 'x.npz'}"
        arguments = ["--weights", str(student), str(student), "--data", data, "--device", "cpu", "--json"]
        arguments += ["--subset", "6"]  # of 500 pictures of each class, which is what a recipe may ask for
        assert main(["probe", "--recipe", str(recipe), *arguments]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [list(values["top1"]) for values in found] == [probes[recipe.stem]] * 2
    bad = tmp_path / "bad.toml"
    bad.write_text("image_sise = 3")
    assert main(["probe", "--recipe", str(bad), "--weights", str(student)]) == 2
    assert "did you mean 'image_size'" in capsys.readouterr().err


@pytest.mark.parametrize(("distance", "winner"), [(0.052, 0), (0.045, 1)])
def test_a_vote_weighs_by_the_temperature_of_wu_et_al(distance: float, winner: int) -> None:
    """Two votes of weight exp(-d/0.07) outweigh one of weight 1 where d is below 0.07 ln 2 = 0.0485."""
    cosine = 1 - distance
    near = torch.tensor([[cosine, (1 - cosine**2) ** 0.5], [cosine, -((1 - cosine**2) ** 0.5)]])
    train = torch.cat([torch.tensor([[1.0, 0.0]]), near])
    x = Representation(train, torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.0]]), torch.tensor([winner]))
    assert nearest_neighbours(x, neighbours=3) == 100.0
