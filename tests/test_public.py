"""What is public is said by `__all__`; examples and documents import nothing else."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wcord

ROOT = Path(__file__).parents[1]
PACKAGES = ("wcord", *(f"wcord.{name}" for name in (*wcord.__all__, "api") if (ROOT / "src/wcord" / name).is_dir()))
LAZY = [name for name in PACKAGES if (ROOT / "src" / name.replace(".", "/") / "__init__.pyi").exists()]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> list[str]:
    """Return the Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def imports(code: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of each import from wcord; the name is empty where the module itself is imported."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "wcord":
            yield from ((str(node.module), alias.name) for alias in node.names)
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "wcord")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wcord":
            yield "wcord", node.attr


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_exists(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in dir(module)


@pytest.mark.parametrize("package", LAZY)
def test_no_lazy_name_is_hidden_by_a_file_of_the_same_name(package: str) -> None:
    module = importlib.import_module(package)
    files = {path.stem for path in (ROOT / "src" / package.replace(".", "/")).glob("*.py")}
    assert not files & set(module.__all__)


def test_importing_wcord_and_all_its_packages_does_not_import_torch() -> None:
    program = f"import sys, {', '.join(LAZY)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("command", [["--help"], ["distill", "--help"], ["benchmark", "--help"]], ids=" ".join)
def test_help_does_not_import_torch(command: list[str]) -> None:
    program = (
        f"import sys\nfrom wcord.cli import main\ntry: main({command})\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", [*sorted((ROOT / "examples").glob("*.py")), *DOCUMENTS], ids=lambda path: path.name)
def test_examples_and_documents_import_public_names_only(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    for code in [text] if source.suffix == ".py" else blocks(text):
        for module, name in imports(code):
            assert module in PACKAGES, f"{module} is not public"
            assert not name or name in importlib.import_module(module).__all__, f"{module}.{name} is not public"


def test_a_private_import_is_noticed() -> None:
    code = "import wcord\nfrom wcord.data.batch import Batch\nwcord.distill()"
    assert set(imports(code)) == {("wcord", ""), ("wcord.data.batch", "Batch"), ("wcord", "distill")}
