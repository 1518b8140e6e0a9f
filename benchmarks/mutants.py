"""Change the source in one place at a time and check that a test fails: `python benchmarks/mutants.py --count 200`.

A mutant is a copy of the source with one comparison, operator, constant, boolean, pair of arguments or statement
changed. It is killed if a test of its file fails: tests/FOLDER/test_FILE.py, the doctests of the file, and the rows
of the loss contract; if none fails, the tests of the whole folder and of all arguments run as well. Survivors are
printed as diffs: a gap in the tests, or a change without effect. The working tree is never touched. (mutmut 3 rewrites
every function of the package and runs whole suites; here a mutant needs a few seconds.)

Changes without effect, which are not gaps:

- a bound of a block size or of a memory limit: it changes how much is computed at once, not the result;
- a tolerance, a floor under a square root or a logarithm, times 2 or divided by 2: both keep values finite;
- `detach()` or a check that a caller has already made.
"""

import argparse
import ast
import contextlib
import copy
import difflib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = "losses,transport,contrast,data"
LINKED = ("tests", "benchmarks", "docs", "examples", "conftest.py", "pyproject.toml", "README.md", "CONTRIBUTING.md")
EVERYWHERE = ("tests/test_arguments.py", "tests/test_doors.py", "tests/test_dtypes.py")
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Of pytest; the other libraries are imported before it starts, so that it cannot rewrite their assertions."""
BROKEN = 99
"""Exit code of tests that did not run."""
ROWS = {"reviewkd": "reviewkd or hcl", "ttm": "ttm", "bce": "bce", "maps": "", "logits": ""}
"""File of losses → rows of the contract, if not those of its name."""
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the text between two offsets becomes another."""

    file: Path
    start: int
    end: int
    text: str

    def applied(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]

    def diff(self) -> str:
        source = (ROOT / self.file).read_text(encoding="utf-8")
        lines = difflib.unified_diff(source.splitlines(), self.applied(source).splitlines(), lineterm="", n=1)
        return "\n".join(["", str(self.file), *list(lines)[2:]])


def mutants(file: Path, source: str) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = source.splitlines()

    def offset(line: int, column: int) -> int:  # the column counts bytes
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    for node in places(ast.parse(source)):
        start = offset(node.lineno, node.col_offset)
        end = offset(node.end_lineno or 0, node.end_col_offset or 0)
        for changed in changes(node):
            text = ast.unparse(changed)
            if isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp):
                text = f"({text})"
            yield Mutant(file, start, end, text)


def places(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Yield each node whose change can matter: no annotation, no docstring, no text and nothing within a message."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom) or not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            if not isinstance(child, ast.Raise):
                yield from places(child)


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield each changed form of a node."""
    other = copy.deepcopy(node)
    match node, other:
        case ast.Compare(), ast.Compare() if type(node.ops[0]) in COMPARISONS:
            other.ops[0] = COMPARISONS[type(node.ops[0])]()
            yield other
        case ast.BinOp(), ast.BinOp() if type(node.op) in OPERATORS:
            other.op = OPERATORS[type(node.op)]()
            yield other
        case ast.BoolOp(), ast.BoolOp():
            other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield other
        case ast.UnaryOp(op=ast.Not() | ast.USub()), _:
            yield node.operand
        case ast.Constant(value=bool()), ast.Constant():
            other.value = not node.value
            yield other
        case ast.Constant(value=int()), ast.Constant():
            other.value = node.value + 1
            yield other
        case ast.Constant(value=float()), ast.Constant():
            other.value = 2 * node.value if node.value else 1.0
            yield other
        case ast.Call(), ast.Call() if len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args):
            other.args[:2] = node.args[1::-1]
            yield other
        case ast.Raise() | ast.AugAssign() | ast.Expr(value=ast.Call()), _:
            yield ast.Pass()


def tests_of(file: Path, whole_folder: bool) -> list[list[str]]:
    """Return the arguments of each call of pytest that may kill a mutant of a file."""
    folder, stem = file.parent.name, file.stem
    if whole_folder:
        return [[f"tests/{folder}", *EVERYWHERE]]
    calls = [[name] for name in (f"tests/{folder}/test_{stem}.py",) if (ROOT / name).is_file()]
    if folder == "losses":
        rows = ROWS.get(stem, stem)
        calls.append(["tests/losses/test_contract.py", *(["-k", rows] if rows else [])])
    return [*calls, [str(file)]]  # doctests last: pytest puts the module in the place of a function of its name


def passes(copied: Path, calls: list[list[str]], seconds: float) -> bool:
    """Return whether all tests pass in a copy of the project, in a fork that has imported torch."""
    process = os.fork()
    if process == 0:
        run_tests(copied, calls)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code == BROKEN:
                raise RuntimeError(f"pytest does not run: {' '.join(calls[0])}")
            return code == 0
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def run_tests(copied: Path, calls: list[list[str]]) -> None:
    """Run pytest and end the process; 0 where all tests pass, or where there are none."""
    os.setpgrp()
    import pytest

    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    os.chdir(copied)
    sys.path[:0] = [str(copied), str(copied / "src")]
    os.environ["PYTHONPATH"] = str(copied / "src")
    sys.dont_write_bytecode = True
    code = BROKEN
    with contextlib.suppress(BaseException):
        codes = (int(pytest.main([*OPTIONS, *call])) for call in calls)
        code = next((one for one in codes if one not in (0, pytest.ExitCode.NO_TESTS_COLLECTED)), 0)
    os._exit(code)


def import_others() -> None:
    """Import the other libraries of the tests once for all forks."""
    for name in ("hypothesis", "ot", "pytest", "torch.testing", "wcord.api.runs"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "wcord"]:
        del sys.modules[name]


def copy_of_the_project(folder: Path) -> Path:
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    return folder


def survives(mutant: Mutant, copied: Path, seconds: float) -> bool:
    path = copied / mutant.file
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    path.write_text(mutant.applied(source), encoding="utf-8")
    try:
        return all(passes(copied, tests_of(mutant.file, whole), seconds) for whole in (False, True))
    finally:
        path.write_text(source, encoding="utf-8")


def sampled(folders: list[str], count: int, seed: int) -> list[Mutant]:
    """Return mutants drawn evenly from all files of some folders."""
    files = sorted(path for folder in folders for path in (ROOT / "src" / "wcord" / folder).glob("*.py"))
    drawn = [
        mutant
        for path in files
        if path.name not in ("__init__.py", "kernel.py")  # Triton runs kernels on a GPU alone
        for mutant in mutants(path.relative_to(ROOT), path.read_text(encoding="utf-8"))
    ]
    return random.Random(seed).sample(drawn, min(count, len(drawn)))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", default=FOLDERS, help="folders of src/wcord, separated by commas")
    parser.add_argument("--count", type=int, default=200, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--seconds", type=float, default=120.0, help="of one mutant's tests; more counts as killed")
    arguments = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen = sampled(arguments.folders.split(","), arguments.count, arguments.seed)
    import_others()
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as scratch:
        copied = copy_of_the_project(Path(scratch))
        for file in sorted({mutant.file for mutant in chosen}):
            if not passes(copied, tests_of(file, False), 10 * arguments.seconds):
                print(f"the tests of {file} fail without a mutant")
                return 1
        for number, mutant in enumerate(chosen, 1):
            if survives(mutant, copied, arguments.seconds):
                survivors.append(mutant)
                print(mutant.diff(), flush=True)
            if number % 10 == 0:
                print(f"{number} tried, {number - len(survivors)} killed", flush=True)
    killed = len(chosen) - len(survivors)
    print(f"{killed} of {len(chosen)} mutants killed ({100 * killed / max(len(chosen), 1):.0f} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
