"""Whole runs in a few seconds, and what their logs say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wcord import api
from wcord.training.config import DistillConfig, configure


def silent(line: str) -> None:
    """Report nothing."""


def run_small(out: Path, settings: Mapping[str, Any]) -> api.Result:
    """Distill with these settings into a folder, without a word."""
    return api.start(configure(DistillConfig, {**settings, "out": out}), say=silent)


def logged(run: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's log, without the time that they took."""
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in entries]
