"""Classes that go together, follow from each other, or contradict each other in pairs."""

import pytest
import torch

from wcord.data.crossing import crossing


@pytest.mark.parametrize(
    ("theirs", "others", "apart", "text"),
    [
        ([0, 0, 1, 1], ["eins", "zwei"], False, "'a' with 'eins', 'b' with 'zwei'"),
        ([1, 1, 0, 0], ["eins", "zwei"], False, "'a' with 'zwei', 'b' with 'eins'"),
        ([1, 1, 0, 0], ["0", "1"], False, "'a' with '1', 'b' with '0'"),
        ([0, 1, 2, 3], ["p", "q", "r", "s"], False, "'a' with 'p', 'b' with 'r'"),
        ([0, 1, 0, 1], ["eins", "zwei"], True, "of 'a' are paired with those of 'eins' (1), 'zwei' (1)"),
        ([0, 1, 1, 2], ["p", "q", "r"], True, "at least 1 of 4 train pairs"),
    ],
)
def test_how_classes_meet(theirs: list[int], others: list[str], apart: bool, text: str) -> None:
    found = crossing("train", torch.tensor([0, 0, 1, 1]), torch.tensor(theirs), ["a", "b"], others)
    assert found is not None
    assert found.apart == apart
    assert text in found.text


@pytest.mark.parametrize("others", [["a", "b"], ["b", "a"], ["0", "1"], []])
def test_nothing_is_said_of_the_same_names_of_numbers_in_order_and_of_no_labels(others: list[str]) -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert crossing("train", labels, labels, ["a", "b"], others) is None


def test_ten_thousand_classes_cost_no_table_of_them() -> None:
    count = 10_000
    own = torch.arange(count).repeat(2)
    names, others = [f"a{n:05}" for n in range(count)], [f"b{n:05}" for n in range(count)]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        found = crossing("train", own, order[own], names, others)
    assert found is not None
    assert not found.apart
    assert max(event.cpu_memory_usage for event in profile.events()) < 10e6, "a table of them takes 800 MB"
