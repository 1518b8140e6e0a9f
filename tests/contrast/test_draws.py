"""Draws are uniform, without replacement while they can be, and never of the anchor's class when told so."""

from collections import Counter
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.host_reads import reads_refused

from wcord.checks import UsageError
from wcord.contrast.draws import draw_other_class, draw_rows
from wcord.host import no_reads

CPU = torch.device("cpu")


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 5))
def test_rows_are_valid_and_distinct_while_there_are_enough(valid, count, batch):
    drawn = draw_rows(valid, count, batch=batch, device=CPU)
    assert drawn.shape == (batch, count)
    assert drawn.min() >= 0
    assert drawn.max() < valid
    if count <= valid:
        assert all(row.unique().numel() == count for row in drawn)


@pytest.mark.parametrize("count", [3, 40])
def test_every_row_is_drawn_equally_often(count):
    torch.manual_seed(0)
    trials, valid = 3000, 10
    counts = sum(
        draw_rows(valid, count, batch=1, device=CPU).flatten().bincount(minlength=valid) for _ in range(trials)
    )
    expected = trials * count / valid
    assert (counts - expected).abs().max() < 5 * expected**0.5


def test_subsets_of_one_anchor_are_uniform():
    torch.manual_seed(0)
    pairs = torch.zeros(4, 4)
    for _ in range(3000):
        a, b = draw_rows(4, 2, batch=3, device=CPU)[1].sort().values.tolist()
        pairs[a, b] += 1
    six = pairs[pairs > 0]
    assert six.numel() == 6
    assert (six - 500).abs().max() < 5 * 500**0.5


def test_anchors_read_different_windows():
    torch.manual_seed(0)
    drawn = draw_rows(1000, 10, batch=8, device=CPU)
    assert len({tuple(row.tolist()) for row in drawn}) == 8


def test_generator_decides():
    first, second = (
        draw_rows(50, 9, batch=4, device=CPU, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)


def draw(rows, anchors, count, way):
    """Draw for all anchors at once wherever that can be done, class by class, or without a look at the classes."""
    if way == "blind":
        with no_reads(), reads_refused():
            return draw_other_class(rows, anchors, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wcord.contrast.draws.LARGEST_CLASS", float("inf") if way == "together" else -1.0)
        return draw_other_class(rows, anchors, count)


WAYS = pytest.mark.parametrize("way", ["together", "by class", "blind"])


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from([-100, -1, 0, 1, 2, 3]), min_size=1, max_size=20),
    st.lists(st.sampled_from([-100, -1, 0, 1, 2, 3, 4]), min_size=1, max_size=6),
    st.integers(1, 25),
    st.sampled_from(["together", "by class"]),
)
def test_own_class_is_never_drawn(row_labels, labels, count, way):
    rows, anchors = torch.tensor(row_labels), torch.tensor(labels)
    if any((rows == label).all() for label in labels):
        with pytest.raises(UsageError, match="found no row of another class for an anchor of class"):
            draw(rows, anchors, count, way)
        return
    drawn = draw(rows, anchors, count, way)
    assert drawn.shape == (len(labels), count)
    assert (rows[drawn] != anchors.unsqueeze(1)).all()
    for label, row in zip(labels, drawn, strict=True):
        candidates = int((rows != label).sum())
        assert row.unique().numel() == count if count <= candidates else row.max() < len(row_labels)


def test_no_anchors_have_no_draw():
    assert draw_other_class(torch.tensor([0, 1]), torch.zeros(0, dtype=torch.long), 3).shape == (0, 3)


@WAYS
def test_other_classes_are_drawn_equally_often(way):
    torch.manual_seed(0)
    rows, counts = torch.tensor([0, 0, 1, 1, 2, 2]), torch.zeros(6)
    for _ in range(2000):
        counts += draw(rows, torch.tensor([0, 1]), 2, way)[0].bincount(minlength=6)
    assert (counts[:2] == 0).all()
    assert (counts[2:] - 1000).abs().max() < 5 * 1000**0.5


@WAYS
@pytest.mark.parametrize(
    ("rows", "anchor"), [([0, 1, 2, 3, 4, 5], 0), ([0, 0, 0, 1, 2, 3], 0), ([2, 1, 1, 1, 2, 0], 2)]
)
def test_subsets_of_other_classes_are_uniform(rows, anchor, way):
    torch.manual_seed(0)
    others, trials, count = [row for row, label in enumerate(rows) if label != anchor], 3000, 2
    drawn = [draw(torch.tensor(rows), torch.tensor([3, anchor]), count, way)[1] for _ in range(trials)]
    counts = Counter(tuple(sorted(each.tolist())) for each in drawn)
    subsets = list(combinations(others, count))
    assert set(counts) == set(subsets)
    expected = trials / len(subsets)
    assert all(abs(seen - expected) < 5 * expected**0.5 for seen in counts.values())


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([-100, -1, 0, 1, 2, 3]), min_size=1, max_size=20),
    st.lists(st.sampled_from([-100, -1, 0, 1, 2, 3, 4]), min_size=1, max_size=6),
    st.integers(1, 25),
    st.sampled_from([0, 40, 1 << 23]),
)
def test_without_a_look_own_class_is_drawn_only_where_there_is_no_other(row_labels, labels, count, windows):
    rows, anchors = torch.tensor(row_labels), torch.tensor(labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wcord.contrast.draws.WINDOWS", windows)
        drawn = draw(rows, anchors, count, "blind")
    assert drawn.shape == (len(labels), count)
    assert drawn.min() >= 0
    assert drawn.max() < len(row_labels)
    for label, row in zip(labels, drawn, strict=True):
        candidates = int((rows != label).sum())
        if candidates:
            assert (rows[row] != label).all()
        if windows >= len(labels) * len(row_labels):  # each anchor sees all rows
            assert row.unique().numel() == min(count, candidates or 1)


@pytest.mark.parametrize(("count", "windows"), [(3, 1 << 23), (9, 1 << 23), (2, 0)])
def test_without_a_look_rows_are_drawn_equally_often(count, windows, monkeypatch):
    """All candidates, more than there are, and windows in which some anchor finds too few."""
    monkeypatch.setattr("wcord.contrast.draws.WINDOWS", windows)
    torch.manual_seed(0)
    rows, counts, trials = torch.tensor([0, 0, 0, 0, 0, -1, 1, 1, 2]), torch.zeros(9), 3000
    for _ in range(trials):
        counts += draw(rows, torch.tensor([1, 0]), count, "blind")[1].bincount(minlength=9)
    assert (counts[:5] == 0).all()
    expected = trials * count / 4
    assert (counts[5:] - expected).abs().max() < 5 * expected**0.5
