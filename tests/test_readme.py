"""What the README and the examples say can be run as it stands, and the generated tables are up to date."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_plain_loop_of_the_readme_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, object] = {}
    exec(code, scope)
    assert set(scope["report"].parts) == {"gckt", "lckt"}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_run(example: Path) -> None:
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_generated_tables_are_those_of_the_records() -> None:
    tables = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("methods", "results", "speed"):
        assert tables["fill"](text, name, tables[f"{name}_table"]()) == text, "run python benchmarks/tables.py"
