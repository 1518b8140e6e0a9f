"""Several labels a sample, from arrays to a page: trained, distilled, measured, predicted, and refused where not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wcord import api
from wcord.checks import UsageError
from wcord.cli import main

pytestmark = pytest.mark.pages

NETWORK = ["--student", "resnet8", "--teacher", "resnet8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose four pairs of rows are bright where the sample has the label, and a teacher trained on them."""
    place = tmp_path_factory.mktemp("several")
    rng = np.random.default_rng(0)
    marks = (rng.random((240, 4)) < 0.4).astype(np.int64)
    bright = np.repeat(marks, 2, axis=1)[:, None, :, None] * 0.6
    images = (bright + 0.3 * rng.random((240, 1, 8, 8))).astype(np.float32)
    np.savez(place / "marks.npz", x_train=images[:160], y_train=marks[:160], x_test=images[160:], y_test=marks[160:])
    for name, row in (("none", np.flatnonzero(marks.sum(1) == 0)[0]), ("some", np.flatnonzero(marks.sum(1) == 2)[0])):
        Image.fromarray((255 * images[row, 0]).astype(np.uint8)).save(place / f"{name}.png")
    assert main(["train", "--model", "resnet8", *data(place), "--lr", "0.1", "--out", str(place / "teacher")]) == 0
    return place


def data(place: Path) -> list[str]:
    return ["--data", f"npz:{place}/marks.npz", "--epochs", "3", "--batch-size", "32", "--device", "cpu"]


def distill(place: Path, out: Path, *more: str) -> int:
    weights = ["--teacher-weights", str(place / "teacher" / "student.safetensors")]
    return main(["distill", *NETWORK, *weights, *data(place), "--out", str(out), *more])


@pytest.mark.parametrize(
    "more",
    [
        ["--method", "kd"],
        ["--method", "wcord+kd", "--set", "wcord.num_negatives=16", "--mixup", "0.2", "--label-smoothing", "0.1"],
        ["--method", "crd+kd", "--set", "crd.negatives=uniform", "crd.num_negatives=16"],
        ["--method", "rkd+kd", "--gradient-accumulation-steps", "2", "--lr", "0.1"],
    ],
)
def test_it_learns_and_is_recorded(
    folder: Path, tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill(folder, tmp_path / "run", *more) == 0
    told = capsys.readouterr()
    assert "teacher resnet8: mAP " in told.err
    assert "% of labels  test mAP " in told.err
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    assert record["metrics"]["map_last"] > 55  # chance: the share of samples with a label, 40 %
    assert record["metrics"]["map_best"] >= record["metrics"]["map_last"]
    assert {"macro_f1", "micro_f1", "nll", "cka"} <= record["metrics"].keys()
    assert not {"top1_last", "agreement", "fidelity_kl"} & record["metrics"].keys()
    assert record["teacher_metrics"]["map"] > 60
    page = (tmp_path / "run" / "report.html").read_text()
    assert "reaches a mean average precision of" in page
    assert "macro-F1, %" in page
    assert "top-1 last" not in page


def test_evaluate_and_predict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = folder / "teacher" / "student.safetensors"
    values = api.evaluate(weights=weights, data=f"npz:{folder}/marks.npz")
    record = json.loads((folder / "teacher" / "record.json").read_text())
    assert values["map"] == pytest.approx(record["metrics"]["map_last"])
    some, none = api.predict_files(weights, [folder / "some.png", folder / "none.png"])
    assert all(probability >= 0.5 for guess in (some, none) for probability in guess.probabilities)
    assert len(some.classes) >= 1
    assert len(none.classes) < len(some.classes)
    capsys.readouterr()
    assert main(["predict", str(folder / "some.png"), "--weights", str(weights)]) == 0
    assert some.classes[0] in capsys.readouterr().out


@pytest.mark.parametrize("method", ["dkd", "lskd", "dist", "ttm", "wttm", "wkd-l", "simkd", "crd", "wcord+dkd"])
def test_methods_for_one_class_a_sample_are_refused(
    folder: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill(folder, tmp_path / "run", "--method", method) == 2
    assert "but samples here have several labels: use ce, kd, or a method on features" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--class-weights", "balanced"], "--class-weights is for one class a sample"),
        (["--merge", "a=0+1"], "--merge is for one class a sample"),
        (["--subset", "5"], "--subset 5 is images of each class"),
        (["--teacher-view", "resize=8"], "an input of the teacher's own is for one class a sample"),
    ],
)
def test_settings_for_one_class_a_sample_are_refused(
    folder: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distill(folder, tmp_path / "run", "--method", "kd", *more) == 2
    assert message in capsys.readouterr().err


def test_a_probe_is_refused(folder: Path) -> None:
    settings: dict[str, Any] = {"data": f"npz:{folder}/marks.npz"}
    with pytest.raises(UsageError, match="wcord probe is for one class a sample"):
        api.probe(folder / "teacher" / "student.safetensors", **settings)


def test_an_export_says_how_its_logits_are_read(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "student.pt2"
    assert main(["export", str(folder / "teacher"), "--format", "torch", "--out", str(target)]) == 0
    told = (tmp_path / "student.pt2.md").read_text()
    assert "| mAP, last epoch | " in told
    assert "probabilities = 1 / (1 + np.exp(-logits))" in told
    assert "nan" not in told
