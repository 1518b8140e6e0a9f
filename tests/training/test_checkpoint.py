"""Checkpoints: whole, few, readable without code, verified, and every random generator back where it was."""

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wcord.checks import RunError
from wcord.training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint


def state(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"stage": "main", "epoch": 1, "batch": 0, "seconds": 0.5, "random": random_state()}
    return plain | {name: {} for name in ("student", "objective", "optimizer", "meter")} | changes


def load(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    said: list[str] = []
    return load_checkpoint(folder, said.append), said


def unsealed(folder: Path, step: int, content: object) -> Path:
    """Write a checkpoint as an earlier version did."""
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{step:09d}.pt"
    torch.save(content, path)
    return path


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_newest_comes_back_and_old_ones_go(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        save_checkpoint(tmp_path / "c", step, state(student={"x": torch.tensor(step)}))
    found, said = load(tmp_path / "c")
    assert found is not None
    assert (found["step"], found["student"]["x"].item(), said) == (30, 30, [])
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["step-000000002.pt", "step-000000030.pt"]


@pytest.mark.parametrize("place", [0, 100, 3000, -1, -60, -90, -400])
def test_one_changed_bit_anywhere_falls_back_to_the_one_before_and_is_told(tmp_path: Path, place: int) -> None:
    save_checkpoint(tmp_path, 1, state(student={"x": torch.arange(1000)}))
    flip(save_checkpoint(tmp_path, 2, state(student={"x": torch.arange(1000)})), place)
    found, said = load(tmp_path)
    assert found is not None
    assert found["step"] == 1
    (line,) = said
    assert line.startswith("note: checkpoint step-000000002.pt is skipped: it")
    assert line.endswith("; the run resumes from step-000000001.pt")


def test_a_truncated_newest_falls_back_too_and_is_removed_when_the_run_goes_on(tmp_path: Path) -> None:
    for step in (10, 20):
        newest = save_checkpoint(tmp_path, step, state())
    newest.write_bytes(newest.read_bytes()[:500])
    assert load(tmp_path)[0]["step"] == 10  # else it fails, as it should
    save_checkpoint(tmp_path, 12, state())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000010.pt", "step-000000012.pt"]
    assert load(tmp_path)[1] == []


def test_checkpoints_of_earlier_versions_are_read_and_their_damage_shows(tmp_path: Path) -> None:
    unsealed(tmp_path, 1, state(step=1))
    newest = unsealed(tmp_path, 2, state(step=2, student={"x": torch.full((500,), 7.5)}))
    found, said = load(tmp_path)
    assert found is not None
    assert (found["step"], said) == (2, [])
    flip(newest, newest.read_bytes().index(torch.full((500,), 7.5).numpy().tobytes()) + 1001)
    found, said = load(tmp_path)
    assert found is not None
    assert found["step"] == 1
    assert "the checksum of its part" in said[0]


def short() -> dict[str, Any]:
    whole = random_state()
    return whole | {"torch": whole["torch"][:100]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "it holds a list instead of the state of a run"),
        (torch.zeros(3), "it holds a Tensor instead of the state of a run"),
        ({"step": 2}, "its entry 'stage' is missing or of the wrong kind"),
        (state(step=2, stage="dessert"), "its stage 'dessert' is unknown"),
        (state(step=2, stage=["main"]), "its entry 'stage' is missing or of the wrong kind"),
        (state(step=2, epoch="1"), "its entry 'epoch' is missing or of the wrong kind"),
        (state(step=2, student=None), "its entry 'student' is missing or of the wrong kind"),
        (state(step=2, random=short()), "its state of the random generators is damaged"),
        (state(step=2, random={}), "its state of the random generators is damaged"),
        (state(step=2, random=random_state() | {"numpy": [1]}), "its state of the random generators is damaged"),
        (state(step=2, random=random_state() | {"python": [3, [1], None]}), "its state of the random generators"),
    ],
)
def test_a_file_that_holds_no_state_is_passed_over(tmp_path: Path, content: object, reason: str) -> None:
    save_checkpoint(tmp_path, 1, state())
    unsealed(tmp_path, 2, content)
    before = torch.get_rng_state()
    found, said = load(tmp_path)
    assert found is not None
    assert found["step"] == 1
    assert reason in said[0]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("thing", [Path("a"), np.random.default_rng(0), io.BytesIO(b"x")], ids=type)
def test_a_checkpoint_that_names_code_is_passed_over(tmp_path: Path, thing: object) -> None:
    save_checkpoint(tmp_path, 1, state())
    unsealed(tmp_path, 2, state(step=2, student={"x": thing}))
    found, said = load(tmp_path)
    assert found is not None
    assert found["step"] == 1
    assert "it cannot be read (Weights only load failed" in said[0]
    assert said[0].isprintable()


def test_none_yet_and_none_whole(tmp_path: Path) -> None:
    assert load(tmp_path / "none") == (None, [])
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "step-best.pt").write_bytes(b"a copy of somebody's")
    assert load(folder) == (None, [])
    (folder / "step-000000001.pt").write_bytes(b"not a checkpoint")
    (folder / "step-000000002.pt").mkdir()
    with pytest.raises(RunError) as caught:
        load(folder)
    told = str(caught.value)
    assert told.startswith(f"no checkpoint in {str(folder)!r} can be used (checkpoint step-000000002.pt is skipped:")
    assert f"--recipe {tmp_path / 'config.toml'} with a new --out runs it again" in told
    assert told.isprintable()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is not a folder, but the place of the checkpoints: move it away"):
        load(tmp_path / "file")


def test_all_generators_go_back(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.gauss(0, 1), float(np.random.randn()), float(torch.randn(()))  # noqa: NPY002  # legacy on purpose

    draw()
    save_checkpoint(tmp_path, 0, state())
    expected = [draw() for _ in range(3)]
    found, _ = load(tmp_path)
    assert found is not None
    restore_random_state(found["random"])
    assert [draw() for _ in range(3)] == expected
