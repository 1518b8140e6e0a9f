"""Published numbers are those of the table that has its sources, and doubts are told."""

import pytest

from wcord.benchmark.published import DOUBTS, NAMES, TABLES, find_published, published_names, read_published
from wcord.benchmark.suite import read_suite
from wcord.checks import UsageError

# Chosen cells of the pair resnet56 → resnet20, as one reads them in the papers' tables.
CELLS = {"ce": 69.06, "kd": 70.66, "fitnet": 69.21, "crd": 71.16, "wcord": 71.56, "wcord+kd": 71.92, "kd+wcord": 71.92}


@pytest.mark.parametrize(("method", "top1"), CELLS.items())
def test_cells_by_our_names(method: str, top1: float) -> None:
    found = find_published(read_published("cifar100"), "resnet56", "resnet20", method)
    assert found is not None
    assert found.top1 == top1
    assert found.source


def test_every_method_of_the_benchmark_is_there_for_every_pair() -> None:
    table, suite = read_published("cifar100"), read_suite("crd13")
    for pair in suite.pairs:
        for method in ("ce", "kd", "fitnet", "at", "sp", "cc", "vid", "rkd", "pkt", "ab", "ft", "nst", "crd", "wcord"):
            assert find_published(table, pair.teacher, pair.student, method) is not None, (pair, method)
        assert (pair.teacher, pair.student, "Teacher") in table


def test_what_was_not_confirmed_is_marked() -> None:
    table = read_published("cifar100")
    doubts = {cell: published.doubt for cell, published in table.items()}
    assert doubts["resnet56", "resnet20", "CRD"] == ""
    assert doubts["resnet56", "resnet20", "WCoRD"] == DOUBTS["from memory"]
    assert doubts["resnet56", "resnet20", "WCoRD+KD"] == DOUBTS["by inference"]
    for (_, _, method), published in table.items():
        told = published.source.lower()
        assert bool(published.doubt) == any(
            mark in told for mark in ("memory", "inference", "garbled", "text conversion of", "summary of")
        ), method


def test_the_first_confirmed_source_counts_and_others_are_kept() -> None:
    published = read_published("cifar100")["vgg13", "vgg8", "ReviewKD"]
    assert published.top1 == 74.85
    assert [top1 for top1, _ in published.others] == [74.84, 74.84]
    shuffle = read_published("cifar100")["resnet32x4", "ShuffleV1", "WCoRD+KD"]
    assert shuffle.doubt
    assert len(shuffle.others) == 2


def test_names_of_sums_in_either_order_and_no_name_for_ours() -> None:
    assert set(published_names("lskd")) == {"KD+LogitStd"}
    assert set(published_names("crd+kd")) == {"CRD+KD", "KD+CRD"}
    assert not list(published_names("wcord-a+kd"))
    assert find_published(read_published("cifar100"), "resnet56", "resnet20", "crd-std") is None


def test_our_names_stand_in_the_table() -> None:
    methods = {method for _, _, method in read_published("cifar100")}
    assert set(NAMES.values()) <= methods
    assert all(read_published(name) for name in TABLES)


def test_imagenet_has_the_names_of_its_suite() -> None:
    table, suite = read_published("imagenet"), read_suite("imagenet")
    assert {(teacher, student) for teacher, student, _ in table} == {(p.teacher, p.student) for p in suite.pairs}
    for pair, numbers in zip(suite.pairs, ((71.42, 72.19, 71.17), (72.18, 73.09, 71.37)), strict=True):
        found = [find_published(table, pair.teacher, pair.student, label) for label in ("lskd", "wttm", "crd")]
        assert [one.top1 for one in found if one] == list(numbers)
    with pytest.raises(UsageError, match="unknown table of published numbers 'cifar10': did you mean 'cifar100'"):
        read_published("cifar10")
