"""Whatever ends a run under way is one line with its step; a sample that cannot be read may then be replaced."""

import errno
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from wcord.checks import NonFiniteError, RunError, UsageError
from wcord.data.images import UnreadableError
from wcord.data.workers import WorkerLostError
from wcord.training.failure import failing, resumable
from wcord.training.run import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run", "model = 'resnet8'\nout = 'run'\n")
    folder.note_start("c", {}, data={"classes": "x"})
    return folder


def test_nan_is_told_with_its_step_and_a_remedy(run: RunFolder) -> None:
    with pytest.raises(RunError, match="step 7: logits holds 3 values; lower --lr"), failing(run, lambda: 7):
        raise NonFiniteError("logits holds 3 values")
    assert "damaged_data" not in (run.path / "starts.jsonl").read_text()


def test_a_sample_that_cannot_be_read_is_noted(run: RunFolder) -> None:
    told = r"image 'a' cannot be read \(the file is missing\): replace the file by an intact copy and resume with "
    with pytest.raises(RunError, match=told), failing(run, lambda: 0):
        raise UnreadableError("image 'a'", "the file is missing")
    assert json.loads((run.path / "starts.jsonl").read_text())["damaged_data"]


def test_other_mistakes_stay_what_they_are(run: RunFolder) -> None:
    with pytest.raises(UsageError, match="of another kind"), failing(run, lambda: 0):
        raise UsageError("of another kind")


def test_the_error_of_an_image_comes_whole_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(UnreadableError("image 'a'", "damaged")))
    assert error.fault == "image 'a' cannot be read (damaged)"
    assert "--skip-bad-images" in str(error)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.empty(10**15),
        lambda: np.empty(10**15),
        lambda: bytearray(10**15),
        lambda: _raise(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has …")),
        lambda: _raise(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB). Tried to allocate 2 GB")),
        lambda: _raise(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")),
        lambda: _raise(OSError(errno.ENOMEM, "Cannot allocate memory")),
    ],
)
def test_a_lack_of_memory_says_what_to_lower(run: RunFolder, ask: Callable[[], object]) -> None:
    said = r"^not enough memory.*: close other programs.*smaller --batch-size"
    with (
        pytest.raises(RunError, match=said),
        resumable(run),
    ):
        ask()


def test_a_lost_worker_says_how_to_go_on(run: RunFolder) -> None:
    with pytest.raises(RunError, match=f"^it is gone; the last checkpoint .* --resume {run.path}$"), resumable(run):
        raise WorkerLostError("it is gone")


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), OSError(errno.ENOSPC, "full")])
def test_other_errors_of_the_machine_stay_what_they_are(run: RunFolder, error: Exception) -> None:
    with pytest.raises(type(error)) as found, resumable(run):
        raise error
    assert found.value is error


def _raise(error: Exception) -> None:
    raise error
