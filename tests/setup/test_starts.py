"""From which weights a run's networks start, and what becomes of their heads."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from wcord import api, capture, create_model
from wcord.checks import UsageError
from wcord.data.dataset import DataSet
from wcord.data.opening import from_arrays
from wcord.models.network import unwrap
from wcord.models.weights import load_weights, open_network, read_card
from wcord.setup.job import Provided, opened_data, prepare
from wcord.training.config import DistillConfig, TrainConfig, configure


def data(classes: tuple[str, ...] = ("ant", "bee", "cat"), side: int = 16) -> DataSet:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (24, 3, side, side), dtype=np.uint8)
    labels = np.arange(24) % len(classes)
    return from_arrays(images, labels, images, labels, classes=classes)


def ready(settings: dict[str, Any], of: DataSet, *, fresh: bool = True) -> tuple[Any, list[str]]:
    lines: list[str] = []
    kind = TrainConfig if "model" in settings else DistillConfig
    base = {"out": "x", "epochs": 1, "batch_size": 8, "data": f"own:{of.name}", "device": "cpu"}
    return prepare(configure(kind, base | settings), Provided(data=of), lines.append, fresh=fresh), lines


@pytest.fixture
def pretrained(put_in_hub: Any) -> nn.Module:
    """Put weights of a small network into the hub's cache, and return the network."""
    torch.manual_seed(1)
    network = timm.create_model("test_resnet.r160_in1k")
    put_in_hub("timm/test_resnet.r160_in1k", {"model.safetensors": network})
    return network


STEM = "conv1.0.weight"


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "timm:test_resnet.r160_in1k"},
        {"model": "timm:test_resnet", "pretrained": True},
        {"student": "timm:test_resnet", "student_pretrained": True, "teacher": "resnet8", "allow_weak_teacher": True},
    ],
)
def test_the_body_is_pretrained_and_the_head_new(pretrained: nn.Module, settings: dict[str, Any]) -> None:
    job, lines = ready(settings, data())
    assert torch.equal(job.student.backbone.state_dict()[STEM], pretrained.state_dict()[STEM])
    assert job.architecture == "timm:test_resnet.r160_in1k"
    said = [line for line in lines if "pretrained weights of timm:test_resnet.r160_in1k" in line]
    assert len(said) == 1
    assert "the head for 3 classes is new (not theirs for 1000)" in said[0]
    assert any(line.startswith("hint:") and "--finetune" in line for line in lines)
    assert job.student.preprocess.mean.tolist() == pytest.approx(pretrained.pretrained_cfg["mean"])


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({"model": "timm:test_resnet"}, r"name pretrained ones \(timm:test_resnet.r160_in1k\), or give --pretrained"),
        ({"model": "torchvision:squeezenet1_1"}, r"torchvision:squeezenet1_1@IMAGENET1K_V1\), or give --pretrained"),
        (
            {"student": "timm:test_resnet", "teacher": "resnet8", "allow_weak_teacher": True},
            r"timm:test_resnet.r160_in1k\), or give --student-pretrained",
        ),
    ],
)
def test_a_random_start_is_told(settings: dict[str, Any], known: str) -> None:
    import re

    _, lines = ready(settings, data(side=32))
    assert [line for line in lines if re.search(f"starts from random weights: .*{known}", line)]


def test_pretrained_beside_a_file_is_refused(tmp_path: Path) -> None:
    torch.save(create_model("timm:test_resnet", num_classes=3).state_dict(), tmp_path / "a.pth")
    with pytest.raises(UsageError, match="already has weights: leave out --pretrained"):
        ready({"model": "timm:test_resnet", "pretrained": True, "weights": tmp_path / "a.pth"}, data())
    with pytest.raises(UsageError, match="resnet8 has no pretrained weights by name"):
        ready({"model": "resnet8", "pretrained": True}, data())


def test_weights_of_other_classes_in_a_file_give_the_body(tmp_path: Path) -> None:
    source = create_model("resnet8", num_classes=1000)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    job, lines = ready({"model": "resnet8", "weights": tmp_path / "a.pth"}, data())
    assert torch.equal(job.student.backbone.state_dict()["conv1.weight"], source.state_dict()["conv1.weight"])
    assert any("weights for 1000 classes: the body is loaded, and the head is new" in line for line in lines)
    teacher = {"teacher": "resnet8", "teacher_weights": tmp_path / "a.pth", "student": "resnet8"}
    with pytest.raises(UsageError, match="--teacher-classes 1000"):
        ready(teacher, data())
    job, _ = ready(teacher | {"teacher_classes": 1000, "method": "wcord"}, data())
    assert job.teacher(torch.zeros(1, 3, 16, 16)).shape == (1, 1000)


class TestTeachersOfImageNet:
    SETTINGS: ClassVar[dict[str, Any]] = {
        "teacher": "timm:test_resnet.r160_in1k",
        "student": "resnet8",
        "allow_weak_teacher": True,
    }

    @pytest.mark.parametrize(
        "classes",
        [("n01440764", "n02102040", "n02979186"), ("tench", "cassette player"), ("tench", "golden_retriever")],
    )
    def test_classes_are_found_by_name(self, pretrained: nn.Module, classes: tuple[str, ...]) -> None:
        job, lines = ready(self.SETTINGS | {"method": "kd"}, data(classes))
        assert any(f"teacher's 1000 classes, the {len(classes)} of the data were found" in line for line in lines)
        images = torch.rand(2, 3, 16, 16)
        whole = pretrained.eval()(job.teacher.preprocess(images))
        torch.testing.assert_close(job.teacher.eval()(images)[:, 0], whole[:, 0])

    def test_other_classes_are_learned_from_features(self, pretrained: nn.Module) -> None:
        job, _ = ready(self.SETTINGS | {"method": "wcord"}, data())
        assert job.teacher(torch.zeros(1, 3, 16, 16)).shape == (1, 1000)
        with pytest.raises(UsageError, match="kd compares logits"):
            ready(self.SETTINGS | {"method": "kd"}, data())
        with pytest.raises(UsageError, match="have 1000 classes, received 10: leave out --teacher-classes"):
            ready(self.SETTINGS | {"teacher_classes": 10}, data())

    def test_a_label_map_on_their_names(self, pretrained: nn.Module, tmp_path: Path) -> None:
        (tmp_path / "map.csv").write_text("tench,fish\ngoldfish,fish\ngolden retriever,dog\n*,\n")
        job, said = ready(
            self.SETTINGS | {"method": "kd", "label_map": str(tmp_path / "map.csv")}, data(("dog", "fish"))
        )
        assert any("taken together as the 2 of the data, 997 of them left out" in line for line in said)
        images = torch.rand(2, 3, 16, 16)
        whole = pretrained.eval()(job.teacher.preprocess(images))
        expected = torch.stack([whole[:, 207], whole[:, :2].logsumexp(1)], dim=1)
        torch.testing.assert_close(job.teacher.eval()(images), expected)


class TestTeachersWithoutAHead:
    @pytest.mark.parametrize("more", [{}, {"teacher_classes": 0}])
    @pytest.mark.parametrize("name", ["resnet8", "timm:test_resnet"])
    def test_a_run(self, tmp_path: Path, name: str, more: dict[str, Any]) -> None:
        torch.save(create_model(name, num_classes=0).state_dict(), tmp_path / "ssl.pth")
        settings = {"teacher_weights": tmp_path / "ssl.pth", "method": "wcord", "epochs": 1, "batch_size": 8, **more}
        result = api.distill(name, "resnet8", out=tmp_path / "run", data=data(), device="cpu", **settings)
        assert result.record is not None
        assert result.record.teacher_metrics is None
        assert any("has no classifier" in note for note in result.record.notes)

    @pytest.mark.parametrize("method", ["kd", "dkd", "wcord+kd", "dist", "ttm", "wkd-l"])
    def test_methods_on_logits_are_refused(self, tmp_path: Path, method: str) -> None:
        torch.save(create_model("resnet8", num_classes=0).state_dict(), tmp_path / "ssl.pth")
        teacher = {"teacher": "resnet8", "teacher_weights": tmp_path / "ssl.pth", "student": "resnet8"}
        with pytest.raises(UsageError, match=r"no classifier|classifier, but"):
            ready(teacher | {"method": method}, data())

    @pytest.mark.parametrize("method", ["crd", "rkd", "pkt", "cc", "sp", "at", "gckt", "lckt-a"])
    def test_methods_on_features_work(self, tmp_path: Path, method: str) -> None:
        torch.save(create_model("resnet8", num_classes=0).state_dict(), tmp_path / "ssl.pth")
        teacher = {"teacher": "resnet8", "teacher_weights": tmp_path / "ssl.pth", "student": "resnet8"}
        job, _ = ready(teacher | {"method": method}, data())
        assert job.objective.uses_teacher


def test_a_run_from_pretrained_weights_is_opened_and_resumed_without_the_hub(
    pretrained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"student_pretrained": True, "method": "kd", "batch_size": 8, "epochs": 2, "device": "cpu"}
    run, of = tmp_path / "run", data()
    settings |= {"allow_weak_teacher": True, "max_time": 1e-9}
    api.distill("resnet8", "timm:test_resnet", out=run, data=of, **settings)  # stops before its first step
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "nowhere"))
    result = api.resume(run, provided=Provided(data=of), max_time=None)
    assert result.outcome.status == "finished"
    card = read_card(run / "student.safetensors")
    assert card is not None
    assert (card.architecture, card.num_classes) == ("timm:test_resnet.r160_in1k", 3)
    assert open_network(run / "student.safetensors")(torch.zeros(1, 3, 16, 16)).shape == (1, 3)
    assert "top1" in api.evaluate(weights=run / "student.safetensors", data=of)


class TestEmbedding:
    def test_it_is_kept_in_the_card(self, tmp_path: Path) -> None:
        settings = {"student_embedding": "layer2", "teacher_embedding": "layer1", "method": "rkd"}
        settings |= {"allow_weak_teacher": True, "epochs": 1, "batch_size": 8, "device": "cpu"}
        result = api.distill("resnet8", "resnet8", out=tmp_path / "run", data=data(), **settings)
        card = read_card(result.run / "student.safetensors")
        assert card is not None
        assert card.embedding == "layer2"
        with capture(open_network(result.run / "student.safetensors")) as tap:
            assert tap(torch.zeros(2, 3, 16, 16)).embedding.shape == (2, 16)

    def test_a_path_that_is_not_there(self) -> None:
        settings = {"teacher": "resnet8", "student": "resnet8", "allow_weak_teacher": True}
        with pytest.raises(UsageError, match=r"has no module 'layer9'.*layer"):
            ready(settings | {"teacher_embedding": "layer9"}, data())
        with pytest.raises(UsageError, match=r"has no module 'nix'"):
            ready({"model": "resnet8", "embedding": "nix"}, data())

    def test_in_python(self) -> None:
        student, teacher = create_model("resnet8", num_classes=3), create_model("resnet14", num_classes=3)
        objective = api.build_method("crd", student, teacher, num_samples=10, teacher_embedding="layer3")
        assert objective.terms["crd"].loss.embed(torch.zeros(2, 64), torch.zeros(2, 32))[0].shape[0] == 2


def test_the_moving_average_of_a_file(tmp_path: Path) -> None:
    raw, average = create_model("resnet8", num_classes=3), create_model("resnet8", num_classes=3)
    torch.save({"model": raw.state_dict(), "model_ema": average.state_dict()}, tmp_path / "a.pth")
    teacher = {"teacher": "resnet8", "teacher_weights": tmp_path / "a.pth", "student": "resnet8"}
    for flag, source in ((False, raw), (True, average)):
        settings = teacher | {"teacher_ema_weights": flag, "allow_weak_teacher": True}
        job, lines = ready(settings, data())
        assert torch.equal(unwrap(job.teacher).state_dict()["conv1.weight"], source.state_dict()["conv1.weight"])
        assert len([line for line in lines if "two sets of weights" in line]) == 1
    assert load_weights(raw, tmp_path / "a.pth", ema=True, say=lambda line: None) is raw


def test_finetune_lies_below_what_is_said() -> None:
    config = configure(TrainConfig, {"model": "resnet8", "out": "x", "finetune": True, "epochs": 3})
    assert (config.training.epochs, config.training.optimizer, config.training.schedule) == (3, "adamw", "cosine")
    assert (config.training.body_rate, config.training.weight_decay) == (0.1, 0.05)
    assert configure(TrainConfig, {"model": "resnet8", "out": "x"}).training.body_rate == 1


@pytest.mark.parametrize(
    ("settings", "more", "shape"),
    [
        ({"model": "timm:test_resnet.r160_in1k"}, {}, (3, 160, 160)),
        ({"model": "timm:test_resnet", "pretrained": True}, {"image_size": 32}, (3, 32, 32)),
        ({"model": "timm:test_resnet"}, {}, (3, 40, 48)),
        ({"student": "resnet8", "teacher": "timm:test_resnet.r160_in1k"}, {}, (3, 160, 160)),
    ],
)
def test_pictures_are_opened_in_the_frame_that_the_weights_state(
    tmp_path: Path, settings: dict[str, Any], more: dict[str, Any], shape: tuple[int, ...]
) -> None:
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                picture = Image.fromarray(generator.integers(0, 256, (40, 48, 3), dtype=np.uint8))
                picture.save(folder / f"{number}.png")
    kind = TrainConfig if "model" in settings else DistillConfig
    config = configure(kind, {"out": "x", "data": f"imagefolder:{tmp_path}"} | settings | more)
    opened = opened_data(config, Provided())
    assert opened.train.shape == shape
    assert opened.crop_fraction == (0.95 if shape[1] == 160 else 1)
