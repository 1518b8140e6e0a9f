"""What tests of several folders need: caches of model hubs with random weights, and runs without their pages."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache of the Hugging Face hub, which cannot be reached, and one of torch's beside it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "hub"


@pytest.fixture
def put_in_hub(hub: Path) -> Callable[[str, dict[str, Any]], Path]:
    """Return what writes files of a repository of the Hugging Face hub and returns the snapshot's folder."""

    def put(repository: str, files: dict[str, Any]) -> Path:
        home = hub / f"models--{repository.replace('/', '--')}"
        snapshot = home / "snapshots" / "0123456789abcdef"
        snapshot.mkdir(parents=True)
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text("0123456789abcdef")
        for name, content in files.items():
            if isinstance(content, nn.Module):
                save_file({key: value.contiguous() for key, value in content.state_dict().items()}, snapshot / name)
            else:
                (snapshot / name).write_text(json.dumps(content))
        return snapshot

    return put


@pytest.fixture
def put_in_torch_hub(hub: Path) -> Callable[[Any, nn.Module], Path]:
    """Return what writes the file of torchvision's weights and returns its path."""

    def put(weights: Any, network: nn.Module) -> Path:
        path = hub.parent / "torch" / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
        return path

    return put


MAKE_RUNS = {"api", "evaluation", "robustness", "setup", "training"}
"""Folders of tests that make runs."""


@pytest.fixture(autouse=True, scope="module")
def without_pages(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let runs end with an empty page in place of their report, which takes most of the time of a small run.

    A module whose tests read the page has `pytestmark = pytest.mark.pages`.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name in MAKE_RUNS and request.node.get_closest_marker("pages") is None:
            patch.setattr("wcord.api.conclude.write_run_report", lambda run: (run / "report.html").write_text("<html>"))
        yield


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "pages: runs write the page of their report")
