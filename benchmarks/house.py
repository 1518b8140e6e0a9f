"""Measure the size and shape of the source code, in the working tree or at a commit.

    python benchmarks/house.py
    python benchmarks/house.py --at 5c588c8

Prints lines of source and of code (without blank lines, comments and docstrings), dataclasses, class names that occur
more than once, the longest parameter lists, lengths of functions with and without their docstring, files per folder,
and imports of a higher layer, by the layers of pyproject.toml.
"""

import argparse
import ast
import io
import subprocess
import tarfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath

ROOT = Path(__file__).resolve().parent.parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


def read(revision: str | None) -> dict[str, str]:
    """Return path → text of pyproject.toml and the Python files in src, of the working tree or a commit."""
    if revision is None:
        paths = [ROOT / "pyproject.toml", *sorted((ROOT / "src").rglob("*.py"))]
        return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    command = ["git", "-C", str(ROOT), "archive", revision, "src", "pyproject.toml"]
    archive = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        names = [name for name in files.getnames() if name.endswith((".py", "pyproject.toml"))]
        return {name: file.read().decode() for name in names if (file := files.extractfile(name)) is not None}


def code_lines(text: str, tree: ast.Module) -> int:
    """Return the number of lines that are not blank, comment or docstring (attribute docstrings included)."""
    documented: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and n not in documented for n, line in lines)


def parameters(function: Function) -> int:
    """Return the number of parameters of a function, without `self`."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(argument.arg not in ("self", "cls") for argument in named)


def lengths(function: Function) -> tuple[int, int]:
    """Return the number of lines of a function with and without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    return total, total - ((first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0)


def climbs(files: dict[str, str], trees: dict[str, ast.Module]) -> list[str]:
    """Return the imports of a higher layer, as `importer → imported`."""
    contracts = tomllib.loads(files["pyproject.toml"])["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    height = {name.strip(): -number for number, layer in enumerate(layers) for name in layer.split("|")}
    edges = {
        (layer_of(path), ".".join(node.module.split(".")[:2]))
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("wcord.")
    }
    known = sorted((importer, imported) for importer, imported in edges if {importer, imported} <= height.keys())
    return [f"{importer} → {imported}" for importer, imported in known if height[imported] > height[importer]]


def layer_of(path: str) -> str:
    """Return the layer of a file: `src/wcord/losses/kd.py` is in `wcord.losses`."""
    return ".".join(PurePath(path).with_suffix("").parts[1:3])


def measures(files: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Go through the measures: name and value."""
    sources = {path: text for path, text in files.items() if path.endswith(".py")}
    trees = {path: ast.parse(text) for path, text in sources.items()}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, Function)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    yield "files", f"{len(sources)}"
    yield "lines of source", f"{sum(len(text.splitlines()) for text in sources.values()):,}"
    yield "lines of code", f"{sum(code_lines(text, trees[path]) for path, text in sources.items()):,}"
    yield "dataclasses", f"{sum('dataclass' in decorators(node) for node in classes)}"
    repeated = {name: count for name, count in Counter(node.name for node in classes).items() if count > 1}
    yield "classes of one name", f"{len(repeated)} {', '.join(sorted(repeated))}"
    longest = sorted(functions, key=parameters, reverse=True)[:3]
    yield "longest parameter lists", ", ".join(f"{parameters(node)} ({node.name})" for node in longest)
    for number, name in enumerate(("with docstring", "without docstring")):
        sizes = sorted(lengths(node)[number] for node in functions)
        yield f"lines of a function {name}: p95, max", f"{sizes[int(0.95 * len(sizes))]}, {sizes[-1]}"
    folders = Counter(str(PurePath(path).parent.relative_to("src")) for path in sources)
    yield "files per folder", ", ".join(f"{name} {count}" for name, count in folders.most_common())
    upward = climbs(files, trees)
    yield "imports of a higher layer", f"{len(upward)} {', '.join(upward)}"


def decorators(node: ast.ClassDef) -> set[str]:
    """Return the names of a class's decorators."""
    called = (decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list)
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in called}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", metavar="REV", help="a commit; default: the working tree")
    for name, value in measures(read(parser.parse_args().at)):
        print(f"{name:46}{value}".rstrip())


if __name__ == "__main__":
    main()
