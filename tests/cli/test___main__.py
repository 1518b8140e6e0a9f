"""`python -m wcord.cli`, as launchers of several processes start it."""

import subprocess
import sys

import wcord


def test_the_module_is_the_command_and_gives_its_code() -> None:
    command = [sys.executable, "-m", "wcord.cli"]
    done = subprocess.run([*command, "--version"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, f"wcord {wcord.__version__}")
    wrong = subprocess.run([*command, "distil"], check=False, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert "did you mean 'distill'" in wrong.stderr
