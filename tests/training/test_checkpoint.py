"""Checkpoints: whole, few, readable without code, and every random generator back where it was."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from wcord.checks import RunError
from wcord.training.checkpoint import load_checkpoint, random_state, restore_random_state, save_checkpoint


def test_newest_comes_back_and_old_ones_go(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        save_checkpoint(tmp_path / "c", step, {"x": torch.tensor(step)})
    state = load_checkpoint(tmp_path / "c")
    assert state is not None
    assert state["step"] == 30
    assert state["x"].item() == 30
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["step-000000002.pt", "step-000000030.pt"]


def test_a_truncated_newest_falls_back_to_the_one_before(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"x": torch.arange(1000)})
    newest = save_checkpoint(tmp_path, 2, {"x": torch.arange(1000)})
    newest.write_bytes(newest.read_bytes()[:500])
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 1


def test_none_yet_and_none_readable(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "none") is None
    (tmp_path / "step-000000001.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match=r"no checkpoint in .* can be read"):
        load_checkpoint(tmp_path)


def test_all_generators_go_back(tmp_path: Path) -> None:
    def draw() -> tuple[float, float, float]:
        return random.gauss(0, 1), float(np.random.randn()), float(torch.randn(()))  # noqa: NPY002  # legacy on purpose

    draw()
    save_checkpoint(tmp_path, 0, {"random": random_state()})
    expected = [draw() for _ in range(3)]
    state = load_checkpoint(tmp_path)
    assert state is not None
    restore_random_state(state["random"])
    assert [draw() for _ in range(3)] == expected
