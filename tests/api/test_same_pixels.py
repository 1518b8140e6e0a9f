"""Run, evaluate, predict, probe and the look at a teacher see the same pixels, whatever pictures and networks are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import wcord
from wcord import api
from wcord.api import networks
from wcord.data.config import DataConfig
from wcord.data.images import Frame
from wcord.evaluation.accuracy import Predictions
from wcord.models.weights import read_card, save_weights
from wcord.setup.as_trained import frame_of, open_as_trained, teacher_data_as_trained
from wcord.setup.job import Job, prepare
from wcord.setup.networks import describe
from wcord.training.config import DistillConfig, TrainConfig, configure

Sizes = Callable[[int], tuple[int, int]]
PICTURES: dict[str, tuple[str, Sizes]] = {
    "oblong": ("RGB", lambda number: (40, 30)),
    "of several sizes": ("RGB", lambda number: (30 + 7 * (number % 3), 45 - 5 * (number % 2))),
    "small": ("RGB", lambda number: (8, 8)),
    "16 bits": ("I;16", lambda number: (36, 24)),
    "16 bits, some 8": ("mixed", lambda number: (36, 24)),
    "grey": ("L", lambda number: (24, 24)),
}
RESNET, VIT = "resnet8", "timm:test_vit"


def drawn(folder: Path, kind: str, *, as_mode: str | None = None) -> str:
    """Write pictures of noise whose rows are brighter to the right, so that a crop and a squeeze give other pixels."""
    mode, size = PICTURES[kind]
    draw = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 3)):
        for label in ("ant", "bee"):
            where = folder / split / label
            where.mkdir(parents=True)
            for number in range(count):
                wide, tall = size(number)
                values = np.linspace(0, 1, wide)[None] * draw.random((tall, 1)) * 0.8 + 0.2 * draw.random((tall, wide))
                deep = mode == "I;16" or (mode == "mixed" and number % 2 == 0)
                if deep:
                    picture = Image.fromarray((values * 65535).astype(np.uint16))
                elif mode == "RGB":
                    colours = values[..., None] * np.array([1.0, 0.7, 0.4])
                    picture = Image.fromarray((colours * 255).astype(np.uint8))
                else:
                    picture = Image.fromarray((values * 255).astype(np.uint8))
                picture = picture if as_mode is None else picture.convert(as_mode)
                picture.save(where / f"{number}.png")
    return f"imagefolder:{folder}"


def shipped(folder: Path, model: str, source: str, **settings: Any) -> tuple[Path, Job, Predictions]:
    """Return the weights file that a run would ship, what it was about, and what its network says at its end."""
    given = {"model": model, "data": source, "out": folder / "run", "device": "cpu", "workers": 0, "augment": "none"}
    job = prepare(configure(TrainConfig, {**given, "batch_size": 4, **settings}), api.Provided(), lambda line: None)
    card = describe(job.student, job.architecture, job.data, {"data": job.data.name})
    save_weights(job.student.backbone, folder / "w.safetensors", card=card)
    return folder / "w.safetensors", job, networks.predict_all(job.student, job.test)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Predictions]:
    """Keep what networks say where they are evaluated and probed."""
    kept: list[Predictions] = []

    def keep(network: Any, loader: Any, original: Any = networks.predict_all) -> Predictions:
        kept.append(original(network, loader))
        return kept[-1]

    monkeypatch.setattr(networks, "predict_all", keep)
    return kept


def said_of_files(weights: Path, folder: Path, classes: int) -> Tensor:
    """Return the probabilities by which `predict` names the test pictures, in the order of the data set."""
    files = sorted((folder / "test").rglob("*.png"))
    guesses = api.predict_files(weights, files, top=classes, device="cpu")
    return torch.tensor(
        [[dict(zip(g.classes, g.probabilities, strict=True))[c] for c in ("ant", "bee")] for g in guesses]
    )


CASES = [
    ("oblong", RESNET, {}, Frame(30, 40)),
    ("oblong", RESNET, {"image_size": 16}, Frame(16, 16)),
    ("oblong", RESNET, {"image_size": "12x20", "crop_fraction": 0.75}, Frame(12, 20, 0.75)),
    ("oblong", RESNET, {"image_size": 16, "crop_fraction": 0.875, "view": "gray,resize=8"}, Frame(16, 16, 0.875)),
    ("oblong", RESNET, {"view": "lab-ab"}, Frame(30, 40)),
    ("oblong", VIT, {}, Frame(30, 40)),
    ("oblong", VIT, {"image_size": 24, "crop_fraction": 0.875}, Frame(24, 24, 0.875)),
    ("of several sizes", RESNET, {"image_size": 16}, Frame(16, 16)),
    ("of several sizes", RESNET, {}, Frame(224, 224)),
    ("of several sizes", VIT, {"image_size": "20x32", "view": "crop=16x20"}, Frame(20, 32)),
    ("small", RESNET, {}, Frame(8, 8)),
    ("small", VIT, {"image_size": 32}, Frame(32, 32)),
    ("16 bits", RESNET, {"image_size": 16}, Frame(16, 16)),
    ("16 bits, some 8", RESNET, {"image_size": 16, "crop_fraction": 0.875}, Frame(16, 16, 0.875)),
    ("16 bits", VIT, {"view": "rgb"}, Frame(24, 36)),
    ("grey", RESNET, {"image_size": 16, "crop_fraction": 0.5}, Frame(16, 16, 0.5)),
    ("grey", VIT, {"view": "rgb,resize=20"}, Frame(24, 24)),
]


@pytest.mark.parametrize(("kind", "model", "settings", "frame"), CASES)
def test_all_commands_see_what_the_run_saw(
    tmp_path: Path, heard: list[Predictions], kind: str, model: str, settings: dict[str, Any], frame: Frame
) -> None:
    source = drawn(tmp_path / "set", kind)
    weights, job, run = shipped(tmp_path, model, source, **settings)
    card = read_card(weights)
    assert frame_of(card) == frame
    assert card is not None
    # The network's own size is another thing: what it resizes to, or else what it saw after its view.
    assert card.image_size == ((160, 160) if model == VIT else job.data.train.shape[1:])
    heard.clear()
    for in_memory in ("yes", "no"):
        wcord.evaluate(weights=weights, data=source, device="cpu", in_memory=in_memory, workers=0)
    api.probe(weights, data=source, device="cpu", neighbours=0, workers=0)
    held, streamed, _, probed = heard
    for other in (held, streamed, probed):
        torch.testing.assert_close(other.logits, run.logits, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(other.embeddings, run.embeddings, atol=1e-5, rtol=1e-5)
    guessed = said_of_files(weights, tmp_path / "set", 2)
    torch.testing.assert_close(guessed, run.logits.softmax(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "view"), [("grey", None), ("16 bits", None), ("oblong", "lab-l"), ("oblong", "edges")]
)
def test_pictures_of_other_channels_are_seen_alike_by_all(
    tmp_path: Path, heard: list[Predictions], kind: str, view: str | None
) -> None:
    """Grey pictures before a network for colour and its views, colour before one for grey."""
    colour, other = drawn(tmp_path / "colour", "oblong"), tmp_path / "other"
    if kind == "oblong":
        source = drawn(other, "oblong", as_mode="L")
    else:
        source = drawn(other, kind)
    weights, _, _ = shipped(tmp_path, RESNET, colour, image_size=16, view=view)
    heard.clear()
    wcord.evaluate(weights=weights, data=source, device="cpu")
    api.probe(weights, data=source, device="cpu", neighbours=0)
    torch.testing.assert_close(heard[0].logits, heard[2].logits)
    torch.testing.assert_close(said_of_files(weights, other, 2), heard[0].logits.softmax(1), atol=1e-5, rtol=1e-5)
    # And the other way round.
    (tmp_path / "back").mkdir()
    grey, _, _ = shipped(tmp_path / "back", RESNET, source, image_size=16)
    heard.clear()
    wcord.evaluate(weights=grey, data=colour, device="cpu")
    torch.testing.assert_close(
        said_of_files(grey, tmp_path / "colour", 2), heard[0].logits.softmax(1), atol=1e-5, rtol=1e-5
    )


def test_parquet_arrays_and_folders_are_framed_alike(tmp_path: Path, heard: list[Predictions]) -> None:
    import datasets

    source = drawn(tmp_path / "set", "oblong")
    files = {split: sorted((tmp_path / "set" / split).rglob("*.png")) for split in ("train", "test")}
    labels = {split: [int(file.parent.name == "bee") for file in files[split]] for split in files}
    kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["ant", "bee"]))
    (tmp_path / "parquet").mkdir()
    for split in files:
        held = {"image": [Image.open(file) for file in files[split]], "label": labels[split]}
        datasets.Dataset.from_dict(held, features=kinds).to_parquet(tmp_path / "parquet" / f"{split}.parquet")
    arrays = {f"x_{split}": np.stack([np.asarray(Image.open(file)) for file in files[split]]) for split in files}
    np.savez(tmp_path / "set.npz", **arrays, **{f"y_{split}": np.array(labels[split]) for split in files})
    weights, _, run = shipped(tmp_path, RESNET, source, image_size=16, crop_fraction=0.75)
    heard.clear()
    wcord.evaluate(weights=weights, data=f"parquet:{tmp_path / 'parquet'}", device="cpu")
    wcord.evaluate(weights=weights, data=f"npz:{tmp_path / 'set.npz'}", device="cpu", classes_by_number=True)
    torch.testing.assert_close(heard[0].logits, run.logits, atol=1e-5, rtol=1e-5)
    # Arrays are resized in floating point: a pixel may be rounded otherwise.
    torch.testing.assert_close(heard[1].logits, run.logits, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("settings", [{}, {"image_size": 16}, {"image_size": "12x20", "crop_fraction": 0.75}])
@pytest.mark.parametrize("model", [RESNET, VIT])
def test_a_teacher_is_shown_what_it_was_trained_on(tmp_path: Path, model: str, settings: dict[str, Any]) -> None:
    source = drawn(tmp_path / "set", "oblong")
    weights, trained, run = shipped(tmp_path, model, source, **settings)
    given: dict[str, Any] = {
        "teacher": model, "teacher_weights": weights, "student": RESNET, "method": "kd", "data": source,
        "out": tmp_path / "s", "allow_weak_teacher": True, "device": "cpu", "batch_size": 4, "workers": 0,
    }  # fmt: skip
    job = prepare(configure(DistillConfig, given), api.Provided(), lambda line: None)
    assert job.teacher is not None
    torch.testing.assert_close(networks.predict_all(job.teacher, job.test).logits, run.logits, atol=1e-5, rtol=1e-5)
    assert job.data.of_teacher.train.shape == trained.data.train.shape
    assert not any("pictures of" in note for note in job.notes)
    # Where the pictures are opened otherwise, a note says so.
    other = prepare(configure(DistillConfig, {**given, "image_size": 10}), api.Provided(), lambda line: None)
    (note,) = [note for note in other.notes if "pictures of" in note]
    framed = frame_of(read_card(weights))
    assert note == f"the teacher was trained on pictures of {framed}, and is shown pictures of 10×10 pixels"
    # Of other data, that the student's pictures have the teacher's frame is told.
    own = drawn(tmp_path / "other", "of several sizes")
    strange = prepare(configure(DistillConfig, {**given, "data": own}), api.Provided(), lambda line: None)
    told = f"the student is shown pictures of {framed}, as the teacher was; --image-size gives both another size"
    assert told in strange.notes
    # Data of its own have its frame, whatever the student's pictures are.
    small = drawn(tmp_path / "small", "small")
    apart = configure(DistillConfig, {**given, "data": small, "teacher_data": source, "pair_by": "path"})
    paired = prepare(apart, api.Provided(), lambda line: None)
    assert paired.teacher is not None
    assert paired.data.train.shape == (3, 8, 8)
    loader = networks.Loader(paired.data.of_teacher.test, batch_size=8)
    torch.testing.assert_close(networks.predict_all(paired.teacher, loader).logits, run.logits, atol=1e-5, rtol=1e-5)


def test_teacher_and_student_may_take_other_channels(tmp_path: Path) -> None:
    colour, grey = drawn(tmp_path / "colour", "oblong"), drawn(tmp_path / "grey", "grey")
    for name, source in (("colour", colour), ("grey", grey)):
        (tmp_path / f"of {name}").mkdir()
        shipped(tmp_path / f"of {name}", RESNET, source, image_size=16)
    given = {"teacher": RESNET, "student": RESNET, "method": "kd", "out": tmp_path / "s", "allow_weak_teacher": True,
             "device": "cpu", "batch_size": 4}  # fmt: skip
    for theirs, source, shapes in (("grey", colour, (3, 1)), ("colour", grey, (1, 3))):
        weights = tmp_path / f"of {theirs}" / "w.safetensors"
        config = configure(DistillConfig, {**given, "teacher_weights": weights, "data": source})
        job = prepare(config, api.Provided(), lambda line: None)
        assert (job.data.train.shape, job.data.of_teacher.train.shape) == ((shapes[0], 16, 16), (shapes[1], 16, 16))
        assert job.data.augment == ("crop-flip" if source == colour else "shift")
        # Going on from such weights, too.
        on = configure(
            TrainConfig, {"model": RESNET, "weights": weights, "data": source, "out": tmp_path / "s", "batch_size": 4}
        )
        assert prepare(on, api.Provided(), lambda line: None).data.train.shape == (shapes[1], 16, 16)


def test_the_students_weights_decide_before_the_teachers(tmp_path: Path) -> None:
    source = drawn(tmp_path / "set", "oblong")
    for name, size in (("a", 16), ("b", 12)):
        (tmp_path / name).mkdir()
        shipped(tmp_path / name, RESNET, source, image_size=size)
    given = {"teacher": RESNET, "student": RESNET, "method": "kd", "data": source, "out": tmp_path / "s",
             "teacher_weights": tmp_path / "a" / "w.safetensors", "student_weights": tmp_path / "b" / "w.safetensors",
             "allow_weak_teacher": True, "device": "cpu", "batch_size": 4}  # fmt: skip
    job = prepare(configure(DistillConfig, given), api.Provided(), lambda line: None)
    assert job.data.train.shape == (3, 12, 12)
    assert any("trained on pictures of 16×16 pixels, and is shown pictures of 12×12" in note for note in job.notes)


def test_a_frame_that_a_networks_name_states_counts_where_no_file_or_flag_says_one(tmp_path: Path) -> None:
    source, stated = drawn(tmp_path / "set", "oblong"), Frame(20, 24, 0.5)
    data = open_as_trained(DataConfig(data=source), None, stated)
    assert (data.train.shape, data.crop_fraction) == ((3, 20, 24), 0.5)
    assert open_as_trained(DataConfig(data=source, image_size=8), None, stated).train.shape == (3, 8, 8)
    weights, _, _ = shipped(tmp_path, RESNET, source, image_size=16)
    assert open_as_trained(DataConfig(data=source), weights, stated).train.shape == (3, 16, 16)
    given = {"teacher": RESNET, "student": RESNET, "out": tmp_path / "s", "data": source, "teacher_data": source}
    teacher = teacher_data_as_trained(configure(DistillConfig, given), stated)
    assert (teacher["image_size"], teacher["crop_fraction"]) == ("20x24", 0.5)


@pytest.mark.parametrize("settings", [{}, {"image_size": 8}])
def test_a_network_of_one_size_has_the_runs_number_on_pictures_of_another(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    source = drawn(tmp_path / "set", "of several sizes" if settings else "oblong")
    given = {"model": "mlp16x1", "data": source, "out": tmp_path / "run", "epochs": 3, "batch_size": 4, "device": "cpu"}
    done = api.start(configure(TrainConfig, {**given, **settings}), say=lambda line: None)
    assert done.record is not None
    measured = wcord.evaluate(weights=tmp_path / "run" / "student.safetensors", data=source, device="cpu")
    assert measured["top1"] == pytest.approx(done.record.metrics["top1_last"])
    assert measured["nll"] == pytest.approx(done.record.metrics["nll"], abs=1e-5)
