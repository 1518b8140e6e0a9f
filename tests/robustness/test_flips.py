"""Bits flipped in every kind of file that a run reads back: the damage is noticed, or nothing has come of it."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from wcord import api
from wcord.checks import RunError, UsageError
from wcord.features import Features
from wcord.models.reading import read_states
from wcord.models.weights import open_network, read_card
from wcord.report.analysis import Analysis
from wcord.training.checkpoint import load_checkpoint
from wcord.training.config import DistillConfig, TrainConfig, configure
from wcord.training.loop import Trainer
from wcord.training.teacher_cache import TeacherCache

SMALL: dict[str, Any] = {"data": "sklearn:iris", "epochs": 3, "batch_size": 60, "device": "cpu"}


class Runs(NamedTuple):
    """A teacher, a run that was not disturbed, the same run stopped in its last epoch, and their cache."""

    teacher: Path
    whole: Path
    stopped: Path
    cache: Path


def quiet(line: str) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    base = tmp_path_factory.mktemp("flips")
    made = Runs(base / "teacher", base / "whole", base / "stopped", base / "cache")
    api.start(configure(TrainConfig, SMALL | {"model": "mlp16x1", "out": made.teacher}), say=quiet)
    distil(made, made.whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_wish_to_stop", lambda trainer, _: ("enough", None) if trainer.at.epoch == 2 else None)
        distil(made, made.stopped)
    return made


def distil(runs: Runs, out: Path) -> None:
    networks = {"teacher": "mlp16x1", "teacher_weights": runs.teacher / "student.safetensors", "student": "mlp8x1"}
    settings = {"method": "wcord+kd", "allow_weak_teacher": True, "teacher_cache": runs.cache, "out": out}
    api.start(configure(DistillConfig, SMALL | networks | settings), say=quiet)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return a file's content after one of the things that disks do: a bit, some zeros, an end that is missing."""
    place, kind = draw.randrange(len(content)), draw.random()
    if kind < 0.8:
        return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
    if kind < 0.9:
        zeros = min(draw.choice([16, 512, 4096]), len(content) - place)
        return content[:place] + bytes(zeros) + content[place + zeros :]
    return content[:place]


def classes_of_bytes(content: bytes) -> list[int]:
    """Return a place in each region of a file: its start, its middle, its end and around each name in it."""
    names = [
        found.start() for found in re.finditer(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06|PK\x06|sha256|:\[|pkl", content)
    ]
    around = [name + step for name in names for step in (0, 1, 5, 9, 15, 21, 27, 29, 33, 43)]
    spread = [*range(min(len(content), 64)), *range(len(content) - 96, len(content))]
    return sorted({place for place in [*around, *spread, len(content) // 2] if 0 <= place < len(content)})


def test_flips_in_a_checkpoint_are_noticed(runs: Runs, tmp_path: Path, tally: Any) -> None:
    shutil.copytree(runs.stopped / "checkpoints", tmp_path / "checkpoints")
    newest = max((tmp_path / "checkpoints").iterdir())
    content, draw = newest.read_bytes(), random.Random(0)
    contents = [content[:i] + bytes([content[i] ^ 16]) + content[i + 1 :] for i in classes_of_bytes(content)]
    contents = draw.sample(contents, tally.share(150, len(contents)))
    contents += [damaged(content, draw) for _ in range(tally.share(150, 3000))]
    for one in contents:
        if one == content:  # zeros over zeros
            continue
        newest.write_bytes(one)
        said: list[str] = []
        state = load_checkpoint(tmp_path / "checkpoints", said.append)
        older = state is not None and state["step"] < int(newest.stem.removeprefix("step-"))
        assert tally("checkpoint damaged", older and f"checkpoint {newest.name} is skipped: " in said[0])


def test_a_run_whose_files_are_damaged_goes_on_to_the_same_end(runs: Runs, tmp_path: Path, tally: Any) -> None:
    """Whatever happens to its newest checkpoint, its logs and the cache."""
    draw = random.Random(1)
    for trial in range(tally.share(16, 200)):
        run = tmp_path / str(trial)
        shutil.copytree(runs.stopped, run)
        files = [max((run / "checkpoints").iterdir()), run / "metrics.jsonl", run / "starts.jsonl"]
        files.append(draw.choice([*runs.cache.rglob("epoch-*")]))
        for file in files[trial % 4 : trial % 4 + 1] if trial % 5 else files[:2]:
            file.write_bytes(damaged(file.read_bytes(), draw))
        api.resume(run, say=quiet)
        assert tally("run resumed after damage", result(run) == result(runs.whole)), trial
        shutil.rmtree(run)


def result(run: Path) -> list[Any]:
    """Return all of a finished run that is the same whenever and wherever it runs."""
    record = json.loads((run / "record.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    epochs = [{name: value for name, value in one.items() if name != "seconds"} for one in [*lines, *record["epochs"]]]
    weights = [(run / name).read_bytes() for name in ("student.safetensors", "analysis.npz")]
    return [epochs, record["metrics"], record["teacher_digest"], record["notes"], *weights]


def open_all(path: Path) -> object:
    return read_card(path), read_states(path), open_network(path)


@pytest.mark.parametrize(
    ("name", "read"), [("student.safetensors", open_all), ("analysis.npz", Analysis.load)], ids=["weights", "analysis"]
)
def test_flips_in_what_a_run_leaves_are_noticed(
    runs: Runs, tmp_path: Path, name: str, read: Callable[[Path], object], tally: Any
) -> None:
    content, draw, path = (runs.whole / name).read_bytes(), random.Random(2), tmp_path / name
    contents = [content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in range(len(content))]
    contents = draw.sample(contents, tally.share(150, len(contents)))
    contents += [damaged(content, draw) for _ in range(tally.share(150, 3000))]
    read(runs.whole / name)
    for one in contents:
        if one == content:  # zeros over zeros
            continue
        path.write_bytes(one)
        with pytest.raises(UsageError) as caught:
            read(path)
        assert tally(f"{name} damaged", "\n" not in str(caught.value))


def test_flips_in_a_teacher_cache_are_noticed(tmp_path: Path, tally: Any) -> None:
    teacher, batch = nn.Linear(2, 2), Features(torch.randn(4, 2), torch.randn(4, 3))

    def ran(say: Callable[[str], None]) -> list[bool]:
        """Ask a cache for the two batches of an epoch; return for which of them the teacher was run."""
        cache, runs = TeacherCache(tmp_path, teacher, {"seed": 0}, batch_size=4, say=say), []
        for number in range(2):
            asked: list[bool] = []
            cache.features(0, number, lambda asked=asked: asked.append(True) or batch, last=number == 1)
            runs.append(bool(asked))
        return runs

    assert ran(quiet) == [True, True]
    assert ran(quiet) == [True, False]
    path, draw = next(tmp_path.rglob("epoch-*")), random.Random(4)
    content = path.read_bytes()
    contents = [content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :] for i in range(len(content))]
    contents = draw.sample(contents, tally.share(100, len(contents)))
    for one in [*contents, *(damaged(content, draw) for _ in range(tally.share(50, 1000)))]:
        if one == content:  # zeros over zeros
            continue
        path.write_bytes(one)
        said: list[str] = []
        assert tally("teacher cache damaged", ran(said.append) == [True, True] and len(said) == 1)
        assert ran(quiet) == [True, False]


def test_no_damage_of_a_folder_ends_in_a_traceback(runs: Runs, tmp_path: Path, tally: Any) -> None:
    """All that a resumed run reads is replaced by garbage: one line is told, or the run goes on."""
    draw = random.Random(3)
    garbage: list[Callable[[bytes], bytes | None]] = [
        lambda content: b"",
        lambda content: None,
        lambda content: bytes(len(content)),
        lambda content: draw.randbytes(len(content)),
        lambda content: b"[" * 50_000 + b"\n",
        lambda content: content[len(content) // 2 :],
    ]
    for trial in range(tally.share(12, 60)):
        run = tmp_path / str(trial)
        shutil.copytree(runs.stopped, run)
        for file in [*(run / "checkpoints").iterdir(), run / "metrics.jsonl", run / "starts.jsonl"]:
            if draw.random() < 0.6:
                content = garbage[(trial + len(file.name)) % len(garbage)](file.read_bytes())
                file.unlink() if content is None else file.write_bytes(content)
        told = gone_on(run)
        good = re.fullmatch("no checkpoint in .*", told) if told else result(run)[0] == result(runs.whole)[0]
        assert tally("run folder of garbage", bool(good)), told
        shutil.rmtree(run)


def gone_on(run: Path) -> str | None:
    """Resume a run; return what stops it, or None where it goes on to its end."""
    try:
        api.resume(run, say=quiet)
    except RunError as error:
        return str(error)
    return None
