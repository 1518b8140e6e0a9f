"""Help and version of the command line, what it imports, and how each kind of mistake ends."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

import wcord
from wcord.checks import RunError, UsageError
from wcord.cli import COMMANDS, entry, main


def test_overview_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert main([]) == 2
    assert main(["--version"]) == 0
    assert wcord.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"usage: wcord {command}" in capsys.readouterr().out


SLOW = ("torch", "numpy", "pandas", "matplotlib", "jinja2", "timm", "transformers")


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["--help"], ("wcord.training", "rich.table")),
        (["--version"], ("wcord.training", "rich.table")),
        (["list"], ()),
        (["train", "--epochs", "many"], ("wcord.api", "rich.table")),
        *(([command, "--help"], ("wcord.api",)) for command in COMMANDS),
    ],
)
def test_torch_and_its_like_are_imported_only_to_do_work(arguments: list[str], more: tuple[str, ...]) -> None:
    program = (
        "import sys\nfrom wcord.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"sys.exit(str([name for name in {(*SLOW, *more)} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], check=False, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("asked"), 2), (RunError("failed"), 1), (OSError("full"), 1), (KeyboardInterrupt(), 130)],
)
def test_each_kind_of_end_has_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(entry, "load", lambda command: fail)
    assert main(["demo"]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_readers_are_imported_when_their_data_are_asked_for() -> None:
    """Each takes a second with the library that it stands on: pandas, SciPy's signals, datasets, kornia."""
    readers = [
        "wcord.data.sources.table",
        "wcord.data.sources.audio",
        "wcord.data.sources.huggingface",
        "datasets",
        "kornia",
    ]
    program = f"import sys, wcord.api; print([name for name in {readers} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("x"), r"unexpected error: KeyError: 'x'; WCORD_TRACEBACK=1 shows the traceback, please report it"),
        (RecursionError("too deep\nby far"), "unexpected error: RecursionError: too deep by far; "),
        (
            FileNotFoundError(2, "No such file", "a\udce9b"),
            "cannot use '.*b': No such file: check the path and the disk",
        ),
        (MemoryError(), "not enough memory: end other programs"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB."), "not enough memory on the GPU"),
    ],
)
def test_what_nobody_foresaw_is_one_line(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "of_own_code", lambda error: None)  # the function below stands for one of ours
    monkeypatch.setattr(entry, "load", lambda command: raiser(error))
    assert main(["demo"]) == 1
    told = capsys.readouterr().err
    assert re.match(f"wcord: {said}", told)
    assert told.count("\n") == 1
    monkeypatch.setenv("WCORD_TRACEBACK", "1")
    assert main(["demo"]) == 1
    assert capsys.readouterr().err.startswith("Traceback (most recent call last)")


@pytest.mark.parametrize("error", [SystemExit(0), ZeroDivisionError("by zero"), AssertionError()])
def test_code_of_the_user_is_named(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "load", lambda command: raiser(error))
    assert main(["demo"]) == 1
    assert "your own code failed: raiser.<locals>" not in (told := capsys.readouterr().err)
    assert re.match(r"wcord: your own code failed: fail \(test_entry.py, line \d+\) (raised|called) ", told)


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"])
def test_a_launcher_s_number_that_is_none_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in ("abc", "", "1.5", "-1"):
        monkeypatch.setenv(name, value)
        assert main(["list"]) == 2
        assert f"{name} must be a whole number, received '{value}'" in capsys.readouterr().err


def raiser(error: BaseException) -> Callable[[list[str]], int]:
    def fail(arguments: list[str]) -> int:
        raise error

    return fail
