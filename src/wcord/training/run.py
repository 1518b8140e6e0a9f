"""The folder of a run: who may write it, its configuration and its log of metrics."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wcord.checks import RunError, UsageError
from wcord.files import write_atomically

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
STARTS = "starts.jsonl"
STUDENT = "student.safetensors"
RECORD = "record.json"
ANALYSIS = "analysis.npz"
REPORT = "report.html"


class RunFolder:
    """One run's folder, created by the run or opened to be resumed.

    Args:
        path: the folder; it must hold a configuration.

    Raises:
        UsageError: where the folder is missing or is not a run.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UsageError(f"run folder {str(path)!r} does not exist: check the path")
        if not (path / CONFIG).is_file():
            raise UsageError(f"{str(path)!r} is not a run folder: it holds no {CONFIG}")
        self.path = path
        self.checkpoints = path / "checkpoints"

    @classmethod
    def create(cls, path: Path, config: str, *, overwrite: bool = False) -> "RunFolder":
        """Make a new run folder that holds its resolved configuration.

        Raises:
            UsageError: where the folder exists and may not be replaced, or cannot be written.
        """
        if path.exists() and not path.is_dir():
            raise UsageError(f"--out {str(path)!r} is a file: name a folder")
        if path.is_dir() and any(path.iterdir()):
            _clear(path, overwrite=overwrite)
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_atomically(path / CONFIG, config.encode())
        except OSError as error:
            raise UsageError(f"--out {str(path)!r} cannot be written: {error.strerror}") from None
        except RunError as error:
            raise UsageError(f"--out: {error}") from None
        return cls(path)

    def log(self, entry: Mapping[str, object]) -> None:
        """Append one line to the metrics."""
        try:
            with (self.path / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise RunError(
                f"cannot write the metrics of {str(self.path)!r} ({error.strerror}): free some space"
            ) from None

    def note_start(
        self, commit: str | None, environment: Mapping[str, object], *, teacher_weights: Path | None = None
    ) -> None:
        """Note by which code, on which machine and with which teacher the run begins, or goes on."""
        start = {"commit": commit, "environment": dict(environment), "teacher": digest(teacher_weights)}
        starts = [*self._starts(), start]
        write_atomically(self.path / STARTS, "".join(f"{json.dumps(start)}\n" for start in starts).encode())

    def origin(self) -> tuple[str | None, dict[str, Any]]:
        """Return the commits and the environment of all starts; where they changed, one after the other."""
        starts = self._starts()
        commits = list(dict.fromkeys(str(start["commit"]) for start in starts if start["commit"]))
        environment: dict[str, Any] = {}
        for name, last in (starts[-1]["environment"] if starts else {}).items():
            values = list(dict.fromkeys(str(start["environment"].get(name)) for start in starts))
            environment[name] = last if len(values) == 1 else ", then ".join(values)
        return ", then ".join(commits) or None, environment

    @property
    def teacher_digest(self) -> str | None:
        """Digest of the weights file of the teacher that the run began with; None where there was none."""
        return next((start.get("teacher") for start in self._starts()), None)

    def require_teacher(self, weights: Path | None) -> None:
        """Raise where a teacher's weights are others than those that the run began with.

        Raises:
            UsageError: saying so.
        """
        begun = self.teacher_digest
        if begun is not None and digest(weights) not in (begun, None):
            raise UsageError(
                f"the run in {str(self.path)!r} began with another teacher than {str(weights)!r}: "
                "give the one that it began with, or begin anew in another folder"
            )

    def _starts(self) -> list[dict[str, Any]]:
        path = self.path / STARTS
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []

    def metrics(self) -> list[dict[str, object]]:
        """Return all logged lines; a line cut short by a kill is left out."""
        path = self.path / METRICS
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def rewind(self, lines: int) -> None:
        """Forget what was logged after the checkpoint that a run resumes from."""
        kept = self.metrics()[:lines]
        text = "".join(json.dumps(entry) + "\n" for entry in kept)
        write_atomically(self.path / METRICS, text.encode())


def digest(file: Path | None) -> str | None:
    """Return the SHA-256 of a file; None where there is none."""
    if file is None or not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _clear(path: Path, *, overwrite: bool) -> None:
    if not overwrite:
        raise UsageError(f"--out {str(path)!r} exists: name another folder, give --overwrite, or go on with --resume")
    if not (path / CONFIG).is_file():
        raise UsageError(
            f"--out {str(path)!r} holds other things than a run and is not overwritten: name another folder"
        )
    shutil.rmtree(path)
