"""Runs commands of wcord in processes that begin with everything imported, and can be made to die at a file.

Reads a line of JSON for each command: its arguments, and what is to become of it. Prints the number of the process that
runs it, and, once that has ended, its status.
"""

import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_svg
import torch

import wcord.api.runs
import wcord.data.opening
import wcord.report.html
from wcord.cli import main

CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
LOADED = (matplotlib.backends.backend_svg, wcord.api.runs, wcord.data.opening, wcord.report.html)


def die_at(number: int, below: str) -> None:
    """Let the process be killed before it changes files below a folder for the so-manieth time."""
    left = [number]

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not (writes or event in CHANGES) or not str(arguments[0]).startswith(below):
            return
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def child(order: dict[str, Any], told: int) -> int:
    """Run one command, which tells a pipe what it says, and return its exit code."""
    for stream in (1, 2):
        os.dup2(told, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    torch.set_num_threads(1)
    if order.get("largest_file") is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"],) * 2)
    if order.get("die_at") is not None:
        die_at(order["die_at"], order["below"])
    return main(order["arguments"])


def serve() -> None:
    """Run one command after the other."""
    for line in sys.stdin:
        order = json.loads(line)
        heard, told = os.pipe()
        process = os.fork()
        if process == 0:
            code = 70
            try:
                code = child(order, told)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(told)
        answer(process)
        with os.fdopen(heard, "rb") as pipe:
            Path(order["log"]).write_bytes(pipe.read())
        answer(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
