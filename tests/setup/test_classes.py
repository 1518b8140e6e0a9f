"""A teacher of other classes: its logits summed into the student's, put in their order, or refused."""

import dataclasses
import re
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import wcord
from wcord import api
from wcord.checks import DoesNotFitError, UsageError
from wcord.data.config import DataConfig
from wcord.data.labels import match_classes, observed_map, read_map
from wcord.data.opening import from_arrays, open_data
from wcord.data.split import ViewedSplit
from wcord.data.view import View
from wcord.models.network import merge_logits
from wcord.report.html import write_run_report
from wcord.setup.job import Provided, prepare
from wcord.training.config import DistillConfig, TrainConfig, configure

FINE, COARSE = ("ant", "bee", "cat", "dog"), ("insect", "mammal")


@given(st.lists(st.floats(-300, 300), min_size=4, max_size=4))
def test_probabilities_of_the_parts_add_up(values: list[float]) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    merge = torch.tensor([0, 1, 0, 1])
    merged = merge_logits(logits, merge, 2)
    fine = logits.softmax(1)[0]
    assert merged.softmax(1)[0].tolist() == pytest.approx(
        [float(fine[0] + fine[2]), float(fine[1] + fine[3])], abs=1e-9
    )
    assert merged.isfinite().all()


def test_maps_of_classes(tmp_path: Path) -> None:
    assert match_classes(FINE, FINE[::-1]) is not None
    assert match_classes(("a", "a"), ("a", "b")) is None
    theirs, own = torch.tensor([0, 1, 2, 3, 0]), torch.tensor([0, 0, 1, 1, 0])
    assert observed_map(theirs, own, FINE, COARSE).tolist() == [0, 0, 1, 1]
    file = tmp_path / "map.csv"
    file.write_text("ant,insect\nbee,insect\n\ncat,mammal\ndog,mammal\n")
    assert read_map(file, FINE, COARSE).tolist() == [0, 0, 1, 1]
    with pytest.raises(
        UsageError, match="1 of the teacher's classes belong to several of the student's: 'ant' to insect, mammal"
    ):
        observed_map(torch.tensor([0, 0]), torch.tensor([0, 1]), FINE, COARSE)
    with pytest.raises(UsageError, match="2 of the teacher's classes have no class of the student: 'cat'"):
        observed_map(theirs[:2], own[:2], FINE, COARSE)
    with pytest.raises(UsageError, match="1 of the student's classes have no class of the teacher: 'fish'"):
        observed_map(theirs, own, FINE, (*COARSE, "fish"))
    for text, message in [
        ("ant,insect,x", "line 1: must be teacher's class,student's class"),
        ("ant,insect\nant,mammal", "line 2: class 'ant' has a line already"),
        ("ent,insect", "unknown class of the teacher in the label map 'ent': did you mean 'ant'"),
        ("ant,insekt", "unknown class of the student in the label map 'insekt': did you mean 'insect'"),
    ]:
        file.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_map(file, FINE, COARSE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a table with two labels a picture: digits, and whether they are below five."""
    import datasets
    from PIL import Image
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("two_labels")
    digits = load_digits()
    pictures = [Image.fromarray((image * 15.9375).astype(np.uint8)) for image in digits.images]
    fine = [int(target) for target in digits.target]
    kinds = datasets.Features(
        image=datasets.Image(),
        fine=datasets.ClassLabel(names=[f"d{number}" for number in range(10)]),
        coarse=datasets.ClassLabel(names=["low", "high"]),
    )
    for split, rows in (("train", slice(0, 900)), ("test", slice(900, 1200))):
        columns = {"image": pictures[rows], "fine": fine[rows], "coarse": [value // 5 for value in fine[rows]]}
        datasets.Dataset.from_dict(columns, features=kinds).to_parquet(root / f"{split}.parquet")
    return root


@pytest.fixture(scope="module")
def teachers(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for label in ("fine", "coarse"):
        out = tmp_path_factory.mktemp(label) / "run"
        settings = {"model": "resnet8", "data": f"parquet:{folder}", "label": label, "out": out, "augment": "shift",
                    "epochs": 6, "lr": 0.1, "schedule": "cosine", "device": "cpu"}  # fmt: skip
        api.start(configure(TrainConfig, settings), say=lambda line: None)
        found[label] = out / "student.safetensors"
    return found


def distilled(folder: Path, out: Path, teacher: Path, **settings: object) -> api.Result:
    made = {"epochs": 1, "lr": 0.1, "device": "cpu", "set": [], "out": out, "data": f"parquet:{folder}", **settings}
    return wcord.distill("resnet8", "resnet8", teacher_weights=teacher, **made)


def test_fine_classes_are_summed_into_coarse_ones(folder: Path, teachers: dict[str, Path], tmp_path: Path) -> None:
    labels = {"label": "coarse", "teacher_label": "fine", "label_map": "observed"}
    result = distilled(folder, tmp_path / "run", teachers["fine"], method="kd", **labels)
    record = result.record
    assert record is not None
    assert record.teacher_metrics is not None
    assert record.teacher_metrics["top1"] > 80  # of two classes
    assert record.metrics["agreement"] > 50
    assert "the teacher's 10 classes are merged into the 2 of the data" in record.notes


def test_without_a_map_features_are_left(folder: Path, teachers: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"kd compares logits, but the teacher has 10 classes and the student 2: .*--label-map"
    ):
        distilled(folder, tmp_path / "no", teachers["fine"], label="coarse", teacher_label="fine", method="wcord+kd")
    for label, other in (("coarse", "fine"), ("fine", "coarse")):
        result = distilled(
            folder, tmp_path / label, teachers[other], label=label, teacher_label=other, method="wcord",
            set=["wcord.num_negatives=64"],
        )  # fmt: skip
        record = result.record
        assert record is not None
        assert record.teacher_metrics is not None
        assert record.teacher_metrics["top1"] > 60  # by its own labels
        assert 0 < record.metrics["cka"] < 1
    reverse = {"label": "fine", "teacher_label": "coarse", "label_map": "observed"}
    message = "2 of the teacher's classes belong to several of the student's: 'low' to d0, d1, d2"
    with pytest.raises(UsageError, match=message):
        distilled(folder, tmp_path / "no", teachers["coarse"], method="kd", **reverse)
    with pytest.raises(UsageError, match="--label-map observed needs both labels of each sample: give --teacher-label"):
        distilled(folder, tmp_path / "no", teachers["fine"], label="coarse", label_map="observed", method="kd")


def test_classes_in_another_order_are_put_in_order(teachers: dict[str, Path], tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = tuple(f"d{number}" for number in range(9, -1, -1))
    images = (digits.images * 15.9375).astype(np.uint8)[900:1200, :, :]
    turned = from_arrays(images, 9 - digits.target[900:1200], classes=names)
    result = wcord.distill(
        "resnet8", "resnet8", teacher_weights=teachers["fine"], data=turned, out=tmp_path / "run",
        method="kd", epochs=1, lr=0.1, device="cpu",
    )  # fmt: skip
    record = result.record
    assert record is not None
    assert record.teacher_metrics is not None
    assert record.teacher_metrics["top1"] > 60
    assert any("in another order" in note for note in record.notes)


def test_a_teacher_is_measured_by_its_own_order_of_the_classes(
    folder: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """The student's data name the classes in another order than the folders that the teacher sees."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * 15.9375).astype(np.uint8)
    for i in range(900, 1200):
        path = tmp_path / "pictures" / ("train" if i < 1100 else "test") / f"d{digits.target[i]}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(path)
    names = tuple(f"d{number}" for number in range(9, -1, -1))
    seen = open_data(DataConfig(data=f"imagefolder:{tmp_path / 'pictures'}"))
    assert seen.classes == names[::-1]
    turned = dataclasses.replace(
        seen,
        train=ViewedSplit(seen.train, View(), 9 - seen.train.targets),
        test=ViewedSplit(seen.test, View(), 9 - seen.test.targets),
        classes=names,
    ).beside(seen)
    result = wcord.distill(
        "resnet8", "resnet8", teacher_weights=teachers["fine"], data=turned, out=tmp_path / "run",
        method="wcord+kd", set=["wcord.num_negatives=64"], epochs=1, lr=0.1, device="cpu",
    )  # fmt: skip
    assert result.record is not None
    assert result.record.teacher_metrics is not None
    assert result.record.teacher_metrics["top1"] > 60
    # Its classifier still has its own order, so what reads that is refused.
    for method in ("simkd", "wkd-l"):
        with pytest.raises(DoesNotFitError, match=f"{method} reads the teacher's classifier"):
            wcord.distill(
                "resnet8", "resnet8", teacher_weights=teachers["fine"], data=turned, out=tmp_path / "no",
                method=method, epochs=1, device="cpu",
            )  # fmt: skip


def test_as_many_classes_of_other_names_are_not_the_same(teachers: dict[str, Path], tmp_path: Path) -> None:
    images, numbers = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 10
    others = from_arrays(images, numbers, classes=tuple("abcdefghij"))
    asked = {"teacher_weights": teachers["fine"], "out": tmp_path / "no", "epochs": 1, "device": "cpu",
             "allow_weak_teacher": True}  # fmt: skip
    with pytest.raises(DoesNotFitError, match="kd compares logits, but the teacher's labels are not the student's"):
        wcord.distill("resnet8", "resnet8", data=others, method="kd", **asked)
    unnamed = from_arrays(images, numbers)
    wcord.distill("resnet8", "resnet8", data=unnamed, method="kd", **{**asked, "out": tmp_path / "numbers"})


def test_no_labels_at_all(folder: Path, teachers: dict[str, Path], tmp_path: Path) -> None:
    import datasets

    bare = tmp_path / "bare"
    bare.mkdir()
    for split in ("train", "test"):
        table = cast("datasets.Dataset", datasets.Dataset.from_parquet(str(folder / f"{split}.parquet")))
        table.remove_columns(["fine", "coarse"]).to_parquet(bare / f"{split}.parquet")
    settings = {"data": f"parquet:{bare}", "no_labels": True, "augment": "shift", "epochs": 3}
    result = distilled(folder, tmp_path / "run", teachers["fine"], method="kd", **settings)
    record = result.record
    assert record is not None
    assert set(record.epochs[-1]["parts"]) == {"kd"}
    assert record.metrics["top1_last"] == pytest.approx(record.metrics["agreement"])
    assert record.metrics["top1_last"] > 30
    assert any("no labels" in note for note in record.notes)
    values = wcord.evaluate(
        weights=result.run / "student.safetensors", data=f"parquet:{folder}", label="fine", device="cpu"
    )
    assert values["top1"] > 30
    short = settings | {"epochs": 1, "set": ["wcord.num_negatives=64"]}
    result = distilled(folder, tmp_path / "features", teachers["fine"], method="wcord", **short)
    assert result.record is not None
    assert set(result.record.epochs[-1]["parts"]) == {"gckt", "lckt"}
    with pytest.raises(UsageError, match="method 'ce' learns from labels, but there are none"):
        distilled(folder, tmp_path / "no", teachers["fine"], method="ce", **settings)
    made = {"model": "resnet8", "data": f"parquet:{bare}", "no_labels": True, "out": tmp_path / "no", "epochs": 1}
    config = configure(TrainConfig, made)
    with pytest.raises(UsageError, match="trained on labels alone: leave out --no-labels"):
        api.start(config)


def test_without_the_teachers_test_samples_the_student_alone_is_measured(
    folder: Path, teachers: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in use: what the teacher sees, or is asked, is known of the training samples and never again."""
    import datasets

    for split in ("train", "test"):
        table = datasets.Dataset.from_parquet(str(folder / f"{split}.parquet"))
        assert isinstance(table, datasets.Dataset)
        table = table.remove_columns("fine") if split == "test" else table
        table.to_parquet(tmp_path / "set" / f"{split}.parquet")
    labels = {"label": "coarse", "teacher_label": "fine", "label_map": "observed"}
    result = distilled(tmp_path / "set", tmp_path / "run", teachers["fine"], method="wcord+kd", **labels,
                       set=["wcord.num_negatives=64"])  # fmt: skip
    assert re.search(r"teacher resnet8: \d+\.\d+ % on \d+ samples of the training data", capsys.readouterr().out)
    record = result.record
    assert record is not None
    assert record.teacher_metrics is None
    assert record.metrics["top1_last"] > 50
    assert not {"agreement", "cka", "critic_information_nats"} & set(record.metrics)
    assert any(note.startswith("the teacher sees none of the test samples") for note in record.notes)
    assert write_run_report(result.run).stat().st_size > 1000
    pictures = np.zeros((20, 8, 8), np.uint8)
    np.savez(tmp_path / "s.npz", x_train=pictures, x_test=pictures)
    np.savez(tmp_path / "t.npz", x_train=pictures)
    bare = {"data": f"npz:{tmp_path / 's.npz'}", "teacher_data": f"npz:{tmp_path / 't.npz'}", "no_labels": True}
    with pytest.raises(
        UsageError, match=r"--no-labels takes the teacher's answers on the test samples as labels, and it sees none"
    ):
        distilled(tmp_path / "set", tmp_path / "no", teachers["fine"], method="kd", **bare)


def test_unlabelled_sources(tmp_path: Path) -> None:
    import pandas as pd
    from PIL import Image

    for i in range(10):
        path = tmp_path / "pictures" / ("deep" if i % 2 else ".") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, i, i)).save(path)
    np.savez(tmp_path / "x.npz", x_train=np.zeros((10, 8, 8), np.uint8))
    pd.DataFrame({"a": range(10), "b": range(10)}).to_csv(tmp_path / "t.csv", index=False)
    for source in (
        f"imagefolder:{tmp_path / 'pictures'}",
        f"npz:{tmp_path / 'x.npz'}",
        f"table:{tmp_path / 't.csv'}",
        "digits",
    ):
        data = open_data(DataConfig(data=source, no_labels=True))
        assert data.classes == ()
        assert len(data.train) + len(data.test) >= 10
        assert not data.train.targets.any()
    assert open_data(DataConfig(data=f"table:{tmp_path / 't.csv'}", no_labels=True)).train.shape == (2, 1, 1)


def test_unlike_questions_are_not_the_same_labels_whatever_their_names(tmp_path: Path) -> None:
    import datasets
    from PIL import Image

    draw = np.random.default_rng(0)
    ill, old = draw.integers(0, 2, 80), draw.integers(0, 2, 80)
    pictures = [Image.fromarray(np.full((8, 8), 100 * a + 100 * b, np.uint8)) for a, b in zip(ill, old, strict=True)]
    kinds = datasets.Features(
        image=datasets.Image(),
        ill=datasets.ClassLabel(names=["no", "yes"]),
        old=datasets.ClassLabel(names=["yes", "no"]),
        agreed=datasets.ClassLabel(names=["yes", "no"]),
        first=datasets.Value("int64"),
        second=datasets.Value("int64"),
    )
    columns = {"image": pictures, "ill": ill, "old": old, "agreed": 1 - ill, "first": ill, "second": 1 + old}
    datasets.Dataset.from_dict(columns, features=kinds).to_parquet(tmp_path / "set" / "train.parquet")

    def same(label: str, teacher_label: str) -> bool:
        data = f"parquet:{tmp_path / 'set'}"
        settings = {"data": data, "epochs": 1, "device": "cpu"}
        out = tmp_path / teacher_label
        trained = configure(TrainConfig, {**settings, "model": "resnet8", "label": teacher_label, "out": out})
        api.start(trained, say=lambda line: None)
        config = configure(
            DistillConfig,
            {**settings, "teacher": "resnet8", "student": "resnet8", "teacher_weights": out / "student.safetensors",
             "out": tmp_path / "s", "method": "wcord", "label": label, "teacher_label": teacher_label,
             "allow_weak_teacher": True, "set": ["wcord.num_negatives=8"]},
        )  # fmt: skip
        job = prepare(config, Provided(), lambda line: None)
        # The teacher is measured by what it was asked.
        assert job.same_labels == torch.equal(job.data.train.targets, job.data.of_teacher.train.targets)
        return job.same_labels

    assert same("ill", "agreed")
    assert not same("ill", "old")
    assert not same("first", "second")


def test_a_map_is_observed_wherever_both_labels_are_known(teachers: dict[str, Path], tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * 15.9375).astype(np.uint8)
    names = np.array([f"d{target}" for target in digits.target])
    fine = from_arrays(images[:400], names[:400], images[400:600], names[400:600])
    coarse = from_arrays(images[:400], digits.target[:400] // 5, images[400:600], digits.target[400:600] // 5)
    result = wcord.distill(
        "resnet8", "resnet8", teacher_weights=teachers["fine"], data=coarse.beside(fine), label_map="observed",
        method="kd", out=tmp_path / "run", epochs=1, device="cpu",
    )  # fmt: skip
    assert result.record is not None
    assert "the teacher's 10 classes are merged into the 2 of the data" in result.record.notes


def test_a_teacher_without_names_has_the_order_of_its_own_data(tmp_path: Path) -> None:
    """Text sorts "10" before "2", numbers do not; logits of a bare file are in the order of the teacher's data."""
    from PIL import Image

    labels = np.arange(36) % 12
    pixels = np.broadcast_to((labels * 20)[:, None, None], (36, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "t.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    for split in ("train", "test"):
        for i, label in enumerate(labels):
            folder = tmp_path / "s" / split / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[i]).save(folder / f"{i}.png")
    torch.save(wcord.create_model("resnet8", num_classes=12, in_channels=1).state_dict(), tmp_path / "bare.pth")
    config = configure(
        DistillConfig,
        {"teacher": "resnet8", "teacher_weights": tmp_path / "bare.pth", "student": "resnet8", "method": "kd",
         "data": f"imagefolder:{tmp_path / 's'}", "teacher_data": f"npz:{tmp_path / 't.npz'}", "pair_by": "label",
             "class_order": "name", "allow_weak_teacher": True, "out": tmp_path / "run", "device": "cpu"},
    )  # fmt: skip
    job = prepare(config, Provided(), lambda line: None)
    assert job.data.classes[:3] == ("0", "1", "10")
    assert job.teacher is not None
    picture = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        seen, bare = job.teacher.eval()(picture)[0], job.teacher.backbone(job.teacher.preprocess(picture))[0]
    assert torch.allclose(seen, bare[[int(name) for name in job.data.classes]], atol=1e-5)
