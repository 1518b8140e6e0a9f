"""The folder of a run: who may write it, its configuration, how it was started and its log of metrics."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wcord.checks import ChangedInputError, RunError, UsageError
from wcord.claim import INSIDE
from wcord.files import sha256, write_atomically
from wcord.training.config import DistillConfig, TrainConfig, read_config
from wcord.training.places import as_started

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
        if is_used(path):
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

    def configuration(self) -> tuple[TrainConfig | DistillConfig, list[str]]:
        """Return the run's settings, and notes on files that lie where it was started, not in the present folder."""
        config = read_config(self.path / CONFIG)
        folder = next((start["folder"] for start in self._starts() if "folder" in start), None)
        return (config, []) if folder is None else as_started(config, Path(folder))

    def note_start(
        self,
        commit: str | None,
        environment: Mapping[str, object],
        *,
        teacher: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Note how the run begins, or goes on.

        Args:
            commit: of the code.
            environment: the machine and its software.
            teacher: digest of the teacher's weights.
            data: digests of the data, of `contents_of`.
        """
        start = {"commit": commit, "environment": dict(environment), "teacher": teacher, "folder": str(Path.cwd())}
        self._write_starts([*self._starts(), start | ({} if data is None else {"data": dict(data)})])

    def note_damage(self) -> None:
        """Note that a sample could not be read, so that the run may go on with a whole one in its place."""
        *before, last = self._starts()
        self._write_starts([*before, last | {"damaged_data": True}])

    def _write_starts(self, starts: Sequence[Mapping[str, object]]) -> None:
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
        """Digest of the weights of the teacher that the run began with; None where there was none."""
        return next((start.get("teacher") for start in self._starts()), None)

    def require_teacher(self, weights: Path | None) -> None:
        """Raise where a teacher's weights are others than those that the run began with.

        Raises:
            ChangedInputError: saying so.
        """
        begun = self.teacher_digest
        if begun is None or weights is None or not weights.is_file():
            return
        from wcord.models.weights import digest  # imports torch, which a look at a run's state does without

        # Runs of earlier versions noted a digest of the whole file, which two equal teachers do not share.
        if begun not in (sha256(weights), digest(weights)):
            raise ChangedInputError(
                f"the run in {str(self.path)!r} began with another teacher than {str(weights)!r}: "
                "give the one that it began with, or begin anew in another folder"
            )

    def require_data(self, contents: Mapping[str, object]) -> None:
        """Raise where data are others than those that the run began with; one of an earlier version noted none.

        Args:
            contents: what `contents_of` gives of the data.

        Raises:
            ChangedInputError: naming what has changed.
        """
        from wcord.data.contents import difference  # imports torch, as above

        noted = [start for start in self._starts() if "data" in start]
        if not noted:
            return
        but = ("content",) if noted[-1].get("damaged_data") else ()
        changed = difference(noted[-1]["data"], contents, but=but)
        if changed is not None:
            raise ChangedInputError(
                f"the data of the run in {str(self.path)!r} have changed since it began: the {changed}. "
                "Put them back as they were and resume again, or begin anew in another folder"
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


def is_used(path: Path) -> bool:
    """Tell whether a folder holds anything; a lock alone says that nothing has been made yet."""
    return path.is_dir() and any(child.name != INSIDE for child in path.iterdir())


def _clear(path: Path, *, overwrite: bool) -> None:
    if not overwrite:
        raise UsageError(f"--out {str(path)!r} exists: name another folder, give --overwrite, or go on with --resume")
    if not (path / CONFIG).is_file():
        raise UsageError(
            f"--out {str(path)!r} holds other things than a run and is not overwritten: name another folder"
        )
    for child in path.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        elif child.name != INSIDE:
            child.unlink()
