"""Names of pairs and rows."""

import csv
from pathlib import Path

import pytest

from wcord.benchmark.suite import Pair, Suite, Variant, file_name, read_suite, suite_folder, suite_names
from wcord.checks import UsageError
from wcord.methods.catalogue import METHODS
from wcord.training.config import TrainingConfig


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


MINIMAL = 'title = "t"\nprotocol = "p"\npairs = [["resnet14", "resnet8"]]\nmethods = ["ce", "kd"]\nseeds = [0]\n'


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_is_read_and_repeats_no_default(name: str) -> None:
    suite = read_suite(name)
    assert suite.name == name
    assert suite.title
    assert suite.protocol
    assert suite.baseline in suite.methods
    default = TrainingConfig()
    assert not [key for key, value in suite.training.items() if getattr(default, key) == value]


def test_the_thirteen_pairs_are_those_of_the_published_table() -> None:
    suite = read_suite("crd13")
    text = Path("src/wcord/benchmark/cifar100_published.csv")
    path = suite_folder().parents[1] / text
    published = {(line["teacher"], line["student"]) for line in csv.DictReader(path.read_text().splitlines())}
    assert {(pair.teacher, pair.student) for pair in suite.pairs} == published
    assert len(suite.pairs) == 13
    assert suite.pairs[0] == Pair("wrn_40_2", "wrn_16_2")
    assert suite.pairs[-1] == Pair("wrn_40_2", "ShuffleV1")


def test_a_star_is_every_method_of_the_catalogue() -> None:
    assert set(METHODS) <= set(read_suite("mini").methods)


def test_a_base_is_taken_over_table_by_table() -> None:
    mini, hard, strong = read_suite("mini"), read_suite("mini_hard"), read_suite("strong")
    assert hard.data == {**mini.data, "subset": 50.0}
    assert (hard.pairs, hard.training) == (mini.pairs, mini.training)
    assert hard.teacher == {**(mini.teacher or {}), "subset": 100.0}
    assert strong.pairs == read_suite("crd13").pairs
    assert strong.published is None
    assert strong.training["epochs"] == 480
    assert strong.teacher == {"epochs": 240, "views": 1}


def test_a_file_of_ones_own_may_build_on_another_beside_it(tmp_path: Path) -> None:
    (tmp_path / "under.toml").write_text(MINIMAL + "[training]\nepochs = 2\nlr = 0.1\n")
    (tmp_path / "over.toml").write_text('base = "under.toml"\nmethods = ["kd"]\n[training]\nlr = 0.2\n')
    suite = read_suite(str(tmp_path / "over.toml"))
    assert (suite.name, suite.methods, suite.training) == ("over", ("kd",), {"epochs": 2, "lr": 0.2})
    assert isinstance(suite, Suite)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL.replace("seeds", "seed"), "unknown entry of the suite 'seed': did you mean 'seeds'"),
        (MINIMAL.replace("title", "baseline"), "lacks title"),
        (MINIMAL.replace("[0]", '"0"'), "seeds must be a list, received '0'"),
        (MINIMAL.replace("[0]", "[0, 0]"), "seeds must be whole numbers of 0 or more, each once"),
        (MINIMAL.replace("[0]", "[true]"), "seeds must be a whole number of at least 0, received True"),
        (MINIMAL.replace('["resnet14", "resnet8"]', '["resnet14"]'), r'a pair is \["TEACHER", "STUDENT"\]'),
        (MINIMAL.replace("]]", '], ["resnet14", "resnet8"]]'), "has a pair twice"),
        (MINIMAL.replace('"kd"', '"kdd"'), "unknown method 'kdd': did you mean 'kd'"),
        (MINIMAL + 'baseline = "wcrod"\n', "unknown method 'wcrod': did you mean 'wcord'"),
        (MINIMAL + '[variants.warm]\nmethod = "kd"\nsets = []\n', "unknown entry of variants.warm 'sets': did you"),
        (MINIMAL.replace("[0]", "[-1]"), "seeds must be a whole number of at least 0, received -1"),
        (
            MINIMAL + '[variants."T=2/KD"]\nmethod = "kd"\n',
            "a variant is named by letters, digits and . _ . -, received",
        ),
        (MINIMAL + '[variants.".."]\nmethod = "kd"\n', "a variant is named by"),
        (MINIMAL + '[variants.a]\nmethod = "kd"\n[variants.b]\nmethod = "a"\n', "unknown method 'a'"),
        (MINIMAL + 'name = "mine"\n', "name is that of the file: leave it out"),
        (MINIMAL + 'base = "suite.toml"\n', "base must name another suite, not itself"),
        (MINIMAL + 'base = "none"\n', "unknown suite 'none'"),
        ("seeds = [", "suite .* is not valid TOML"),
    ],
)
def test_mistakes_get_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_suite(str(tmp_path / "suite.toml"))


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown suite 'minni': did you mean 'mini'"):
        read_suite("minni")
    with pytest.raises(UsageError, match=r"suite 'none\.toml' does not exist"):
        read_suite("none.toml")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"resnet14:resnet9" = []', "unknown pair in .options. of suite .*did you mean 'resnet14:resnet8'"),
        ('"resnet14:resnet8" = "kd.temperature=2"', "options.resnet14:resnet8 must be a list, received"),
        ('"resnet14:resnet8" = ["temperature=2"]', r"METHOD\.OPTION=VALUE"),
        ('"resnet14:resnet8/kdd" = ["kd.temperature=2"]', "unknown method 'kdd'"),
        ('"resnet14:resnet8" = ["kdd.temperature=2"]', "unknown method in options of resnet14:resnet8 'kdd'"),
    ],
)
def test_options_of_a_pair_are_checked(tiny_file: Path, line: str, message: str) -> None:
    tiny_file.write_text(f"{tiny_file.read_text()}\n[options]\n{line}\n")
    with pytest.raises(UsageError, match=message):
        read_suite(str(tiny_file))
