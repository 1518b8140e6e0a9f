"""Records as they are kept under version control: what tables need, a line for each list, no paths of one machine."""

import dataclasses
import json
from pathlib import Path, PurePath
from typing import Any, cast

from wcord import checks
from wcord.benchmark.state import Status
from wcord.checks import UsageError
from wcord.files import write_atomically
from wcord.report.record import Record

FORMAT = 1
DIGITS = 6
"""Significant digits of what was measured."""


def write_committed(path: Path, row: str, status: Status, reason: str, record: Record | None) -> None:
    """Write a run as it is kept: a record, or the reason why there is none."""
    content: dict[str, Any] = {"format": FORMAT, "row": row, "status": status}
    if reason:
        content["reason"] = reason
    if record is not None:
        content["record"] = _slim(record)
        content["test_top1"] = [_short(epoch.get("test_top1")) for epoch in record.epochs]
    write_atomically(path, (_text(content) + "\n").encode())


def read_committed(path: Path, row: str) -> tuple[Status, str, Record | None]:
    """Return status, reason and record of a run that was kept.

    Raises:
        UsageError: where the file is damaged or of another format.
    """
    try:
        content = json.loads(checks.require_file(path, "record").read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise UsageError(f"record {str(path)!r} has format {content['format']}, this wcord reads {FORMAT}")
        record = None
        if "record" in content:
            epochs = [{"epoch": i, "test_top1": value} for i, value in enumerate(content["test_top1"], start=1)]
            record = Record(**content["record"], name=row, classes=[], epochs=epochs)
        return cast("Status", content["status"]), content.get("reason", ""), record
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"record {str(path)!r} is damaged ({error}): write it again") from None


def _slim(record: Record) -> dict[str, Any]:
    kept = {
        name: value for name, value in dataclasses.asdict(record).items() if name not in ("name", "classes", "epochs")
    }
    measured = ("metrics", "teacher_metrics", "cost", "wall_seconds")
    return kept | {name: _short(kept[name]) for name in measured} | {"config": _portable(record.config)}


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the paths of one machine: of files and folders the last names stay."""
    config = {name: value for name, value in config.items() if name not in ("out", "overwrite")}
    kind, colon, place = config["data"]["data"].partition(":")
    config["data"] = config["data"] | {"data": f"{kind}{colon}{PurePath(place).name}"}
    config["training"] = {k: v for k, v in config["training"].items() if k not in ("teacher_cache", "max_time")}
    if config.get("teacher_weights") is not None:
        config["teacher_weights"] = "/".join(PurePath(config["teacher_weights"]).parts[-2:])
    return config


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _text(value: Any, depth: int = 0) -> str:
    """Return JSON with a line for each key and each list."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    indent = " " * (depth + 1)
    lines = [f"{indent}{json.dumps(key)}: {_text(item, depth + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{' ' * depth}}}"
