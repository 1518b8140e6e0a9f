"""`wcord benchmark` as a stranger meets it."""

import json
import tomllib
from pathlib import Path

import pytest

from wcord.benchmark.suite import suite_names
from wcord.cli import main

SUITE = """
title = "Little"
protocol = "Twelve digits a class, one epoch."
pairs = [["resnet8x4", "resnet8"]]
methods = ["ce", "kd"]
seeds = [0]
baseline = "ce"
[data]
data = "digits"
subset = 12.0
[training]
epochs = 1
[distill]
allow_weak_teacher = true
[teacher]
"""


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "little.toml"
    path.write_text(SUITE)
    return str(path)


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a wrong command and return its one line."""
    assert main(["benchmark", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line.removeprefix("wcord: ")


def test_from_nothing_to_tables_and_records(suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, kept = tmp_path / "out", tmp_path / "records"
    asked = ["benchmark", suite, "--out", str(out), "--device", "cpu", "--methods", "kd,kdsvd"]
    assert main([*asked, "--status"]) == 0
    assert "0 done, 2 left of 2" in capsys.readouterr().out
    assert not out.exists()

    assert main([*asked, "--max-time", "0.1"]) == 0
    told = capsys.readouterr().err
    assert "reached --max-time of 0.1 minutes" in told
    assert f"resume with: wcord benchmark {suite} --out {out} --device cpu --methods kd,kdsvd --max-time 0.1" in told

    assert main(asked) == 0
    told = capsys.readouterr()
    assert "1 done, 1 not applicable, 0 left of 2" in told.out
    assert "kdsvd: not applicable: " in told.err
    assert "| `kdsvd` | not applicable |" in (out / "little" / "tables.md").read_text()
    assert "- Not run yet: ce." in (out / "little" / "tables.md").read_text()
    assert "<svg" in (out / "little" / "tables.html").read_text()

    assert main(["benchmark", suite, "--out", str(out), "--tables", "--baseline", "kd"]) == 0
    assert "− kd" in (out / "little" / "tables.md").read_text()
    capsys.readouterr()
    assert main(["benchmark", suite, "--out", str(out), "--records", str(kept)]) == 0
    assert f"3 records of little in {kept / 'little'}" in capsys.readouterr().out
    record = json.loads((kept / "little" / "resnet8x4-resnet8" / "kd" / "seed0.json").read_text())
    assert record["row"] == "little/resnet8x4-resnet8/kd"
    assert json.loads((kept / "little/resnet8x4-resnet8/kdsvd/seed0.json").read_text())["status"] == "not applicable"


def test_a_failure_is_told_at_the_end(suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["benchmark", suite, "--out", str(tmp_path / "out"), "--device", "cpu", "--methods", "kd"]
    bent = ["--override", "lr=1e30", "batch_size=16"]
    assert main([*asked, *bent]) == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("wcord: 1 failed; the first: teacher resnet8x4: ce became nan at step ")
    assert told.endswith("--retry repeats them")
    assert main(asked) == 1
    capsys.readouterr()
    assert main([*asked, "--retry"]) == 0


def test_a_row_is_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "crd13", "--recipe-of", "crd13/resnet56-resnet20/wcord+kd/seed2"]) == 0
    shown = capsys.readouterr().out
    settings = tomllib.loads(shown)
    assert (settings["teacher"], settings["student"], settings["method"]) == ("resnet56", "resnet20", "wcord+kd")
    assert (settings["training"]["epochs"], settings["training"]["seed"]) == (240, 2)
    # The recipe is taken as it stands: what is wrong here is only the data.
    (tmp_path / "row.toml").write_text(shown)
    flags = ["--recipe", str(tmp_path / "row.toml"), "--data", "parquet:none", "--out", str(tmp_path / "run")]
    assert main(["distill", *flags]) == 2
    assert "none" in capsys.readouterr().err


def test_mistakes_get_one_line(suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert f"name a suite: {', '.join(suite_names())}" in mistake(capsys)
    assert "unknown suite 'crd14': did you mean 'crd13'" in mistake(capsys, "crd14")
    assert "missing --data: suite mini needs a data source" in mistake(capsys, "mini", *out)
    assert "--seeds takes whole numbers" in mistake(capsys, suite, "--seeds", "a", *out)
    assert "unknown pair of little 'a:b'" in mistake(capsys, suite, "--pairs", "a:b", *out)
    assert "unknown option '--metods': did you mean '--methods'" in mistake(capsys, suite, "--metods", "kd")
    assert "unknown setting to override 'epoch'" in mistake(capsys, suite, "--override", "epoch=1", *out)
    assert "a row is named little/TEACHER-STUDENT/METHOD" in mistake(capsys, suite, "--recipe-of", "kd")
    assert "does not train its teachers" in mistake(capsys, "imagenet", "--data", "imagefolder:none", *out)
    assert "unknown method 'kdd'" in mistake(capsys, suite, "--baseline", "kdd", *out)
    assert "--max-time must be a finite number above 0, received nan" in mistake(
        capsys, suite, "--max-time", "nan", *out
    )
    assert "must be a finite number above 0, received 0.0" in mistake(capsys, suite, "--max-time", "0", *out)
    assert "--max-time must be a finite number above 0, received 'x'" in mistake(capsys, suite, "--max-time", "x", *out)
    assert "'stray' belongs to no option: leave it out" in mistake(capsys, suite, "stray", *out)
    assert "--seeds takes whole numbers of 0 or more" in mistake(capsys, suite, "--seeds=-1", *out)
    assert "unknown method 'warm'" in mistake(capsys, suite, "--methods", "warm+ce", *out)
    assert not (tmp_path / "out").exists()
    for flag in ("--out", "--records"):
        assert f"{suite!r} is not a folder, name another place" in mistake(capsys, suite, flag, f"{suite}/there")
        assert "is not a folder, name another place" in mistake(capsys, suite, flag, suite, "--status")
    broken = tmp_path / "broken.toml"
    broken.write_text("title = ")
    assert f"suite {str(broken)!r} is not valid TOML" in mistake(capsys, str(broken), *out)


def test_a_row_that_the_suite_has_lost_is_named_in_its_tables(
    suite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out" / "little" / "resnet8x4-resnet8" / "lost" / "seed0"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text('{"epochs":')
    assert main(["benchmark", suite, "--out", str(tmp_path / "out"), "--status"]) == 0
    assert main(["benchmark", suite, "--out", str(tmp_path / "out"), "--tables"]) == 0
    assert "resnet8x4-resnet8/lost" in (tmp_path / "out" / "little" / "tables.md").read_text()


def test_the_help_names_the_suites(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["benchmark", "--help"])
    assert f"Suites: {', '.join(suite_names())}." in " ".join(capsys.readouterr().out.split())
