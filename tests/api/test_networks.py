"""Trained networks are measured by the names of their classes, on what was held out from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import wcord
from wcord import api
from wcord.checks import UsageError
from wcord.cli import main
from wcord.data.config import DataConfig
from wcord.data.opening import from_arrays, open_data
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import open_network, read_card, save_weights
from wcord.setup.as_trained import open_as_trained, teacher_data_as_trained
from wcord.setup.job import Provided, prepare
from wcord.training.config import DistillConfig, TrainConfig, configure

QUICK = {"epochs": 15, "lr": 0.02, "batch_size": 16, "schedule": "cosine", "device": "cpu"}


def trained(out: Path, **settings: Any) -> Path:
    api.start(configure(TrainConfig, {"model": "mlp16x1", "out": out, **QUICK, **settings}), say=lambda line: None)
    return out / "student.safetensors"


def distilled(out: Path, teacher: Path, **settings: Any) -> api.Result:
    given = {"teacher": "mlp16x1", "teacher_weights": teacher, "student": "mlp16x1", "method": "kd", "out": out}
    return api.start(configure(DistillConfig, {**given, **QUICK, **settings}), say=lambda line: None)


def iris() -> pd.DataFrame:
    from sklearn.datasets import load_iris

    held: Any = load_iris(as_frame=True)
    return held.frame.assign(target=[str(held.target_names[number]) for number in held.target])


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("flowers") / "run", data="sklearn:iris")


def test_a_table_with_fewer_or_other_classes_is_measured_by_name(flowers: Path, tmp_path: Path) -> None:
    whole = wcord.evaluate(weights=flowers, data="sklearn:iris", device="cpu")["top1"]
    assert whole > 85
    iris().query("target != 'setosa'").to_csv(tmp_path / "two.csv", index=False)
    two = wcord.evaluate(weights=flowers, data=f"table:{tmp_path / 'two.csv'}", device="cpu")["top1"]
    assert two > 75
    iris().replace({"setosa": "rose"}).to_csv(tmp_path / "strange.csv", index=False)
    strange = f"table:{tmp_path / 'strange.csv'}"
    with pytest.raises(UsageError, match="unknown class 'rose'"):
        wcord.evaluate(weights=flowers, data=strange, device="cpu")
    # Sorted, 'rose' comes first, where 'setosa' was.
    assert wcord.evaluate(weights=flowers, data=strange, classes_by_number=True, device="cpu")["top1"] > 75
    assert main(["evaluate", "--weights", str(flowers), "--data", strange, "--classes-by-number"]) == 0


def test_a_file_of_one_class_is_measured_and_probed_in_vain(flowers: Path, tmp_path: Path) -> None:
    frame = iris()
    frame[frame["target"] == frame["target"].iloc[-1]].to_csv(tmp_path / "one.csv", index=False)
    place = f"table:{tmp_path / 'one.csv'}"
    assert 0 <= api.evaluate(weights=flowers, data=place)["top1"] <= 100
    with pytest.raises(UsageError, match="at least 2 classes, the data has 1"):
        api.probe(flowers, data=place)
    with pytest.raises(UsageError, match="at least 2 classes, the data has 1"):
        open_data(DataConfig(data=place))


def test_a_network_that_is_gone_on_with_knows_its_new_classes(flowers: Path, tmp_path: Path) -> None:
    iris().replace({"setosa": "z", "versicolor": "y", "virginica": "x"}).to_csv(tmp_path / "t.csv", index=False)
    on = trained(tmp_path / "run", data=f"table:{tmp_path / 't.csv'}", weights=flowers)
    card = read_card(on)
    assert card is not None
    assert card.classes == ("x", "y", "z")


def test_a_teacher_of_what_the_test_file_lacks_is_measured_on_what_was_held_out(tmp_path: Path) -> None:
    frame = iris().sample(frac=1, random_state=0)
    (tmp_path / "set").mkdir()
    frame.head(100).to_csv(tmp_path / "set" / "train.csv", index=False)
    frame.tail(50).drop(columns="petal width (cm)").to_csv(tmp_path / "set" / "test.csv", index=False)
    data = f"table:{tmp_path / 'set'}"
    run = tmp_path / "run"
    weights = trained(run, data=data, holdout=0.25, input=("petal width (cm)", "petal length (cm)"))
    reached = json.loads((run / "record.json").read_text())["metrics"]["top1_last"]
    assert wcord.evaluate(weights=weights, data=data, device="cpu")["top1"] == pytest.approx(reached)
    # What the test file has is measured on the test file, whatever was held out in training.
    cheap = trained(tmp_path / "cheap", data=data, holdout=0.25, input=("sepal width (cm)", "sepal length (cm)"))
    assert [len(open_as_trained(DataConfig(data=data), each).test) for each in (weights, cheap)] == [25, 50]


def test_the_samples_that_were_held_out_are_those_that_are_measured(tmp_path: Path) -> None:
    weights = trained(tmp_path / "run", data="sklearn:breast_cancer", split_seed=5, epochs=3)
    card = read_card(weights)
    assert card is not None
    cut = dict(card.extra["cut"])
    assert len(cut.pop("held_out")) == 16
    assert cut == {"split_seed": 5, "holdout": 0.0, "group_by": None, "samples": 569}
    measured = wcord.evaluate(weights=weights, data="sklearn:breast_cancer", device="cpu")["top1"]
    assert measured == pytest.approx(card.extra["top1_last"])
    # What is asked for is done, and another data set is split as ever.
    other = wcord.evaluate(weights=weights, data="sklearn:breast_cancer", split_seed=6, device="cpu")["top1"]
    assert other != measured
    student = distilled(tmp_path / "student", weights, data="sklearn:breast_cancer", epochs=1)
    assert student.record is not None
    note = "the teacher was trained on another split of these data (group_by = None, holdout = 0.0, split_seed = 5)"
    assert any(told.startswith(note) for told in student.record.notes)
    same = distilled(tmp_path / "same", weights, data="sklearn:breast_cancer", split_seed=5, epochs=1)
    assert same.record is not None
    assert not any("another split" in told for told in same.record.notes)


def test_samples_that_other_labels_held_out_are_not_measured_unasked(tmp_path: Path) -> None:
    weights = trained(tmp_path / "teacher", data="sklearn:iris", epochs=3)
    bare = distilled(tmp_path / "bare", weights, data="sklearn:iris", no_labels=True, method="pkt", epochs=1)
    assert bare.record is not None
    assert any(told.startswith("the teacher was trained on another split") for told in bare.record.notes)
    student = tmp_path / "bare" / "student.safetensors"
    with pytest.raises(UsageError, match=r"was trained on data of this name with other labels, no labels.*--holdout"):
        wcord.evaluate(weights=student, data="sklearn:iris", device="cpu")
    assert wcord.evaluate(weights=student, data="sklearn:iris", holdout=0.3, device="cpu")["top1"] >= 0
    # What is taken together is held out as it was apart.
    settings = {"data": "sklearn:iris", "merge": ("other=versicolor+virginica",)}
    merged = distilled(tmp_path / "merged", weights, **settings, method="pkt", epochs=1)
    assert merged.record is not None
    assert not any("another split" in told for told in merged.record.notes)
    # Data of the same name that are not as many are others.
    pd.concat([iris(), iris()]).to_csv(tmp_path / "iris.csv", index=False)
    assert wcord.evaluate(weights=weights, data=f"table:{tmp_path / 'iris.csv'}", device="cpu")["top1"] >= 0


def test_labels_of_one_name_in_two_columns_are_not_compared(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(200, 3)), columns=["p", "q", "r"])
    frame["died"] = np.where(frame["p"] > 0, "yes", "no")
    frame["readmitted"] = np.where(frame["q"] > 0, "yes", "no")
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = f"table:{tmp_path / 't.csv'}"
    teacher = trained(tmp_path / "teacher", data=data, label="died", input=["p", "q", "r"])
    settings = {"data": data, "label": "readmitted", "teacher_label": "died", "input": ["p", "q"]}
    with pytest.raises(UsageError, match="the teacher's labels are not the student's"):
        distilled(tmp_path / "no", teacher, **settings)
    # Fewer columns than the teacher, too: rows of one file are rows of one file.
    made = distilled(tmp_path / "yes", teacher, **settings, method="wcord", set=["wcord.num_negatives=16"])
    assert made.record is not None
    assert "cka" in made.record.metrics
    assert "agreement" not in made.record.metrics


def test_text_that_a_network_was_not_trained_with_is_told(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"sex": ["F", "M"] * 40, "stage": [1, 2] * 40, "x": draw.normal(size=80)})
    frame["stage"] = frame["stage"].map({1: "1", 2: "2a"})
    frame["label"] = (frame["x"] > 0).astype(int)
    frame.to_csv(tmp_path / "t.csv", index=False)
    weights = trained(tmp_path / "run", data=f"table:{tmp_path / 't.csv'}", epochs=2)
    new = frame.head(4).replace({"sex": {"M": "Male"}})
    new.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(UsageError, match=r"column 'sex' holds 'Male', which .* \(F, M\)"):
        api.predict_files(weights, [tmp_path / "new.csv"], device="cpu")
    frame.replace({"sex": {"M": "Male"}}).to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(UsageError, match="column 'sex' holds 'Male'"):
        wcord.evaluate(weights=weights, data=f"table:{tmp_path / 'all.csv'}", device="cpu")
    # Numbers that were text are the same text, also beside a gap.
    known = frame.iloc[[0, 2]].assign(stage=[1.0, None])
    known.to_csv(tmp_path / "known.csv", index=False)
    assert len(api.predict_files(weights, [tmp_path / "known.csv"], device="cpu")) == 2


def test_code_of_ones_own_runs_only_where_it_is_named(tmp_path: Path) -> None:
    net = create_model("mlp16x1", num_classes=3, in_channels=4, image_size=(1, 1))
    card = ModelCard("mine:make", 3, 4, (1, 1), ("a", "b", "c"), (0.5,) * 4, (0.5,) * 4)
    save_weights(net, tmp_path / "w.safetensors", card=card)
    for call in (
        lambda: wcord.evaluate(weights=tmp_path / "w.safetensors", data="sklearn:iris", device="cpu"),
        lambda: api.probe(tmp_path / "w.safetensors", data="sklearn:iris", device="cpu"),
    ):
        with pytest.raises(UsageError, match="give --model mine:make to run it"):
            call()
    assert api.probe(tmp_path / "w.safetensors", model="mlp16x1", data="sklearn:iris", neighbours=0, device="cpu")


def test_settings_that_could_not_be_heeded_are_refused(flowers: Path, tmp_path: Path) -> None:
    data = open_data(DataConfig(data="sklearn:iris"))
    with pytest.raises(UsageError, match="subset is a setting of named data"):
        wcord.evaluate(weights=flowers, data=data, subset=5.0, device="cpu")
    with pytest.raises(UsageError, match="leave out --no-labels"):
        wcord.evaluate(weights=flowers, data="sklearn:iris", no_labels=True, device="cpu")
    with pytest.raises(UsageError, match="top must be"):
        api.predict_files(flowers, [tmp_path], top=0, device="cpu")
    for name, value in {"subset": 5.0, "holdout": 0.3, "augment": "none", "image_size": 4, "split_seed": 1}.items():
        with pytest.raises(UsageError, match=f"{name} applies only when data are opened by name"):
            wcord.distill("mlp16x1", "mlp16x1", out=tmp_path / "r", data=data, **QUICK, **{name: value})
    with pytest.raises(UsageError, match="the model is a Network, which has its weights"):
        wcord.evaluate(open_network(flowers), weights=flowers, data=data, device="cpu")


def test_a_run_on_data_of_ones_own_is_not_gone_on_with_on_others(tmp_path: Path) -> None:
    data = open_data(DataConfig()).through("resize=4")
    settings = {"epochs": 1, "device": "cpu", "max_time": 0.0001, "method": "ce"}
    stopped = wcord.distill("resnet8", "resnet8", out=tmp_path / "r", data=data, allow_weak_teacher=True, **settings)
    assert stopped.outcome.status == "stopped"
    with pytest.raises(UsageError, match="'own:digits' was a data set that the caller passed"):
        api.resume(tmp_path / "r", max_time=None)
    assert api.resume(tmp_path / "r", provided=api.Provided(data=data), max_time=None).record is not None


def test_a_picture_is_framed_as_in_training(tmp_path: Path) -> None:
    """What tells the classes apart stands in the middle of pictures whose rim says the opposite."""
    from PIL import Image

    for split, count in (("train", 8), ("test", 2)):
        for name, (middle, rim) in {"bright": (230, 0), "dark": (20, 255)}.items():
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture = np.full((16, 16), rim, np.uint8)
                picture[4:12, 4:12] = middle + number
                Image.fromarray(picture).save(folder / f"{number}.png")
    source = f"imagefolder:{tmp_path / 'set'}"
    model = "mlp8x1"
    framed = {"data": source, "image_size": 4, "crop_fraction": 0.5, "augment": "none", "model": model}
    weights = trained(tmp_path / "run", **framed)
    card = read_card(weights)
    assert card is not None
    assert (card.image_size, card.crop_fraction) == ((4, 4), 0.5)
    assert wcord.evaluate(weights=weights, data=source, device="cpu")["top1"] == 100
    (guess,) = api.predict_files(weights, [tmp_path / "set" / "test" / "dark" / "0.png"], device="cpu")
    assert guess.classes[0] == "dark"
    assert api.probe(weights, data=source, device="cpu", neighbours=1)["top1"]["linear"] == 100


def noted(result: api.Result) -> list[str]:
    assert result.record is not None
    return [note for note in result.record.notes if "test samples" in note]


def test_a_teacher_that_has_seen_test_samples_is_told_and_no_other(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [
        {"who": f"s{i}", "visit": v, "x": 3 * (i % 2) + draw.normal(), "label": i % 2}
        for i in range(60)
        for v in (0, 1)
    ]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "visits.csv", index=False)
    frame[frame["visit"] == 0].to_csv(tmp_path / "first.csv", index=False)
    visits = {"data": f"table:{tmp_path / 'visits.csv'}", "visits_of": "who", "order_by": "visit", "label": "label"}
    teacher = trained(tmp_path / "teacher", **visits, epochs=3)
    pairs = {
        "data": f"table:{tmp_path / 'first.csv'}", "label": "label", "input": ["x"], "teacher_data": visits["data"],
        "teacher_label": "label", "teacher_visits_of": "who", "teacher_order_by": "visit", "join": "who", "epochs": 1,
    }  # fmt: skip
    assert noted(distilled(tmp_path / "grouped", teacher, **pairs, group_by="who")) == []
    rowwise = noted(distilled(tmp_path / "rowwise", teacher, **pairs))
    assert any("a teacher that was trained on its own data and labels alone has seen" in note for note in rowwise)
    # Of data with a test split of their own, a part of what it was trained on.
    whole = trained(tmp_path / "whole", data="digits", epochs=1, model="mlp8x1")
    settings = {"teacher": "mlp8x1", "teacher_weights": whole, "student": "mlp8x1", "method": "kd", "holdout": 0.2}
    config = configure(DistillConfig, {**settings, "allow_weak_teacher": True, "out": tmp_path / "held"})
    told = "the teacher was trained on data of this name, none of them held out: it may have seen test samples"
    assert prepare(config, api.Provided(), lambda line: None).notes[-1] == told


def test_a_table_that_has_grown_is_split_as_it_was(tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": [f"s{i // 2}" for i in range(60)], "x": range(60), "label": [0, 1] * 30})
    frame.to_csv(tmp_path / "t.csv", index=False)
    weights = trained(tmp_path / "run", data=f"table:{tmp_path / 't.csv'}", input=["x"], group_by="who", epochs=1)
    more = pd.concat([frame, pd.DataFrame({"who": ["new"], "x": [3], "label": [0]})])
    more.to_csv(tmp_path / "t.csv", index=False)
    config = DataConfig(data=f"table:{tmp_path / 't.csv'}")
    assert open_as_trained(config, weights).cut["group_by"] == "who"


def test_a_teachers_pictures_are_sized_as_in_its_training(tmp_path: Path) -> None:
    from PIL import Image

    for side, size in (("fine", 16), ("coarse", 8)):
        for split, count in (("train", 8), ("test", 2)):
            for name, value in {"bright": 200, "dark": 20}.items():
                folder = tmp_path / side / split / name
                folder.mkdir(parents=True)
                for number in range(count):
                    picture = Image.fromarray(np.full((size, size), value + number, np.uint8))
                    picture.save(folder / f"{name}{number}.png")
    fine, coarse = (f"imagefolder:{tmp_path / side}" for side in ("fine", "coarse"))
    framed = {"image_size": 4, "crop_fraction": 0.5, "augment": "none", "model": "mlp8x1"}
    teacher = trained(tmp_path / "teacher", data=fine, **framed)
    settings = {"teacher": "mlp8x1", "teacher_weights": teacher, "student": "mlp8x1", "method": "kd", "data": coarse,
                "teacher_data": fine, "pair_by": "stem", "out": tmp_path / "s"}  # fmt: skip
    teacher = teacher_data_as_trained(configure(DistillConfig, settings))
    assert (teacher["image_size"], teacher["crop_fraction"]) == (4, 0.5)
    teacher = teacher_data_as_trained(configure(DistillConfig, {**settings, "teacher_image_size": 8}))
    assert (teacher["image_size"], "crop_fraction" in teacher) == (8, False)
    same = {name: value for name, value in settings.items() if name not in ("teacher_data", "pair_by")}
    assert "image_size" not in teacher_data_as_trained(configure(DistillConfig, same))


def test_classes_that_are_matched_by_name_get_no_advice_on_their_order(tmp_path: Path) -> None:
    numbers = np.arange(120) % 4
    images = np.broadcast_to((60 * numbers)[:, None, None].astype(np.uint8), (120, 8, 8))
    names = [("ant", "bee", "cat", "dog")[number] for number in numbers]
    own = from_arrays(images, names, images, names)
    config = configure(TrainConfig, {"model": "mlp16x1", "out": tmp_path / "run", **QUICK})
    api.start(config, Provided(data=own), say=lambda line: None)
    weights = tmp_path / "run" / "student.safetensors"
    rolled = np.broadcast_to((60 * ((numbers + 1) % 4))[:, None, None].astype(np.uint8), (120, 8, 8))
    said: list[str] = []
    wcord.evaluate(weights=weights, data=from_arrays(rolled, names, rolled, names), device="cpu", say=said.append)
    (note,) = said
    assert "although they are matched by name" in note
    assert "bring the classes" not in note


def test_what_is_said_of_data_is_said_where_they_are_measured(flowers: Path, tmp_path: Path) -> None:
    iris().query("target != 'setosa'").to_csv(tmp_path / "two.csv", index=False)
    said: list[str] = []
    wcord.evaluate(weights=flowers, data=f"table:{tmp_path / 'two.csv'}", label="target", device="cpu", say=said.append)
    assert any("no test split" in line for line in said)


@pytest.mark.parametrize("command", ["evaluate", "probe", "predict_files", "distill"])
def test_a_card_cannot_ask_for_memory(tmp_path, command):
    card = {"architecture": "mlp32x1", "num_classes": 10, "mean": [0.5], "std": [0.5], "in_channels": 1}
    weights = tmp_path / "a.safetensors"
    metadata = {"wcord": json.dumps(card | {"image_size": [8192, 8192]})}
    save_file({"fc.bias": torch.zeros(10), "fc.weight": torch.zeros(10, 4)}, weights, metadata)
    calls = {
        "evaluate": lambda: wcord.evaluate(weights=weights),
        "probe": lambda: api.probe(weights),
        "predict_files": lambda: api.predict_files(weights, []),
        "distill": lambda: wcord.distill(
            "mlp32x1", "resnet8", teacher_weights=weights, out=tmp_path / "o", image_size=8, epochs=1
        ),
    }
    with pytest.raises(UsageError, match=r"a.safetensors': it holds 50 numbers, but mlp32x1 has 4,294"):
        calls[command]()
    assert not (tmp_path / "o").exists()
