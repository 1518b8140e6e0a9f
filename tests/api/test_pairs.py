"""Whole runs in which the teacher sees something else than the student: what each is shown, kept and measured by."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_wine

import wcord
from wcord import api
from wcord.checks import UsageError
from wcord.data.config import DataConfig
from wcord.data.opening import open_data
from wcord.models.weights import read_card
from wcord.setup.job import data_settings
from wcord.training.config import DistillConfig, TrainConfig, configure

pytestmark = pytest.mark.slow
QUICK = {"epochs": 2, "lr": 0.1, "schedule": "cosine", "device": "cpu"}


def trained(out: Path, model: str, **settings: object) -> Path:
    api.start(configure(TrainConfig, {"model": model, "out": out, **QUICK, **settings}), say=lambda line: None)
    return out / "student.safetensors"


def distilled(out: Path, teacher: Path, model: str, student: str, **settings: object) -> api.Result:
    made = {"method": "wcord+kd", "set": ["wcord.num_negatives=64"], "out": out, **QUICK, **settings}
    if "data" not in settings:
        made["subset"] = 25.0  # of the digits
    return wcord.distill(model, student, teacher_weights=teacher, **made)


@pytest.fixture(scope="module")
def digits_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("digits") / "teacher", "resnet8", epochs=4)


@pytest.fixture(scope="module")
def blurred(digits_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Result:
    out = tmp_path_factory.mktemp("blurred") / "run"
    return distilled(out, digits_teacher, "resnet8", "resnet8", student_view="resize=4")


def test_a_teacher_sees_what_it_was_trained_on_whatever_the_student_sees(
    blurred: api.Result, digits_teacher: Path
) -> None:
    assert blurred.record is not None
    assert blurred.record.teacher_metrics is not None
    alone = wcord.evaluate(weights=digits_teacher, device="cpu")
    assert blurred.record.teacher_metrics["top1"] == pytest.approx(alone["top1"])
    assert "the student sees resize=4, 1×4×4 pixels, the teacher 1×8×8 pixels" in blurred.record.notes
    assert blurred.record.cost["student"]["macs"] < blurred.record.cost["teacher"]["macs"] / 3


def test_a_student_carries_its_view(blurred: api.Result, tmp_path: Path) -> None:
    weights = blurred.run / "student.safetensors"
    card = read_card(weights)
    assert card is not None
    assert (card.view, card.record_shape, card.image_size) == ("resize=4", (1, 8, 8), (4, 4))
    assert blurred.record is not None
    assert wcord.evaluate(weights=weights, device="cpu")["top1"] == pytest.approx(blurred.record.metrics["top1_last"])
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (guess,) = api.predict_files(weights, [tmp_path / "a.png"], top=10, device="cpu")
    seen = torch.nn.functional.interpolate(
        torch.from_numpy(pixels)[None, None].float() / 255, (4, 4), mode="bilinear", antialias=True
    )
    with torch.no_grad():
        expected = blurred.student.eval()(seen).softmax(1)[0].sort(descending=True).values
    assert guess.probabilities == pytest.approx(expected.tolist(), abs=1e-5)


def test_one_view_of_both_is_one_input(digits_teacher: Path, tmp_path: Path) -> None:
    small = trained(tmp_path / "teacher", "resnet8", view="resize=4")
    result = distilled(tmp_path / "run", small, "resnet8", "resnet8", student_view="resize=4", epochs=1)
    assert result.record is not None
    assert result.record.cost["teacher"]["macs"] == result.record.cost["student"]["macs"]


def test_fewer_columns_than_the_teacher(tmp_path: Path) -> None:
    teacher = trained(tmp_path / "teacher", "mlp16x1", data="sklearn:wine", epochs=10)
    columns = ["alcohol", "hue"]
    result = distilled(
        tmp_path / "run", teacher, "mlp16x1", "mlp8x1", data="sklearn:wine", student_input=columns, method="wcord+kd"
    )
    card = read_card(result.run / "student.safetensors")
    assert card is not None
    assert card.columns == tuple(columns)
    assert card.in_channels == 2
    assert result.record is not None
    values = wcord.evaluate(weights=result.run / "student.safetensors", data="sklearn:wine", device="cpu")
    assert values["top1"] == pytest.approx(result.record.metrics["top1_last"])
    assert result.record.teacher_metrics is not None
    alone = wcord.evaluate(weights=teacher, data="sklearn:wine", device="cpu")
    assert result.record.teacher_metrics["top1"] == pytest.approx(alone["top1"])
    load_wine(as_frame=True).frame.iloc[[0, 70]].to_csv(tmp_path / "new.csv", index=False)
    guesses = api.predict_files(result.run / "student.safetensors", [tmp_path / "new.csv"], device="cpu")
    assert [guess.record.partition(", ")[2] for guess in guesses] == ["row 1", "row 2"]
    assert {name for guess in guesses for name in guess.classes} == {"class_0", "class_1", "class_2"}


def test_later_visits_are_the_teachers_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"who": s, "visit": v, "x": (s % 2) * v + rng.normal(), "label": "ab"[s % 2]}
        for s in range(60)
        for v in range(1, 2 + s % 3)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    table = {"data": f"table:{tmp_path / 't.csv'}", "visits_of": "who", "order_by": "visit"}
    teacher = trained(tmp_path / "teacher", "mlp16x1", epochs=10, **table)
    result = distilled(
        tmp_path / "run", teacher, "mlp16x1", "mlp16x1", student_view="visits=1", allow_weak_teacher=True, **table
    )
    assert result.record is not None
    assert all(np.isfinite(value) for value in result.record.epochs[-1]["parts"].values())
    assert "the student sees 1 columns, the teacher 1 columns of 3 visits" in result.record.notes
    student, taught = (read_card(path) for path in (result.run / "student.safetensors", teacher))
    assert student is not None
    assert taught is not None
    assert (student.image_size, taught.image_size) == ((1, 1), (3, 1))
    # A row is one visit, which is all that the student sees; the teacher would want them by subject.
    assert len(api.predict_files(result.run / "student.safetensors", [tmp_path / "t.csv"], device="cpu")) == len(rows)
    with pytest.raises(UsageError, match="several visits"):
        api.predict_files(teacher, [tmp_path / "t.csv"], device="cpu")


def test_pairs_by_label_measure_the_teacher_on_its_own_data(digits_teacher: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 10
    images = np.clip(labels[:, None, None] * 25 + rng.integers(0, 20, (60, 6, 6)), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "other.npz", x_train=images, y_train=labels)
    result = distilled(
        tmp_path / "run", digits_teacher, "resnet8", "resnet8", data=f"npz:{tmp_path / 'other.npz'}",
        teacher_data="digits", pair_by="label",
    )  # fmt: skip
    record = result.record
    assert record is not None
    assert record.teacher_metrics is not None
    alone = wcord.evaluate(weights=digits_teacher, device="cpu")
    assert record.teacher_metrics["top1"] == pytest.approx(alone["top1"])
    assert "cka" not in record.metrics  # other samples cannot be compared one by one
    assert any("paired by label" in note for note in record.notes)


def test_mistakes_are_told_before_a_folder_is_made(digits_teacher: Path, tmp_path: Path) -> None:
    for settings, message in [
        ({"student_view": "resiz=4"}, "unknown view 'resiz': did you mean 'resize'"),
        ({"student_view": "lab-ab"}, "view 'lab-ab' needs color images, received 1 channel"),
        ({"teacher_view": "crop=9"}, "view 'crop=9' is larger than the images, 8×8"),
        ({"pair_by": "stem", "teacher_data": "digits", "teacher_view": "edges"}, "cannot be paired by stem"),
    ]:
        with pytest.raises(UsageError, match=message):
            distilled(tmp_path / "run", digits_teacher, "resnet8", "resnet8", **settings)
        assert not (tmp_path / "run").exists()


def test_a_stopped_run_of_pairs_goes_on_as_if_it_had_not_been(digits_teacher: Path, tmp_path: Path) -> None:
    settings = {"student_view": "resize=4", "pair_augment": "separate", "method": "wcord+kd"}
    whole = distilled(tmp_path / "whole", digits_teacher, "resnet8", "resnet8", **settings)
    stopped = distilled(tmp_path / "run", digits_teacher, "resnet8", "resnet8", **settings, max_time=1e-9)
    assert stopped.outcome.status == "stopped"
    resumed = api.resume(tmp_path / "run", say=lambda line: None, device="cpu", max_time=60.0)
    first, second = (one.student.state_dict() for one in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_teachers_cache_knows_what_it_sees(digits_teacher: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    common = {"method": "kd", "set": [], "epochs": 1}
    runs = {
        name: distilled(tmp_path / name, digits_teacher, "resnet8", "resnet8", **common, **settings)
        for name, settings in {
            "bare": {"student_view": "resize=4"},
            "filled": {"student_view": "resize=4", "teacher_cache": cache},
            "read": {"student_view": "resize=4", "teacher_cache": cache},
            "other": {
                "student_view": "resize=4",
                "teacher_view": "edges",
                "teacher_cache": cache,
                "allow_weak_teacher": True,
            },
        }.items()
    }
    states = {name: run.student.state_dict() for name, run in runs.items()}
    for name in ("filled", "read"):
        assert all(torch.equal(states["bare"][key], states[name][key]) for key in states["bare"])
    assert not torch.equal(states["bare"]["backbone.fc.weight"], states["other"]["backbone.fc.weight"])
    assert len([folder for folder in cache.iterdir() if folder.is_dir()]) == 2


def test_a_student_of_the_same_view_shares_the_teachers_input(tmp_path: Path) -> None:
    teacher = trained(tmp_path / "teacher", "mlp8x1", data="sklearn:wine", epochs=1)
    config = DistillConfig(
        teacher="mlp8x1", teacher_weights=teacher, student="mlp8x1", out=tmp_path, data=DataConfig(data="sklearn:wine")
    )
    assert open_data(*data_settings(config)).teacher is None


def test_settings_of_data_are_refused_beside_data_that_are_given(digits_teacher: Path, tmp_path: Path) -> None:
    data = open_data(DataConfig())
    with pytest.raises(UsageError, match=r"teacher_view applies only when data are opened by name: .*data\.beside"):
        distilled(tmp_path / "run", digits_teacher, "resnet8", "resnet8", data=data, teacher_view="resize=4")
    result = distilled(
        tmp_path / "run", digits_teacher, "resnet8", "resnet8", data=data.through("resize=4").beside(data), epochs=1
    )
    assert result.record is not None
    assert "the student sees resize=4, 1×4×4 pixels, the teacher 1×8×8 pixels" in result.record.notes
