"""The record of one run: all that tables and pages show, as one JSON file."""

import dataclasses
import json
import math
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch

from wcord import collectives
from wcord.bounds import Bounds, Check, Seed, read
from wcord.checks import UsageError, shown
from wcord.files import write_atomically
from wcord.paths import require_file
from wcord.report.schema import LARGEST, require_epochs, require_measures, require_settings
from wcord.terminal import json_text

SCHEMA_VERSION = 1

Measures = Annotated[dict[str, Any], Check(require_measures)]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished run.

    Attributes:
        schema_version: version of this layout.
        name: short name of the run, usually its folder's.
        kind: "train" (no teacher) or "distill".
        method: the method's name, such as "wcord+kd"; "ce" for plain training.
        student: name of the trained architecture.
        teacher: name of the teacher's architecture, or None.
        data: name of the data set.
        seed: the seed.
        config: the resolved configuration.
        objective: weight and options of each term of the method, defaults included.
        teacher_digest: digest of the teacher's weights and card (of the whole file, in records of earlier versions), or
            None without a teacher.
        num_classes: number of classes.
        classes: their names.
        epochs: a dictionary for each epoch: epoch, lr, loss, parts (name to mean), test_top1 in percent, seconds, …
        metrics: top1_last, top1_best, train_top1_last (last epoch, on augmented samples), top5, balanced, macro_f1,
            commonest (percent, see `accuracy`), at_chance (whether the student is no better than chance), ece, nll,
            agreement (percent), …; norm_statistics, if running statistics were measured for the saved student (see
            `Shipped`). For samples with several labels, map_last, map_best, macro_f1, micro_f1 (percent), nll, …
        teacher_metrics: top1, top5, balanced, macro_f1, commonest, ece, nll of the teacher, or None.
        cost: "student" and "teacher" (or None) to parameters, macs, latency_ms, size_bytes.
        environment: versions and hardware.
        commit: git commit of the working directory, or None.
        wall_seconds: duration of the run.
        created: time of writing, ISO 8601.
        notes: what readers need to know, one sentence each.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    kind: Literal["train", "distill"]
    method: str
    student: str
    teacher: str | None = None
    data: str
    seed: Seed
    config: Annotated[dict[str, Any], Check(require_settings)]
    objective: dict[str, Any] = field(default_factory=dict)
    teacher_digest: str | None = None
    num_classes: Annotated[int, Bounds(1)]
    classes: list[str]
    epochs: Annotated[list[dict[str, Any]], Check(require_epochs)]
    metrics: Measures
    teacher_metrics: Measures | None = None
    cost: dict[str, Measures | None]
    environment: dict[str, Any]
    commit: str | None = None
    wall_seconds: Annotated[float, Bounds(0, LARGEST)]
    created: str = field(default_factory=_now)
    notes: list[str] = field(default_factory=list)

    def to_json(self, path: str | Path) -> None:
        """Write the record; the file is complete or absent at any moment. NaN and infinity become null."""
        text = json_text(_finite(dataclasses.asdict(self)), indent=1)
        write_atomically(path, text.encode() + b"\n")

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read a record.

        Raises:
            UsageError: the file is missing, is not JSON, or has unknown or missing fields, or wrong values.
        """
        file = require_file(path, "record")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"record {str(file)!r} is not valid JSON ({error}): write it again") from error
        written = content.get("schema_version") if isinstance(content, dict) else SCHEMA_VERSION
        if written != SCHEMA_VERSION:
            raise UsageError(
                f"record {str(file)!r} has schema version {shown(written)}, this wcord reads {SCHEMA_VERSION}: "
                "use the wcord that wrote it"
            )
        try:
            record = read(cls, content, "the record")
            if len(record.classes) != record.num_classes:
                raise UsageError(f"classes must be {record.num_classes} names, as num_classes says")
        except UsageError as error:
            raise UsageError(
                f"record {str(file)!r} is damaged or of a newer wcord: {error}; evaluate or train the run again"
            ) from None
        return record


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def describe_environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return the versions and the hardware that a result depends on.

    >>> sorted(describe_environment())
    ['device', 'hardware', 'platform', 'processes', 'python', 'threads', 'torch', 'wcord']
    """
    on = torch.device(device)
    return {
        "wcord": version("wcord"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(on),
        "hardware": torch.cuda.get_device_name(on) if on.type == "cuda" else processor_name(),
        "threads": torch.get_num_threads(),
        "processes": collectives.count(),
    }


def processor_name() -> str:
    """Return the processor's model, or its architecture if the system does not report it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def working_commit(folder: str | Path = ".") -> str | None:
    """Return the git commit of a folder, with "+changes" if files differ from it; None outside git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return None
