"""Names of pairs and rows."""

import pytest

from wcord.benchmark.suite import Pair, Suite, Variant, file_name
from wcord.checks import UsageError


def test_names_are_safe_as_folders() -> None:
    pair = Pair("torchvision:resnet34", "hf:microsoft/resnet-18")
    assert pair.name == "torchvision.resnet34-hf.microsoft.resnet-18"
    assert pair.flag == "torchvision:resnet34:hf:microsoft/resnet-18"
    assert not set(":/\\ ") & set(file_name(pair.teacher) + pair.name)


def test_a_row_is_a_method_a_sum_or_a_variant(tiny: Suite) -> None:
    assert tiny.variant("wcord+kd") == Variant("wcord+kd")
    assert tiny.variant("warm") == Variant("kd", ("kd.temperature=2",))
    with pytest.raises(UsageError, match="unknown method 'wrm': did you mean 'warm'"):
        tiny.variant("wrm")
    with pytest.raises(UsageError, match="unknown method 'warm'"):
        tiny.variant("warm+ce")
    assert [tiny.knows(label) for label in ("warm", "kd+ce", "warm+ce", "old")] == [True, True, False, False]
    with pytest.raises(UsageError, match="unknown method 'kdd'"):
        tiny.variant("wcord+kdd")


def test_teachers_are_named_once() -> None:
    pairs = (Pair("a", "b"), Pair("a", "c"), Pair("d", "b"))
    suite = Suite(name="s", title="", protocol="", pairs=pairs, methods=("ce",), seeds=(0,))
    assert suite.teachers == ("a", "d")
