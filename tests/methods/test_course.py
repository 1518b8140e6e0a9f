"""Weights that rise and fade, step by step."""

import math

import pytest

from wcord.checks import UsageError
from wcord.methods.course import CosineDecay, InTurn, WarmUp
from wcord.methods.setting import Setting

KNOWN, UNKNOWN = Setting(4, 4, 2, 2, total_steps=8), Setting(4, 4, 2, 2)


def values(course: WarmUp | CosineDecay, steps: int = 9) -> list[float]:
    return [float(course()) for _ in range(steps)]


def test_a_rise_reaches_one_at_its_share_of_the_training() -> None:
    assert values(WarmUp(0.5, KNOWN), 6) == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])
    assert values(WarmUp(0.0, KNOWN), 2) == [1, 1]


def test_a_fade_is_a_cosine_from_its_start_to_the_end() -> None:
    expected = [1] * 4 + [0.5 * (1 + math.cos(math.pi * z)) for z in (0, 0.25, 0.5, 0.75, 1)]
    assert values(CosineDecay(0.5, KNOWN)) == pytest.approx(expected)
    assert values(CosineDecay(1.0, KNOWN), 9) == [1] * 9


def test_a_training_of_unknown_length_has_whole_weights() -> None:
    assert values(WarmUp(0.5, UNKNOWN)) == values(CosineDecay(0.0, UNKNOWN)) == [1] * 9


def test_shares_beyond_one_are_refused() -> None:
    with pytest.raises(UsageError, match="warmup must lie between 0 and 1"):
        WarmUp(1.5, KNOWN)
    with pytest.raises(UsageError, match="decay_from must lie between 0 and 1"):
        CosineDecay(-0.1, KNOWN)


@pytest.mark.parametrize(("parts", "total"), [(3, 30), (3, 7), (1, 5), (4, 4), (3, 2)])
def test_part_l_begins_at_its_share_of_the_training(parts: int, total: int) -> None:
    turns = InTurn(parts, total)
    for step in range(total + 2):
        expected = [1.0 if step * parts >= part * total else 0.0 for part in range(parts)]
        assert turns.open().tolist() == expected
        assert turns().tolist() == expected
    turns.eval()
    assert (turns().tolist(), turns.progress.calls.item()) == ([1.0] * parts, total + 2)
    assert list(turns.state_dict()) == ["progress.calls"]


def test_turns_of_no_part_are_refused() -> None:
    with pytest.raises(UsageError, match="parts must be"):
        InTurn(0, 4)
