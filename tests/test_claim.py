"""A claim holds against other processes and ends with its own, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wcord.checks import UsageError
from wcord.claim import claim, is_claimed

HOLD = """
import sys, time
from pathlib import Path
from wcord.claim import claim
with claim(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    return holder


def test_a_claim_is_seen_and_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "pair" / "kd" / "seed0"
    assert not is_claimed(folder)
    assert not folder.parent.exists()
    with claim(folder) as mine:
        assert mine
        assert is_claimed(folder)
        with claim(folder) as again:
            assert not again
        assert is_claimed(folder)
    assert not is_claimed(folder)
    assert not folder.exists()


def test_a_killed_holder_leaves_no_claim(tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    holder = hold(folder)
    assert is_claimed(folder)
    with claim(folder) as mine:
        assert not mine
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with claim(folder) as mine:
        assert mine


def test_a_claim_does_not_wait_long(tmp_path: Path) -> None:
    with claim(tmp_path / "a"):
        started = time.monotonic()
        with claim(tmp_path / "a") as mine:
            assert not mine
        assert time.monotonic() - started < 2
        with claim(tmp_path / "b") as mine:
            assert mine


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_file_of_another_program_is_not_taken_for_a_lock(tmp_path: Path, kind: str) -> None:
    lock, precious = tmp_path / ".run.lock", tmp_path / "precious"
    precious.write_text("years of work")
    {"file": lambda: precious.rename(lock), "link": lambda: lock.symlink_to(precious), "folder": lock.mkdir}[kind]()
    with pytest.raises(UsageError, match="is another program's file"), claim(tmp_path / "run"):
        raise AssertionError("it was claimed")
    assert kind == "folder" or (lock if kind == "file" else precious).read_text() == "years of work"
