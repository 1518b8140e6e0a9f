"""Tests of a GPU kernel in Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path


def require_passing(tests: Path) -> None:
    """Run a file of tests in a process of its own, in which Triton interprets kernels: it decides that at import."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)],
        env=os.environ | {"TRITON_INTERPRET": "1", "WCORD_KERNELS": "on"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
