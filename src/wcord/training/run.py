"""The folder of a run: who may write it, its configuration, how it was started and its log of metrics."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wcord.checks import ChangedInputError, RunError, UsageError
from wcord.claim import INSIDE
from wcord.files import sha256, write_atomically
from wcord.marks import is_description, is_exported_onnx, is_exported_program
from wcord.overwriting import Kind, Needed, by_name, clear, is_free, mark, remove_left_over
from wcord.training.config import DistillConfig, TrainConfig, read_config
from wcord.training.places import as_started

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
STARTS = "starts.jsonl"
STUDENT = "student.safetensors"
RECORD = "record.json"
ANALYSIS = "analysis.npz"
REPORT = "report.html"
CHECKPOINTS = "checkpoints"
TRACKER = "tracker"
FAILED = "failed.txt"
NOT_APPLICABLE = "not_applicable.txt"


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
        self.checkpoints = path / CHECKPOINTS

    @classmethod
    def create(cls, path: Path, config: str, *, overwrite: bool = False, needed: Needed = ()) -> "RunFolder":
        """Make a new run folder that holds its resolved configuration.

        Args:
            path: the folder.
            config: the configuration, as TOML.
            overwrite: whether a run in the folder is replaced.
            needed: what the run reads, which must not be removed for it.

        Raises:
            UsageError: where the folder exists and may not be replaced, or cannot be written.
        """
        if path.exists() and not path.is_dir():
            raise UsageError(f"--out {str(path)!r} is a file: name a folder")
        if not is_free(path, RUN):
            if not overwrite:
                raise exists(path)
            clear(path, RUN, needed=needed)
        try:
            path.mkdir(parents=True, exist_ok=True)
            mark(path, RUN)
            write_atomically(path / CONFIG, config.encode())
        except OSError as error:
            raise UsageError(f"--out {str(path)!r} cannot be written: {error.strerror}") from None
        except RunError as error:
            raise UsageError(f"--out: {error}") from None
        return cls(path)

    def tidy(self) -> None:
        """Remove what killed writes have left, and mark a run of an earlier version; its claim must be held."""
        mark(self.path, RUN)
        remove_left_over(self.path, RUN)

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
        but = ("samples_hold",) if noted[-1].get("damaged_data") else ()
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


def exists(path: Path) -> UsageError:
    """Return the error for a folder that is taken."""
    return UsageError(f"--out {str(path)!r} exists: name another folder, give --overwrite, or go on with --resume")


def settings_of(path: Path) -> dict[str, Any] | None:
    """Return what a run's `config.toml` holds, or None where the file is missing or another program's.

    A run writes all of its settings, so that some of them tell a configuration of wcord.
    """
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    data, training = settings.get("data"), settings.get("training")
    named = "model" in settings or {"teacher", "student", "method"} <= settings.keys()
    if not named or not isinstance(data, dict) or not isinstance(training, dict):
        return None
    return settings if "data" in data and {"epochs", "batch_size", "seed"} <= training.keys() else None


def is_config(path: Path) -> bool:
    """Tell whether a marked run's `config.toml` is its own; one that is damaged beyond reading is taken for it."""
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return settings_of(path) is not None


def _is_older_run(folder: Path) -> bool:
    """Tell whether a folder without a mark is the run of an earlier version: it has settings and has begun."""
    begun = any((folder / name).exists() for name in (STARTS, METRICS, RECORD, FAILED, CHECKPOINTS))
    return begun and not (folder / CONFIG).is_symlink() and settings_of(folder / CONFIG) is not None


RUN = Kind(
    "run",
    {
        # A kill after the first leaves what can neither be resumed nor be taken for a finished run.
        RECORD: by_name,
        CONFIG: is_config,
        f"{CHECKPOINTS}/step-[0-9]*.pt": by_name,
        METRICS: by_name,
        STARTS: by_name,
        STUDENT: by_name,
        ANALYSIS: by_name,
        REPORT: by_name,
        "*.onnx": is_exported_onnx,
        "*.pt2": is_exported_program,
        "*.md": is_description,
        f"{TRACKER}/wcord/events.out.tfevents.*": by_name,
        f"{TRACKER}/wcord/*/events.out.tfevents.*": by_name,
        f"{TRACKER}/wcord/*/hparams.yml": by_name,
        FAILED: by_name,
        NOT_APPLICABLE: by_name,
    },
    stays=(INSIDE,),
    older=_is_older_run,
)
"""What a run writes into its folder."""
