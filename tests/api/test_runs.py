"""What a notebook calls: distil, evaluate, predict, build a method; on real files, wrong input included."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import wcord
from wcord import api
from wcord.checks import UsageError
from wcord.data.batch import Batch
from wcord.data.opening import from_arrays
from wcord.export import export
from wcord.models.weights import read_card
from wcord.report.record import Record
from wcord.training.config import TrainConfig, configure, read_config, read_recipe

pytestmark = pytest.mark.pages


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a small teacher that knows the digits."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    settings = {"model": "resnet8", "out": out, "epochs": 4, "lr": 0.1, "schedule": "cosine", "device": "cpu"}
    api.start(configure(TrainConfig, settings), say=lambda line: None)
    return out / "student.safetensors"


@pytest.fixture(scope="module")
def student(teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Result:
    return wcord.distill(
        "resnet8",
        "resnet8",
        teacher_weights=str(teacher),
        out=tmp_path_factory.mktemp("student") / "run",
        method="wcord+kd",
        set=["wcord.num_negatives=256"],
        epochs=3,
        lr=0.1,
        device="cpu",
    )


def test_a_distillation_leaves_everything_that_a_run_holds(student: api.Result) -> None:
    names = {path.name for path in student.run.iterdir()}
    files = ("analysis.npz", "config.toml", "metrics.jsonl", "record.json", "report.html", "student.safetensors")
    assert names == {*files, "checkpoints", "starts.jsonl", ".wcord-run"}
    record = Record.from_json(student.run / "record.json")
    assert record == student.record
    assert set(record.epochs[0]["parts"]) == {"ce", "gckt", "lckt", "kd"}
    assert record.metrics["top1_last"] == record.epochs[-1]["test_top1"]
    assert record.metrics["top1_best"] == max(entry["test_top1"] for entry in record.epochs)
    assert record.metrics["agreement"] > 50
    assert record.teacher_metrics is not None
    assert record.cost["student"]["parameters"] == sum(p.numel() for p in student.student.parameters())
    assert record.seed == 0


def test_the_saved_student_gives_the_recorded_accuracy_by_itself(student: api.Result) -> None:
    assert student.record is not None
    values = wcord.evaluate(weights=student.run / "student.safetensors", device="cpu")
    assert values["top1"] == pytest.approx(student.record.metrics["top1_last"])
    card = read_card(student.run / "student.safetensors")
    assert card is not None
    assert (card.architecture, card.num_classes, card.in_channels, card.image_size) == ("resnet8", 10, 1, (8, 8))
    assert card.classes == tuple("0123456789")


def test_pictures_are_named(student: api.Result, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    (tmp_path / "folder").mkdir()
    for i in range(20):
        pixels = (digits.images[i] * 15.9375).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "folder" / f"{i:02d}-{digits.target[i]}.png")
    guesses = api.predict_files(student.run / "student.safetensors", [tmp_path / "folder"], top=2, device="cpu")
    assert len(guesses) == 20
    right = sum(guess.classes[0] == Path(guess.record).stem[-1] for guess in guesses)
    assert right >= 14
    assert all(guess.probabilities[0] >= guess.probabilities[1] for guess in guesses)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(UsageError, match=r"broken\.png' cannot be read"):
        api.predict_files(student.run / "student.safetensors", [tmp_path / "broken.png"])
    with pytest.raises(UsageError, match="does not exist"):
        api.predict_files(student.run / "student.safetensors", [tmp_path / "none.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        api.predict_files(student.run / "student.safetensors", [tmp_path / "empty"])


def test_modules_and_arrays_of_ones_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = (generator.integers(0, 60, (120, 1, 8, 8)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    data = from_arrays(images[:90], labels[:90], images[90:], labels[90:], classes=("dark", "grey", "bright"))

    def network(width: int) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 3))

    result = wcord.distill(
        network(32), network(4), data=data, out=tmp_path / "run", method="wcord", epochs=3,
        allow_weak_teacher=True, device="cpu", set=["wcord.num_negatives=32"],
    )  # fmt: skip
    assert result.record is not None
    assert result.record.classes == ["dark", "grey", "bright"]
    assert result.record.student == "Sequential"


@pytest.mark.slow
def test_a_timm_teacher_and_a_folder_of_pictures_of_several_sizes(tmp_path: Path) -> None:
    """End to end with nothing of ours but the trainer: timm → torchvision on an image folder."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 6)):
        for name, level in (("dark", 40), ("bright", 200)):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                height, width = 40 + 4 * (i % 3), 48
                pixels = generator.integers(level - 30, level + 30, (height, width, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    result = wcord.distill(
        "timm:resnet10t",
        "torchvision:mobilenet_v3_small",
        data=f"imagefolder:{tmp_path / 'pictures'}",
        image_size=32,
        out=tmp_path / "run",
        method="wcord+kd",
        set=["wcord.num_negatives=16"],
        allow_weak_teacher=True,
        epochs=2,
        batch_size=8,
        device="cpu",
    )
    assert result.record is not None
    assert result.record.classes == ["bright", "dark"]
    page = (result.run / "report.html").read_text()
    assert "timm:resnet10t" in page
    values = wcord.evaluate(
        weights=result.run / "student.safetensors",
        data=f"imagefolder:{tmp_path / 'pictures'}",
        image_size=32,
        device="cpu",
    )
    assert values["top1"] == pytest.approx(result.record.metrics["top1_last"])


def test_a_plain_loop_with_an_objective_learns() -> None:
    torch.manual_seed(0)
    images, target = torch.rand(48, 3, 16, 16), torch.arange(48) % 4
    images += target.view(-1, 1, 1, 1) / 4
    student, big = (wcord.create_model("resnet8", num_classes=4) for _ in range(2))
    big.eval()
    objective = wcord.build_method("wcord+kd", student, big, num_samples=48, options={"wcord": {"num_negatives": 32}})
    optimizer = torch.optim.SGD([*student.parameters(), *objective.parameters()], lr=0.05, momentum=0.9)
    losses = []
    with wcord.capture(student) as student_tap, wcord.capture(big) as teacher_tap:
        for _ in range(8):
            with torch.no_grad():
                seen = teacher_tap(images)
            report = objective(student_tap(images), seen, Batch(images, images, target, torch.arange(48)))
            optimizer.zero_grad()
            report.total.backward()
            optimizer.step()
            losses.append(report.parts["ce"].item())
    assert losses[-1] < losses[0]


def wrong(tmp_path: Path, **settings: Any) -> str:
    with pytest.raises(UsageError) as caught:
        wcord.distill("resnet8", "resnet8", **({"out": tmp_path / "run", "device": "cpu"} | settings))
    assert not (tmp_path / "run").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher_weights": "none.pth"}, r"none\.pth' does not exist"),
        ({"method": "wcrod"}, "unknown method 'wcrod': did you mean 'wcord'"),
        ({"epoch": 3}, "unknown setting 'epoch': did you mean 'epochs'"),
        ({"data": "digit"}, "did you mean 'digits'"),
        ({"epochs": 0}, "epochs must be a whole number between 1 and"),
        ({"set": ["wcord.epsilom=1"], "allow_weak_teacher": True}, "unknown option of wcord 'epsilom'"),
        ({}, "near chance"),
    ],
)
def test_mistakes_are_told_before_a_folder_is_made(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    assert re.search(message, wrong(tmp_path, **settings))


def test_an_unknown_network_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'resnet20'"):
        wcord.distill("resnet8", "resnt20", out=tmp_path / "run")


def test_truncated_and_foreign_weights_are_told(tmp_path: Path, teacher: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(teacher.read_bytes()[:1000])
    assert "cut.safetensors" in wrong(tmp_path, teacher_weights=str(tmp_path / "cut.safetensors"))
    torch.save(wcord.create_model("vgg8", num_classes=10, in_channels=1).state_dict(), tmp_path / "vgg.pth")
    message = wrong(tmp_path, teacher_weights=str(tmp_path / "vgg.pth"))
    assert "block0.0" in message or "conv1.weight" in message


def test_an_existing_folder_is_kept(student: api.Result) -> None:
    before = (student.run / "record.json").read_bytes()
    with pytest.raises(UsageError, match="exists: name another folder, give --overwrite, or resume with --resume"):
        wcord.distill("resnet8", "resnet8", out=student.run)
    assert (student.run / "record.json").read_bytes() == before


def test_only_what_does_not_change_a_result_may_change_on_resuming(student: api.Result) -> None:
    with pytest.raises(UsageError, match="epochs cannot change when a run is resumed"):
        api.resume(student.run, epochs=9)


def test_the_configuration_of_a_run_gives_it_again(student: api.Result, tmp_path: Path) -> None:
    from dataclasses import replace

    from safetensors.torch import load_file

    from wcord.training.config import read_config

    config = replace(read_config(student.run / "config.toml"), out=tmp_path / "again")
    again = api.start(config, say=lambda line: None)
    mine, theirs = (load_file(run / "student.safetensors") for run in (student.run, again.run))
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_simkd_ships_another_network_that_opens_by_its_own_name(teacher: Path, tmp_path: Path) -> None:
    made = wcord.distill(
        "resnet8", "resnet8", teacher_weights=str(teacher), out=tmp_path / "run", method="simkd", epochs=2, lr=0.05,
        device="cpu",
    )  # fmt: skip
    assert made.record is not None
    assert made.record.student == "resnet8"
    card = read_card(made.run / "student.safetensors")
    assert card is not None
    assert card.architecture == "simkd:resnet8:resnet8"
    again = wcord.evaluate(weights=made.run / "student.safetensors", device="cpu")
    assert again["top1"] == pytest.approx(made.record.metrics["top1_last"])
    assert again["top1"] > 30


def test_networks_that_state_no_maps_can_be_told_them(tmp_path: Path) -> None:
    data = from_arrays(np.random.default_rng(0).random((24, 3, 32, 32), np.float32), np.arange(24) % 3)
    student, teacher = (wcord.create_model("torchvision:resnet18", num_classes=3) for _ in range(2))
    settings: dict[str, Any] = {
        "data": data, "epochs": 1, "batch_size": 8, "allow_weak_teacher": True, "method": "at", "device": "cpu"
    }  # fmt: skip
    with pytest.raises(UsageError, match=r"at reads feature maps, but the student states none: .*--student-maps"):
        wcord.distill(teacher, student, out=tmp_path / "none", **settings)
    maps = ("relu", "layer1", "layer2", "layer3")
    made = wcord.distill(teacher, student, out=tmp_path / "run", student_maps=maps, teacher_maps=maps, **settings)
    assert made.record is not None
    assert made.record.epochs[0]["parts"]["at"] > 0


def test_a_view_of_ones_own_is_no_teachers(tmp_path: Path) -> None:
    settings = {"model": "resnet8", "out": tmp_path / "r", "view": "rgb,resize=4", "epochs": 1, "device": "cpu"}
    result = api.start(configure(TrainConfig, settings), say=lambda line: None)
    assert result.record is not None
    assert not any("teacher" in note for note in result.record.notes)
    assert export(result.run, "torch").samples == 11
    # What is exported sees what the run saw, also where the weights it began with said so.
    on = {"model": "resnet8", "out": tmp_path / "on", "weights": result.run / "student.safetensors", "epochs": 1}
    again = api.start(configure(TrainConfig, {**on, "device": "cpu"}), say=lambda line: None)
    assert export(again.run, "torch").samples == 11


def test_a_recipe_of_a_run_that_replaced_another_replaces_none(tmp_path: Path) -> None:
    settings = {"model": "resnet8", "out": tmp_path / "r", "epochs": 1, "device": "cpu", "max_time": 0.0001}
    for _ in range(2):
        api.start(configure(TrainConfig, {**settings, "overwrite": True}), say=lambda line: None)
    recipe = read_recipe(tmp_path / "r" / "config.toml")
    assert "overwrite" not in recipe
    with pytest.raises(UsageError, match="exists: name another folder"):
        api.start(configure(TrainConfig, recipe), say=lambda line: None)
    # One of an older version may hold it.
    (tmp_path / "old.toml").write_text(f'model = "resnet8"\nout = "{tmp_path / "r"}"\noverwrite = true\n')
    assert not read_config(tmp_path / "old.toml").overwrite
