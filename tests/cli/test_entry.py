"""Help, version and speed of the command line, and how each kind of mistake ends."""

import subprocess
import sys
import time

import pytest

import wcord
from wcord.checks import RunError, UsageError
from wcord.cli import COMMANDS, main


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


@pytest.mark.parametrize("command", ["--help", "list"])
def test_help_and_list_take_less_than_a_second(command: str) -> None:
    durations = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "wcord.cli", command], check=True, capture_output=True)
        durations.append(time.perf_counter() - started)
    assert min(durations) < 1


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("asked"), 2), (RunError("failed"), 1), (OSError("full"), 1), (KeyboardInterrupt(), 130)],
)
def test_each_kind_of_end_has_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setitem(COMMANDS, "demo", ("", fail))
    assert main(["demo"]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_readers_are_imported_when_their_data_are_asked_for() -> None:
    """Each takes a second with the library that it stands on: pandas, SciPy's signals, datasets, kornia."""
    readers = ["wcord.data.table", "wcord.data.audio", "wcord.data.huggingface", "datasets", "kornia"]
    program = f"import sys, wcord.api; print([name for name in {readers} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
