"""Verification by cosine: the loop over pairs, ties, few pairs, and the command."""

import json
from pathlib import Path

import pytest
import torch
from tests.support.naive_tokens import tar_at_far

from wcord import api
from wcord.checks import UsageError
from wcord.cli import main
from wcord.evaluation.verification import verify
from wcord.models.card import ModelCard
from wcord.models.create import create_model
from wcord.models.weights import save_weights


def samples(seed: int, count: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    return torch.randn(count, 3, generator=generator) + 2 * torch.eye(4)[labels][:, :3], labels


@pytest.mark.parametrize("far", [0.0, 0.01, 0.05, 0.1, 0.5, 1.0])
def test_is_the_loop_over_pairs_and_thresholds(far: float) -> None:
    for seed in range(4):
        x, labels = samples(seed)
        result = verify(x, labels, far=far)
        assert result.tar / 100 == pytest.approx(tar_at_far(x, labels, far))
        assert result.measured_far <= far


@pytest.mark.parametrize("far", [0.0, 0.1, 0.2, 0.5])
def test_ties_are_rejected_together(far: float) -> None:
    x, labels = torch.eye(3)[torch.tensor([0, 0, 0, 1, 1, 2, 0])], torch.tensor([0, 0, 1, 1, 1, 2, 2])
    result = verify(3 * x, labels, far=far)
    assert result.tar / 100 == pytest.approx(tar_at_far(x, labels, far))
    assert result.measured_far <= far


def test_equal_embeddings_verify_nothing() -> None:
    result = verify(torch.ones(6, 4), torch.arange(6) % 3, far=0.1)
    assert (result.tar, result.measured_far) == (0.0, 0.0)
    assert verify(torch.ones(6, 4), torch.arange(6) % 3, far=1.0).tar == 100.0
    assert verify(torch.zeros(6, 4), torch.arange(6) % 3, far=0.9).tar == 0.0


def test_identities_apart_are_verified_at_any_rate_and_opposite_pairs_too() -> None:
    labels = torch.arange(12) % 3
    x = torch.eye(3)[labels]
    assert verify(x, labels, far=0.0).tar == 100.0
    line = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    assert verify(line, torch.tensor([0, 0, 1, 1]), far=1.0).tar == 100.0


def test_pairs_are_counted_and_the_rate_is_resolved_or_not() -> None:
    x, labels = torch.randn(10, 3), torch.arange(10) % 2
    result = verify(x, labels, far=0.04)
    assert (result.genuine, result.impostors, result.resolved) == (20, 25, True)
    few = verify(x, labels, far=0.03)
    assert (few.resolved, few.measured_far) == (False, 0.0)
    assert few.tar == verify(x, labels, far=0.0).tar


def test_the_share_is_not_cut_by_rounding() -> None:
    x, labels = torch.randn(20, 3), torch.arange(20) % 2  # 100 impostor pairs
    assert verify(x, labels, far=0.29).measured_far == 0.29


def test_length_and_precision_do_not_matter_and_blocks_do_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = samples(0, 40)
    whole = verify(x, labels, far=0.05)
    assert verify(x * torch.rand(40, 1).add(0.1), labels, far=0.05).tar == whole.tar
    monkeypatch.setattr("wcord.evaluation.verification.BLOCK", 100)
    assert verify(x, labels, far=0.05) == whole


def test_mistakes() -> None:
    x = torch.randn(4, 2)
    with pytest.raises(UsageError, match="pairs of one identity and of two, received 0 and 6"):
        verify(x, torch.arange(4))
    with pytest.raises(UsageError, match="pairs of one identity and of two, received 6 and 0"):
        verify(x, torch.zeros(4).long())
    with pytest.raises(UsageError, match="far must lie between 0 and 1, received 2"):
        verify(x, torch.arange(4), far=2)
    with pytest.raises(UsageError, match="embeddings and labels must hold the same samples, received 4 and 3 rows"):
        verify(x, torch.arange(3))
    with pytest.raises(UsageError, match="embeddings holds 1 values that are NaN"):
        verify(x.clone().index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(torch.nan)), torch.arange(4))


def student(folder: Path, side: int = 8) -> Path:
    torch.manual_seed(0)
    card = ModelCard("resnet8", 10, in_channels=1, image_size=(side, side), mean=(0.5,), std=(0.5,))
    save_weights(create_model("resnet8", num_classes=10, in_channels=1).eval(), folder / "w.safetensors", card=card)
    return folder / "w.safetensors"


def test_the_probe_verifies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = student(tmp_path)
    arguments = ["probe", "--weights", str(weights), "--device", "cpu", "--neighbours", "0"]
    assert main([*arguments, "--verify", "0.01", "1e-6", "--json"]) == 0
    seen = capsys.readouterr()
    (values,) = json.loads(seen.out)
    assert list(values["verification"]) == ["0.01", "1e-06"]
    assert 0 < values["verification"]["0.01"]["tar"] < 100
    assert "pairs of two identities cannot resolve a false accept rate of 1e-06" in seen.err
    assert main([*arguments, "--verify", "0.01"]) == 0
    table = " ".join(capsys.readouterr().out.split())
    assert "TAR at FAR 0.01" in table
    assert "pairs of one class and" in table
    assert "verification" not in api.probe(weights, neighbours=0, device="cpu")
    assert main([*arguments, "--verify", "2"]) == 2
    assert "verify must lie between 0 and 1, received 2" in capsys.readouterr().err
