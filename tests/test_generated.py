"""Examples and commands of the documents run as they are, and the generated tables are up to date."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from wcord.cli import main
from wcord.methods.catalogue import METHODS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(example: Path) -> None:
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_generated_parts_are_those_of_catalogue_suites_and_records() -> None:
    tables = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))
    for path, text in tables["generated"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run python benchmarks/tables.py"


def test_a_stale_table_is_found() -> None:
    tables = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))
    text = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    stale = text.replace("| `kd` | softened logits | 1 |", "| `kd` | softened logits | 2 |")
    assert stale != text
    assert tables["fill"](stale) == text


def test_reconstructions_stand_in_a_table_of_their_own() -> None:
    tables = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))
    methods, title, reconstructions = tables["methods_table"]().partition("**Reconstructions.**")
    assert title
    for name, info in METHODS.items():
        assert (f"| `{name}` | {info.title} |" in reconstructions) == info.reconstruction, name
        assert (f"| `{name}` | {info.title} |" in methods) != info.reconstruction, name
    assert reconstructions.count("| method | what it is |") == 1


def test_probes_are_averaged_over_seeds_and_compared_with_the_plain_student(tmp_path: Path) -> None:
    tables = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))
    reached = [("big", "ce", 0, 50.0), ("small", "ce", 0, 30.0), ("small", "ce", 1, 32.0), ("small", "kd", 0, 33.0),
               ("small", "kd", 1, 36.0)]  # fmt: skip
    made = [
        {"architecture": network, "method": method, "seed": seed, "data": "other", "note": "4 samples to fit",
         "top1": {"linear": top1, "linear, 5 a class": {"mean": top1 - 10, "std": 1.0, "draws": 10}}}
        for network, method, seed, top1 in reached
    ]  # fmt: skip
    (tmp_path / "transfer").mkdir()
    (tmp_path / "transfer" / "other.json").write_text(json.dumps(made))
    tables["transfer_tables"].__globals__["RECORDS"] = tmp_path
    lines = tables["transfer_tables"]().splitlines()
    assert "| big | `ce` | 50.00 | – | 40.00 | – |" in lines
    assert "| small | `ce` | 31.00 ± 1.41 (2) | – | 21.00 ± 1.41 (2) | – |" in lines
    assert lines[-1].startswith("| small | `kd` | 34.50 ± 2.12 (2) | +3.50 ± 0.50 (p 0.09")


def test_no_record_names_a_folder_of_the_machine_that_made_it() -> None:
    files = list((ROOT / "benchmarks" / "records").rglob("*.json"))
    assert len(files) > 100
    for file in files:
        named = re.findall(r'"(?:\w+:)?/[^"]*"', file.read_text(encoding="utf-8"))
        assert not named, f"{file}: {named[0]}"


def test_the_rows_that_the_benchmarks_page_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    wcord (benchmark \w+ --recipe-of \S+)", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert main(command.split()) == 0
        assert "[training]" in capsys.readouterr().out


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a source archive has no repository to ask")
def test_git_ignores_no_record() -> None:
    """A method may be named as a build folder is (`dist`): no pattern of .gitignore may swallow its records."""
    records = [path.relative_to(ROOT).as_posix() for path in (ROOT / "benchmarks" / "records").rglob("*.json")]
    to_come = [f"benchmarks/records/mini/pair/{name}/seed0.json" for name in METHODS]
    asked = "\n".join([*records, *to_come])
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    found = subprocess.run(command, cwd=ROOT, input=asked, text=True, capture_output=True, check=False)
    assert found.returncode == 1, f"ignored by git: {found.stdout}{found.stderr}"  # 1: none of them is ignored


def test_no_record_tells_where_files_lay_on_a_machine() -> None:
    for path in (ROOT / "benchmarks" / "records").rglob("*.json"):
        found = re.findall(r'"[^"\s]*(?:^|:|")(/[^"\s]+)"', path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: {found[0]}"
